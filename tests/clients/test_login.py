"""Unmodified clients on a server with login, by token and by password. The logs contain no credential."""

import json
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.clients.test_clients import LEFT_OUT, SETTINGS, STEPS_AT_LEAST
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer, command, railtrack_server

from railtrack.auth.unauthenticated import ADVICE

HERE = Path(__file__).parent
PASSWORD = "chosen-by-the-operator"
ENVIRONMENT = {
    **SETTINGS,
    "RAILTRACK_AUTH": "on",
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
    "RAILTRACK_ACCESS_LOG": "on",
    "RAILTRACK_LOG_LEVEL": "debug",
}
WRONG_TOKEN = "rtk_" + "0" * 49


@pytest.fixture(scope="module", params=ENGINES)
def server(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RailtrackServer]:
    folder = tmp_path_factory.mktemp("login")
    with (
        scratch_database(request.param, folder, postgres) as database,
        railtrack_server(folder, database, environment=ENVIRONMENT) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def token(server: RailtrackServer) -> str:
    uri = server.environment["MLFLOW_BACKEND_STORE_URI"]
    created = command(server.folder, "tokens", "create", "admin", "tests", MLFLOW_BACKEND_STORE_URI=uri)
    assert created.returncode == 0, created.stderr
    return created.stdout.strip()


LOGINS = [
    ("postgresql", "3.18.0", "token"),
    ("postgresql", "3.17.2", "password"),
    ("postgresql", "2.9.2", "password"),
    ("sqlite", "3.18.0", "password"),
    ("sqlite", "3.17.2", "token"),
    ("sqlite", "2.9.2", "token"),
]


@pytest.mark.parametrize(("server", "version", "credential"), LOGINS, indirect=["server"])
def test_a_client_passes_every_step_with_a_login(
    server: RailtrackServer, version: str, credential: str, token: str, tmp_path: Path
) -> None:
    login = {"MLFLOW_TRACKING_TOKEN": token}
    if credential == "password":
        login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    done = run_client(version, server, tmp_path, login, "-m", "scenario")
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failed"] == {}, "\n\n".join(f"{name}\n{trace}" for name, trace in report["failed"].items())
    assert set(report["left_out"]) == LEFT_OUT[version]
    assert len(report["passed"]) + len(report["left_out"]) >= STEPS_AT_LEAST
    assert server.logged_errors() == []
    log = server.log()
    assert "/api/2.0/mlflow/runs/create" in log
    for secret in (token, token[8:], PASSWORD):
        assert secret not in log


INVALID_LOGINS = {
    "none": {},
    "token": {"MLFLOW_TRACKING_TOKEN": WRONG_TOKEN},
    "password": {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a-wrong-one"},
}


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("version", "login"),
    [*product(["3.18.0", "2.9.2"], INVALID_LOGINS), ("3.17.2", "none"), ("3.1.0", "none"), ("2.22.0", "none")],
)
def test_a_client_without_a_valid_login_reports_what_to_set(
    version: str, login: str, server: RailtrackServer, tmp_path: Path
) -> None:
    program = "import mlflow; mlflow.set_experiment('mine')"
    done = run_client(version, server, tmp_path, INVALID_LOGINS[login], "-c", program)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(ADVICE)
    assert "a-wrong-one" not in server.log()


def run_client(
    version: str, server: RailtrackServer, folder: Path, login: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(client_interpreter(version)), *arguments],
        env=client_environment(server.url, folder) | {"PYTHONPATH": str(HERE)} | login,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
