"""Clients that disconnect while their request waits for the database: reads end with them, changes are completed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, request
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url

NO_GRACE = {"railtrack.http_server.limits.DISCONNECT_GRACE_S": 3600}
"""Changes are not cancelled in the time of the test."""
WAITING = """
    SELECT COUNT(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'railtrack' AND wait_event_type = 'Lock'
"""
RUNS = '{ mlflowSearchRuns(input: {experimentIds: ["0"]}) { runs { info { runId } experiment { name } } } }'


@pytest.fixture
def database(tmp_path: Path, postgres: PostgresServer) -> Iterator[str]:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        yield url


@pytest.mark.parametrize("ends_only_its_side", [False, True])
async def test_the_reads_of_a_client_end_with_it_and_its_changes_are_stored(
    tmp_path: Path, database: str, ends_only_its_side: bool
) -> None:
    with railtrack_server(tmp_path / "server", database, constants=NO_GRACE) as server:
        connection = Connection(server.port)
        run_id = (await connection.post("runs/create", {"experiment_id": "0"})).json["run"]["info"]["run_id"]
        metric = {"run_id": run_id, "key": "loss", "value": 1, "timestamp": 1, "step": 2}
        reads = [
            request("127.0.0.1", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]}),
            request("127.0.0.1", "/graphql", {"query": RUNS}),
            f"GET /api/2.0/mlflow/runs/get?run_id={run_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(),
        ]
        db = open_database(parse_database_url(database), connections=2)
        try:
            async with db.write() as tx:
                await tx.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
                for number in range(3):
                    clients = [await send(server, one) for one in reads]
                    await until_waiting(db, len(reads), f"round {number}")
                    for client in clients:
                        disconnect(client, ends_only_its_side=ends_only_its_side)
                    await until_waiting(db, 0, f"round {number}")
                client = await send(server, request("127.0.0.1", "/api/2.0/mlflow/runs/log-metric", metric))
                await until_waiting(db, 1, "log-metric")
                disconnect(client, ends_only_its_side=ends_only_its_side)
            async with asyncio.timeout(TIMEOUT_S):
                while not await db.fetch("SELECT 1 FROM latest_metrics WHERE run_uuid = $1", run_id):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await db.close()
        stored = (await connection.get(f"/api/2.0/mlflow/runs/get?run_id={run_id}")).json
        assert json.dumps(stored["run"]["data"]["metrics"][0]["step"]) == "2"
        log = server.log()
    for sign in ("Traceback", "never retrieved", "never awaited", "Lost the connection"):
        assert sign not in log, log


async def send(server: RailtrackServer, data: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    await writer.drain()
    return writer


def disconnect(client: asyncio.StreamWriter, *, ends_only_its_side: bool) -> None:
    """Reset the connection, or close it, which looks to the server as if the client still read."""
    if ends_only_its_side:
        client.close()
    else:
        client.transport.abort()


async def until_waiting(db: Db, count: int, when: str) -> None:
    waiting = -1
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while (waiting := await db.fetch_value(WAITING)) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{when}: {waiting} statements wait, not {count}") from None
