"""PostgreSQL restarts under load: no acknowledged write is lost, and the server recovers by itself."""

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
        log_lines = [line for line in server.log().splitlines() if "] request " in line and "not reachable" in line]
    assert load.outcome.lost == []  # Railtrack itself kept running
    assert load.outcome.rejected
    for _, response in load.outcome.rejected:
        assert response.json["error_code"] == CODES[response.status]
        assert "retry-after" not in response.headers, "it would replace the longer backoff of the clients"
    # Only requests whose COMMIT was in progress when PostgreSQL stopped may have been processed.
    statuses = [response.status for _, response in load.outcome.rejected]
    assert statuses.count(429) > statuses.count(503)
    # Thousands were rejected; each worker logs at most one line per second.
    assert 0 < len(log_lines) <= WORKERS * (seconds + 1)


async def _restart_during_load(server: RailtrackServer, cluster: PostgresCluster, how: str) -> Load:
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        assert (await _get(server, "/ready")).status == 200
        await asyncio.to_thread(cluster.stop, how)
        await until(lambda: "similar messages suppressed" in server.log(), server.log)
        assert (await _get(server, "/health")).status == 200
        assert "not reachable" in (await _ready(server, 503)).json["database"]
        cluster.start()  # in this thread: the kernel stops the cluster with the thread that started it
        await load.wait_for_acknowledgements()
        await _ready(server, 200)
    return load


async def _ready(server: RailtrackServer, status: int) -> Response:
    """Return the response of /ready once it has this status. The server caches it for a few seconds."""
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
