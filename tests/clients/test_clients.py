"""The unmodified MLflow client, in five versions, against a real server on both engines."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.databases import ENGINES, WEBHOOK_KEY, scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer, railtrack_server

HERE = Path(__file__).parent
STEPS_AT_LEAST = 55
WEBHOOKS = "a_webhook_is_created_tested_delivered_changed_and_deleted"
LEFT_OUT: dict[str, set[str]] = {
    "3.18.0": set(),
    "3.17.2": set(),
    "3.1.0": {"a_stream_is_logged_as_file", "an_experiment_tag_is_deleted", WEBHOOKS},
    "2.22.0": {
        "a_stream_is_logged_as_file",
        "an_experiment_tag_is_deleted",
        "several_datasets_are_logged_at_once",
        "a_logged_model_gets_metrics_and_is_found_and_loaded_by_its_id",
        "an_external_model_is_finalized_tagged_and_deleted",
        "a_prompt_is_registered_loaded_by_version_and_alias_and_found",
        WEBHOOKS,
    },
    "2.9.2": {
        "a_stream_is_logged_as_file",
        "an_experiment_tag_is_deleted",
        "several_datasets_are_logged_at_once",
        "images_are_logged_under_a_key_at_steps",
        "async_logging_is_switched_on_and_flushed",
        "a_metric_is_logged_to_a_run_by_its_id",
        "a_run_is_nested_by_the_id_of_its_parent",
        "a_logged_model_gets_metrics_and_is_found_and_loaded_by_its_id",
        "an_external_model_is_finalized_tagged_and_deleted",
        "a_prompt_is_registered_loaded_by_version_and_alias_and_found",
        WEBHOOKS,
    },
}
"""Steps that a version does not support. It must pass all others."""
SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
}
"""The scenario's webhook receiver is on this machine."""


@pytest.fixture(scope="module", params=ENGINES)
def server(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RailtrackServer]:
    folder = tmp_path_factory.mktemp("clients")
    with (
        scratch_database(request.param, folder, postgres) as database,
        railtrack_server(folder, database, environment=SETTINGS) as server,
    ):
        yield server


@pytest.mark.parametrize("version", LEFT_OUT)
def test_an_unmodified_client_passes_every_step_that_it_supports(
    version: str, server: RailtrackServer, tmp_path: Path
) -> None:
    report = _run_scenario(version, server.url, tmp_path)
    assert report["failed"] == {}, "\n\n".join(f"{name}\n{trace}" for name, trace in report["failed"].items())
    assert report["client"] == version
    assert set(report["left_out"]) == LEFT_OUT[version]
    assert len(report["passed"]) + len(report["left_out"]) >= STEPS_AT_LEAST
    assert server.logged_errors() == []


def _run_scenario(version: str, url: str, folder: Path) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [str(client_interpreter(version)), "-m", "scenario"],
        env=client_environment(url, folder) | {"PYTHONPATH": str(HERE)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise AssertionError(f"the scenario ended without a report:\n{done.stdout}\n{done.stderr}") from None
