"""Every flag and variable of `mlflow server` is a setting, is reported as without effect, or concerns clients only."""

import json
import subprocess
from functools import cache

import pytest
from tests.clients.interpreters import client_interpreter

from railtrack.cli.flags import server_flags
from railtrack.config.mlflow_options import CLIENTS_ONLY, SATISFIED, UNSUPPORTED, unsupported_options
from railtrack.config.settings import SETTINGS

VERSIONS = ("3.17.2", "3.18.0")

LIST_OPTIONS = """
import json
from mlflow import environment_variables
from mlflow.cli import server
variables = {one.name for one in vars(environment_variables).values() if hasattr(one, "name") and hasattr(one, "get")}
variables |= {option.envvar for option in server.params if option.envvar}
flags = [name for option in server.params for name in (*option.opts, *option.secondary_opts)]
print(json.dumps({"names": sorted({*variables, *flags}), "switches": [
    name for option in server.params if option.is_flag for name in (*option.opts, *option.secondary_opts)
]}))
"""

SETTING_NAMES = {name for one in SETTINGS for name in (*one.variables, *one.flags, *one.switches)}
REPORTED = [name for option in UNSUPPORTED for name in option.names]


@cache
def options(version: str) -> dict[str, list[str]]:
    """Return all names, and the flags without a value, of this version's `mlflow server`."""
    command = [str(client_interpreter(version)), "-c", LIST_OPTIONS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    listed: dict[str, list[str]] = json.loads(done.stdout)
    return listed


@pytest.mark.mlflow
@pytest.mark.parametrize("version", VERSIONS)
def test_each_flag_and_variable_of_mlflow_is_in_the_table(version: str) -> None:
    names = set(options(version)["names"]) - {"--help"}
    assert len(names) > 300
    assert names - SETTING_NAMES - set(REPORTED) - CLIENTS_ONLY - set(SATISFIED) == set()


@pytest.mark.mlflow
def test_the_table_has_no_other_names_and_each_name_once() -> None:
    known = {name for version in VERSIONS for name in options(version)["names"]}
    listed = [*REPORTED, *CLIENTS_ONLY, *SATISFIED]
    assert set(listed) - known == set()
    assert sorted({name for name in listed if listed.count(name) > 1}) == []
    assert set(listed) & SETTING_NAMES == set()


@pytest.mark.mlflow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_flag_takes_a_value_where_it_does_in_mlflow(version: str) -> None:
    names = [name for name in options(version)["names"] if name.startswith("-") and name != "--help"]
    switches = {name for name in names if name in options(version)["switches"]}
    assert {name for name in names if server_flags()[name].nargs == 0} == switches


def test_a_flag_and_a_variable_without_effect_are_reported_in_one_line_each() -> None:
    flags = {"--workspace-store-uri": "sqlite:///w.db", "--dev": True, "--secrets-cache-ttl": None}
    environ = {"MLFLOW_SERVER_JOB_LEASE_TTL": "9", "MLFLOW_MYSQL_SSL_CA": " ", "MLFLOW_TRACKING_URI": "http://x"}
    assert list(unsupported_options(flags, environ)) == [
        "--dev has no effect: code is not reloaded. RAILTRACK_LOG_LEVEL=debug enables debug messages.",
        "--workspace-store-uri has no effect: there is one workspace.",
        "MLFLOW_SERVER_JOB_LEASE_TTL has no effect: the server runs no jobs and scorers.",
    ]


@pytest.mark.parametrize("name", REPORTED)
def test_each_report_names_the_option_and_not_its_value(name: str) -> None:
    value = "postgresql://me:do-not-show@host/db"
    given = ({name: value}, {}) if name.startswith("-") else ({}, {name: value})
    (line,) = unsupported_options(*given)
    assert line.startswith(f"{name} has no effect: ")
    assert line.endswith(".")
    assert "do-not-show" not in line


def test_a_value_that_asks_for_what_happens_anyway_is_not_reported() -> None:
    environ = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "False", "MLFLOW_ENABLE_WORKSPACES": "0"}
    assert list(unsupported_options({}, environ)) == []
    assert len(list(unsupported_options({}, dict.fromkeys(environ, "true")))) == len(environ)
