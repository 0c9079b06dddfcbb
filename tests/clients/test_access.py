"""MLflow's AuthServiceClient on a server with login. Its module needs all of MLflow, not only a client."""

import subprocess
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment
from tests.db.with_mlflow import mlflow_interpreter
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import railtrack_server

HERE = Path(__file__).parent
PASSWORD = "chosen-by-the-operator"


@pytest.mark.parametrize("engine", ENGINES)
def test_mlflows_client_of_users_and_roles_passes_all_calls(
    engine: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    environment = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
    with (
        scratch_database(engine, tmp_path, postgres) as database,
        railtrack_server(tmp_path / "server", database, environment=environment) as server,
    ):
        login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        done = subprocess.run(
            [mlflow_interpreter(), HERE / "scenario_access.py", server.url],
            env={**client_environment(server.url, tmp_path), **login},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert (done.returncode, done.stdout.strip()) == (0, "passed"), done.stderr
