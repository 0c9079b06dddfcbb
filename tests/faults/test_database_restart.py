"""PostgreSQL goes away under a logging load and comes back: nothing acknowledged is lost, nobody has to help."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Answer, Connection
from tests.faults.logging_load import Load, check_stored
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.railtrack import RailtrackServer, railtrack_server

BACK_SECONDS = 5


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
        railtrack_server(tmp_path / "server", database) as server,
    ):
        load = asyncio.run(_restart_during_load(server, cluster, how))
        check_stored(database, load.run_id, load.outcome)
        told = [line for line in server.log().splitlines() if "not reachable" in line]
    assert load.outcome.lost == []  # the server itself never went away
    assert load.outcome.refused
    for _, answer in load.outcome.refused:
        assert (answer.status, answer.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    # Thousands were refused; the log says so in a line a second from each worker.
    assert 0 < len(told) < 60
    assert any("more were refused before it" in line for line in told)


async def _restart_during_load(server: RailtrackServer, cluster: PostgresCluster, how: str) -> Load:
    async with Load(server) as load:
        await load.is_acknowledged_again(within=BACK_SECONDS, count=300)
        assert (await _get(server, "/ready")).status == 200
        await asyncio.to_thread(cluster.stop, how)
        await asyncio.sleep(4)  # /ready keeps what it found for a few seconds
        assert (await _get(server, "/health")).status == 200
        ready = await _get(server, "/ready")
        assert ready.status == 503
        assert "not reachable" in ready.json["database"]
        cluster.start()  # in this thread: the kernel ends the cluster with the thread that started it
        await load.is_acknowledged_again(within=BACK_SECONDS)
        await asyncio.sleep(4)
        assert (await _get(server, "/ready")).status == 200
    return load


async def _get(server: RailtrackServer, path: str) -> Answer:
    connection = Connection(server.port)
    try:
        return await connection.get(path)
    finally:
        connection.close()
