"""MLflow's AuthServiceClient of several versions on a server with login."""

import subprocess
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.db.with_mlflow import mlflow_interpreter
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer, railtrack_server

HERE = Path(__file__).parent
PASSWORD = "chosen-by-the-operator"


@pytest.mark.parametrize("engine", ENGINES)
def test_mlflows_client_of_users_and_roles_passes_all_calls(
    engine: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """By MLflow's own function, with all of MLflow 3.17.2, and the modules of clients from 2.9.2 to 3.18.0."""
    environment = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    with (
        scratch_database(engine, tmp_path, postgres) as database,
        railtrack_server(tmp_path / "server", database, environment=environment) as server,
    ):
        run(server, tmp_path, mlflow_interpreter("3.17.2"), "scenario_access.py", server.url)
        run(server, tmp_path, client_interpreter("3.18.0"), "scenario_access.py", server.url, "client")
        for version in ("2.22.0", "2.9.2"):
            name = f"bob of {version}"
            run(server, tmp_path, client_interpreter(version), "scenario_access_older.py", server.url, name)


def run(server: RailtrackServer, folder: Path, interpreter: Path | str, script: str, *arguments: str) -> None:
    login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    done = subprocess.run(
        [interpreter, HERE / script, *arguments],
        env={**client_environment(server.url, folder), **login},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "passed"), (str(interpreter), done.stderr)
