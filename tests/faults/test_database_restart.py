"""PostgreSQL goes away under a logging load and comes back: nothing acknowledged is lost, nobody has to help."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Response
from tests.faults.logging_load import Load, check_stored
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import TIMEOUT_S, until
from tests.servers.railtrack import RailtrackServer, railtrack_server

WORKERS = 2
CODES = {429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=True) as cluster:
        yield cluster


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_no_acknowledged_write_is_lost_when_postgresql_restarts(
    how: str, cluster: PostgresCluster, tmp_path: Path
) -> None:
    with (
        scratch_database("postgresql", tmp_path, cluster) as database,
        railtrack_server(tmp_path / "server", database, workers=WORKERS) as server,
    ):
        began = time.monotonic()
        load = asyncio.run(_restart_during_load(server, cluster, how))
        seconds = time.monotonic() - began
        check_stored(database, load.run_id, load.outcome)
        told = [line for line in server.log().splitlines() if "] request " in line and "not reachable" in line]
    assert load.outcome.lost == []  # the server itself never went away
    assert load.outcome.refused
    for _, response in load.outcome.refused:
        assert response.json["error_code"] == CODES[response.status]
        assert "retry-after" not in response.headers, "it would replace the clients' own, longer patience"
    # All but those whose COMMIT was under way when the server stopped were certainly not processed.
    statuses = [response.status for _, response in load.outcome.refused]
    assert statuses.count(429) > statuses.count(503)
    # Thousands were refused; the log says so in a line a second at the most from each worker.
    assert 0 < len(told) <= WORKERS * (seconds + 1)


async def _restart_during_load(server: RailtrackServer, cluster: PostgresCluster, how: str) -> Load:
    async with Load(server) as load:
        await load.is_acknowledged_again(count=300)
        assert (await _get(server, "/ready")).status == 200
        await asyncio.to_thread(cluster.stop, how)
        await until(lambda: "similar messages suppressed" in server.log(), server.log)
        assert (await _get(server, "/health")).status == 200
        assert "not reachable" in (await _ready(server, 503)).json["database"]
        cluster.start()  # in this thread: the kernel ends the cluster with the thread that started it
        await load.is_acknowledged_again()
        await _ready(server, 200)
    return load


async def _ready(server: RailtrackServer, status: int) -> Response:
    """What /ready answers once it has this status: it keeps what it found for a few seconds."""
    async with asyncio.timeout(TIMEOUT_S):
        while (response := await _get(server, "/ready")).status != status:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
    return response


async def _get(server: RailtrackServer, path: str) -> Response:
    connection = Connection(server.port)
    try:
        return await connection.get(path)
    finally:
        connection.close()
