"""Start several replicas concurrently on one empty database."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from tests.faults.http_load import Connection, Response
from tests.servers.databases import rows
from tests.servers.railtrack import RailtrackServer

REPLICAS = 3


def test_three_servers_started_at_once_on_an_empty_database_all_serve(database: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = []
        for number in range(REPLICAS):
            folder = tmp_path / f"replica-{number}"
            folder.mkdir()
            servers.append(RailtrackServer(folder, database, {"GUNICORN_WORKERS": "1"}))
        for server in servers:
            server.launch()
            stack.callback(server.stop)
        for server in servers:
            server.wait_until_healthy()
        for number, server in enumerate(servers):
            assert asyncio.run(_create_experiment(server, f"by replica {number}")).status == 200
        for server in servers:
            server.stop()
            assert server.logged_errors() == []
    names = rows(database, "SELECT name FROM experiments ORDER BY experiment_id")
    assert names == [("Default",), *((f"by replica {number}",) for number in range(REPLICAS))]
    assert len(rows(database, "SELECT version_num FROM alembic_version")) == 1


async def _create_experiment(server: RailtrackServer, name: str) -> Response:
    connection = Connection(server.port)
    try:
        return await connection.post("experiments/create", {"name": name})
    finally:
        connection.close()
