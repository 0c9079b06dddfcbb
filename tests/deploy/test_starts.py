"""Starts of MLflow's server as people publish them (starts.toml): the settings that they lead to, or the one line."""

import json
import logging
import operator
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.servers.certificates import Authority
from tests.servers.processes import free_port
from tests.servers.railtrack import RailtrackServer, command

from railtrack.checks.memory import memory_warnings
from railtrack.cli import parse_arguments
from railtrack.cli.server import check_options
from railtrack.config.lookup import declared_settings
from railtrack.config.settings import SERVER_OPTIONS, Settings, ignored_options, load, resolve_all
from railtrack.errors import StartError
from railtrack.logs.redaction import redact_secrets

STARTS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "starts.toml").read_text())["start"]
NAMES = [start["name"] for start in STARTS]
SETTINGS = [one for one in declared_settings(Settings) if one.path not in (*SERVER_OPTIONS, "database.uri")]


class Outcome(NamedTuple):
    settings: dict[str, Any]
    lines: list[str]
    error: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a certificate and its key."""
    key, _, certificate = Authority.new(tmp_path).certify("127.0.0.1").read_text().partition("-----BEGIN CERT")
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "cert.pem").write_text(f"-----BEGIN CERT{certificate}")
    (tmp_path / "authority.pem").replace(tmp_path / "ca.pem")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    redact_secrets(())


def test_there_are_many_starts_and_each_is_another_one() -> None:
    assert len(STARTS) >= 60
    assert len(set(NAMES)) == len(NAMES)
    assert len({json.dumps([one["arguments"], one.get("environ")]) for one in STARTS}) == len(STARTS)


@pytest.mark.parametrize("start", STARTS, ids=NAMES)
def test_a_start_leads_to_its_settings_or_to_one_line(
    start: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in [name for one in declared_settings(Settings) for name in one.variables]:
        monkeypatch.delenv(variable, raising=False)
    arguments, environ = _in_folder(start, folder)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    flags = vars(parse_arguments(["server", *arguments]))
    with caplog.at_level(logging.WARNING, logger="railtrack"):
        outcome = _outcome(flags, environ)
    lines = [record.getMessage() for record in caplog.records if record.name == "railtrack"]
    machine = [] if outcome.error else memory_warnings(load(flags, environ))
    expected = (start.get("settings", {}), start.get("lines", []), start.get("error", ""))
    shown = json.loads(json.dumps(outcome.settings).replace(str(folder), "{folder}"))
    seen = (shown, [line for line in lines if line not in machine], outcome.error.replace(str(folder), "{folder}"))
    assert seen == expected


def _in_folder(start: dict[str, Any], folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and variables of a start, with the path of `folder` in them."""
    environ = {name: value.replace("{folder}", str(folder)) for name, value in start.get("environ", {}).items()}
    return shlex.split(start["arguments"].replace("{folder}", str(folder))), environ


def _outcome(flags: dict[str, Any], environ: dict[str, str]) -> Outcome:
    try:
        settings, url = check_options(resolve_all(flags, environ), ignored_options(flags, environ))
    except StartError as error:
        return Outcome({}, [], str(error))
    defaults = load({}, {})
    values = {one.path: operator.attrgetter(one.path) for one in SETTINGS}
    changed = {path: value(settings) for path, value in values.items() if value(settings) != value(defaults)}
    return Outcome({**changed, "url": url.masked}, [], "")


REAL = [
    "no options",
    "short flags",
    "artifacts beside SQLite",
    "a timeout as one argument",
    "proxy headers",
    "TLS by uvicorn",
    "basic-auth",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_real_server_starts_and_doctor_reports_the_same_lines(name: str, folder: Path) -> None:
    start = next(one for one in STARTS if one["name"] == name)
    arguments, environ = _in_folder(start, folder)
    # This machine's port, and an address that only this machine reaches.
    arguments += ["--port", str(free_port()), "--host", "127.0.0.1"]
    server = RailtrackServer(folder, None, environ)
    server.port = int(arguments[-3])
    server.command += arguments
    checked = command(folder, "doctor", *arguments, **server.environment)
    server.launch()
    try:
        server.wait_until_healthy(status=400 if "TLS" in name else 200)
        assert f":{server.port}" in server.log()
        for line in start.get("lines", []):
            if "MLFLOW_DEFAULT_ARTIFACT_ROOT" not in line:  # it concerns clients on other machines
                assert line in server.log()
                assert " ".join(line.split()) in " ".join(checked.stdout.split())
    finally:
        server.stop()
    assert not server.logged_errors()


FAILING = ["an unclosed quote", "an application with OIDC", "MySQL", "the registry in another database"]


@pytest.mark.parametrize("name", FAILING)
def test_a_start_that_fails_and_doctor_end_with_the_same_line(name: str, folder: Path) -> None:
    start = next(one for one in STARTS if one["name"] == name)
    arguments, environ = _in_folder(start, folder)
    started = command(folder, "server", *arguments, **environ)
    checked = command(folder, "doctor", "--json", *arguments, **environ)
    assert (started.returncode, checked.returncode) == (1, 1)
    assert started.stderr.splitlines()[-1] == f"Error: {start['error']}"
    problems = [one for one in json.loads(checked.stdout)["checks"] if one["status"] == "problem"]
    assert start["error"] in [f"{one['finding']} {one['next_step']}" for one in problems]
