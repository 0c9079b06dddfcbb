"""Options of MLflow on the command line: those without effect, and those that weaken a protection, are reported."""

from pathlib import Path

import pytest
from tests.servers.railtrack import command, railtrack_server

FLAGS = ("--serve-artifacts", "--gunicorn-opts", "--timeout 60", "--dev", "--disable-security-middleware")
ENVIRON = {
    "MLFLOW_SERVER_JOB_EXECUTION_ENGINE": "threads",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_TRACKING_URI": "http://localhost:5000",
}
LINES = [
    "--timeout of --gunicorn-opts has no effect: requests have no time limit, and a worker that hangs for 60 s is",
    "--dev has no effect: code is not reloaded.",
    "MLFLOW_SERVER_JOB_EXECUTION_ENGINE has no effect: the server runs no jobs and scorers.",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE is on: any site that a user visits can read and change everything",
]


def test_the_start_and_doctor_report_the_same_lines_once(tmp_path: Path) -> None:
    invalid = {**ENVIRON, "MLFLOW_BACKEND_STORE_URI": "mysql://host/db"}
    started = command(tmp_path, "server", *FLAGS, **invalid)
    checked = command(tmp_path, "doctor", *FLAGS, **ENVIRON)
    assert started.returncode == 1
    for line in LINES:
        assert started.stderr.count(line) == 1, started.stderr
        assert checked.stdout.count(line) == 1, checked.stdout
    for output in (started.stderr, checked.stdout):
        assert output.count("has no effect") == len(LINES) - 1


def test_a_server_with_the_options_of_mlflows_compose_file_starts(tmp_path: Path) -> None:
    environment = {"GUNICORN_WORKERS": "", "MLFLOW_WORKERS": "3", "MLFLOW_SERVE_ARTIFACTS": "true"}
    with railtrack_server(tmp_path, environment=environment) as server:
        server.wait_for_workers(3)
        assert "Workers: 3\n" in server.log()
        assert "has no effect" not in server.log()


@pytest.mark.parametrize("value", ["basic", "mlflow.server:app"])
def test_an_unknown_application_is_an_error(tmp_path: Path, value: str) -> None:
    done = command(tmp_path, "server", "--app-name", value)
    assert done.returncode == 1
    assert f"Invalid value in --app-name: '{value}'." in done.stderr
