"""Start, replace and kill three replicas behind a load balancer, on one PostgreSQL behind PgBouncer."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.logging_load import CONNECTIONS, Load, check_stored
from tests.servers.balancer import Balancer, balancer
from tests.servers.databases import rows, scratch_database
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer

REPLICAS = 3
POOL_SIZE = 5


@pytest.fixture
def pooled(postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Yield the URLs of an empty database: direct, and through PgBouncer."""
    with (
        scratch_database("postgresql", tmp_path, postgres) as database,
        pgbouncer(database, pool_size=POOL_SIZE) as url,
    ):
        yield database, url


@pytest.fixture
def replicas(pooled: tuple[str, str], tmp_path: Path) -> Iterator[list[RailtrackServer]]:
    """Yield three ready servers that were started concurrently on the empty database."""
    servers = []
    for number in range(REPLICAS):
        folder = tmp_path / f"replica-{number}"
        folder.mkdir()
        servers.append(RailtrackServer(folder, pooled[1], {"GUNICORN_WORKERS": "1", "GUNICORN_THREADS": "4"}))
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_healthy(path="/ready")
        yield servers
    finally:
        for server in servers:
            server.stop()


def test_replacing_three_replicas_one_by_one_loses_no_acknowledged_write(
    replicas: list[RailtrackServer], pooled: tuple[str, str]
) -> None:
    database = pooled[0]
    assert rows(database, "SELECT experiment_id, name FROM experiments") == [(0, "Default")]
    assert len(rows(database, "SELECT version_num FROM alembic_version")) == 1
    first = [server.pid for server in replicas]

    load = asyncio.run(_replace_one_by_one(replicas))
    assert not set(first) & {server.pid for server in replicas}
    check_stored(database, load.run_id, load.outcome)
    assert not load.outcome.statuses, load.outcome.rejected[:3]
    # Each replacement breaks a connection at most once: its next request goes to another replica.
    assert len(load.outcome.lost) <= REPLICAS * CONNECTIONS
    for server in replicas:
        server.stop()
        assert server.logged_errors() == []


async def _replace_one_by_one(replicas: list[RailtrackServer]) -> Load:
    """Replace each replica as a rolling update does: remove from the balancer, SIGTERM, start, add once it is ready."""
    async with balancer(server.port for server in replicas) as front, Load(front) as load:
        await load.wait_for_acknowledgements(count=300)
        for server in replicas:
            front.ready.remove(server.port)
            server.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait_ended) == 0
            await load.wait_for_acknowledgements()
            await _restart(server, front)
            await load.wait_for_acknowledgements()
    return load


async def _restart(server: RailtrackServer, front: Balancer) -> None:
    server.launch()
    await asyncio.to_thread(server.wait_until_healthy, path="/ready")
    if server.port not in front.ready:
        front.ready.append(server.port)


def test_killing_a_replica_under_load_loses_no_acknowledged_write(
    replicas: list[RailtrackServer], pooled: tuple[str, str]
) -> None:
    load = asyncio.run(_kill_one(replicas))
    check_stored(pooled[0], load.run_id, load.outcome)
    assert not load.outcome.statuses, load.outcome.rejected[:3]
    assert len(load.outcome.lost) <= 2 * CONNECTIONS
    for server in replicas:
        server.stop()
        assert server.logged_errors() == []


async def _kill_one(replicas: list[RailtrackServer]) -> Load:
    """Kill the master and worker of a replica that the balancer still uses, and start it again."""
    async with balancer(server.port for server in replicas) as front, Load(front) as load:
        await load.wait_for_acknowledgements(count=300)
        victim = replicas[0]
        await asyncio.to_thread(victim.kill)
        await load.wait_for_acknowledgements(count=300)
        await _restart(victim, front)
        await load.wait_for_acknowledgements(count=300)
    return load
