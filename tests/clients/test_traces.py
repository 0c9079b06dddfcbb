"""Traces of unmodified clients. With the OpenTelemetry of their environments, 3.1.0 and 2.22.0 cannot trace at all."""

import subprocess
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import railtrack_server

SCRIPT = Path(__file__).with_name("scenario_traces.py")
STEPS = ["made and read", "tagged and found", "failed and found", "deleted"]


@pytest.mark.parametrize("engine", ENGINES)
def test_traces_of_unmodified_clients_are_stored_read_found_and_deleted(
    engine: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    with scratch_database(engine, tmp_path, postgres) as database, railtrack_server(tmp_path, database) as server:
        for version in ("3.18.0", "3.17.2"):
            done = subprocess.run(
                [str(client_interpreter(version)), str(SCRIPT), server.url],
                env=client_environment(server.url, tmp_path),
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.stdout.splitlines() == STEPS, (version, done.stdout, done.stderr)
        assert server.logged_errors() == []
