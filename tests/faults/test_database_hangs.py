"""PostgreSQL stops responding without closing a connection, or one statement takes too long."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults.logging_load import CONNECTIONS, Load, check_stored
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, PostgresServer, postgres_cluster
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url
from railtrack.errors import ApiError

QUICK_WATCH = {
    "railtrack.db.recovery.HOLD_S": 1,
    "railtrack.db.recovery.COMMIT_CHECK_S": 1,
    "railtrack.db.recovery.WATCH_INTERVAL_S": 0.5,
    "railtrack.db.recovery.LONG_USE_S": 1,
    "railtrack.db.recovery.PROBE_TIMEOUT_S": 2,
}
STATEMENT_TIMEOUT_S = 60


@pytest.fixture
async def db(postgres: PostgresServer) -> AsyncIterator[Db]:
    db = open_database(parse_database_url(postgres.url), connections=2)
    yield db
    await db.close()


@pytest.mark.slow
def test_requests_do_not_wait_for_the_timeout_of_their_statement_when_postgresql_freezes(tmp_path: Path) -> None:
    with (
        postgres_cluster(fsync=False) as cluster,
        scratch_database("postgresql", tmp_path, cluster) as database,
        railtrack_server(tmp_path / "server", database, constants=QUICK_WATCH) as server,
    ):
        load, seconds = asyncio.run(_freeze_during_load(server, cluster))
        check_stored(database, load.run_id, load.outcome)
        assert "Traceback" not in server.log()
    assert seconds < STATEMENT_TIMEOUT_S
    assert load.outcome.lost == []
    assert set(load.outcome.statuses) <= {429, 503}


async def _freeze_during_load(server: RailtrackServer, cluster: PostgresCluster) -> tuple[Load, float]:
    """Return the load and the time until it had a response for each connection."""
    async with Load(server) as load:
        await load.wait_for_acknowledgements()
        frozen_at = time.monotonic()
        cluster.freeze()
        try:
            await until(lambda: len(load.outcome.rejected) >= CONNECTIONS, lambda: load.outcome.statuses)
            seconds = time.monotonic() - frozen_at
        finally:
            cluster.thaw()
        await load.wait_for_acknowledgements()
    return load, seconds


async def test_a_statement_that_takes_too_long_does_not_close_other_connections(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.postgres.STATEMENT_TIMEOUT_S", 2)
    async with db.read() as tx:
        other = await tx.fetch_value("SELECT pg_backend_pid()")
        with pytest.raises(ApiError) as caught:
            await db.fetch_value("SELECT pg_sleep(60)")
        assert await tx.fetch_value("SELECT pg_backend_pid()") == other
    assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)
    assert "did not finish a statement of this request within 2 s" in caught.value.message
    assert other in [await db.fetch_value("SELECT pg_backend_pid()") for _ in range(2)]
    assert not db.is_away


async def test_a_long_statement_of_a_server_that_responds_is_not_interrupted(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.recovery.WATCH_INTERVAL_S", 0.1)
    monkeypatch.setattr("railtrack.db.recovery.LONG_USE_S", 0.2)
    assert await db.fetch_value("SELECT 'done' FROM pg_sleep(2)") == "done"


async def test_a_request_that_gets_no_connection_in_time_is_not_processed(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.postgres.ACQUIRE_TIMEOUT_S", 1)
    assert await db.fetch_value("SELECT 1") == 1
    async with db.read(), db.read():
        with pytest.raises(ApiError) as caught:
            await db.fetch_value("SELECT 1")
    assert caught.value.status == 429
    assert "All 2 database connections were in use for 1 s" in caught.value.message
    assert not db.is_away
