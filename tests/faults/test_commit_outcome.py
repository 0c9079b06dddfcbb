"""The connection to PostgreSQL is lost during COMMIT: the server finds out whether the transaction was committed."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.faults.test_database_connection import database_behind
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy_of

from railtrack.db import Db
from railtrack.db.retry import idempotent
from railtrack.errors import ApiError

INSERT = "INSERT INTO t (a) VALUES ($1)"
CHECK = "SELECT 1 FROM t WHERE a = $1"
SLOW_COMMIT = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.a = 'slow') EXECUTE FUNCTION wait();
"""


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    async with postgres.scratch_database() as url:
        await run_sql(url, "CREATE TABLE t (a text PRIMARY KEY)", SLOW_COMMIT)
        yield url


@pytest.fixture
async def between(url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(url) as between:
        yield between


@pytest.fixture
async def db(url: str, between: Proxy) -> AsyncIterator[Db]:
    db = database_behind(between, url, connections=2)
    assert await db.fetch_value("SELECT 1") == 1
    yield db
    await db.close()


async def insert(db: Db, value: str) -> str:
    async with db.write() as tx:
        await tx.execute(INSERT, value)
        tx.set_commit_check(CHECK, value)
        return "the result of the block"


async def stored(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch("SELECT a FROM t ORDER BY a")]
    finally:
        await connection.close()


async def wait_until_committing(url: str) -> None:
    """Return when a server process runs COMMIT."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while not await connection.fetchval(  # noqa: ASYNC110 (another process)
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'COMMIT;'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_a_commit_whose_response_is_lost_succeeds(db: Db, between: Proxy, url: str) -> None:
    async def insert_and_lose_the_response() -> str:
        async with db.write() as tx:
            await tx.execute(INSERT, "a")
            tx.set_commit_check(CHECK, "a")
            await between.hold_responses()
            return "the result of the block"

    inserting = asyncio.create_task(insert_and_lose_the_response())
    async with asyncio.timeout(60):
        while await stored(url) != ["a"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
    await between.cut()
    await between.release()
    assert await inserting == "the result of the block"


async def test_a_commit_that_never_arrived_is_not_processed(db: Db, between: Proxy, url: str) -> None:
    async def insert_and_cut() -> None:
        async with db.write() as tx:
            await tx.execute(INSERT, "a")
            tx.set_commit_check(CHECK, "a")
            await between.cut()

    with pytest.raises(ApiError) as caught:
        await insert_and_cut()
    assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)
    assert await stored(url) == []


async def test_a_commit_that_still_runs_after_the_connection_was_lost_is_waited_for(
    db: Db, between: Proxy, url: str
) -> None:
    """The row is not there yet when the server looks for it. That does not mean that it will not be."""
    inserting = asyncio.create_task(insert(db, "slow"))
    await wait_until_committing(url)
    await between.cut()
    assert await stored(url) == []
    assert await inserting == "the result of the block"
    assert await stored(url) == ["slow"]


async def test_an_idempotent_change_is_made_again_if_its_commit_was_lost(db: Db, between: Proxy, url: str) -> None:
    attempts = 0

    @idempotent
    async def upsert() -> None:
        nonlocal attempts
        attempts += 1
        async with db.write() as tx:
            await tx.execute(f"{INSERT} ON CONFLICT (a) DO NOTHING", "a")
            if attempts == 1:
                await between.cut()

    await upsert()
    assert attempts == 2
    assert await stored(url) == ["a"]


async def test_a_commit_is_unknown_if_the_database_does_not_come_back_in_time(
    db: Db, between: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.recovery.COMMIT_CHECK_S", 1)
    inserting = asyncio.create_task(insert(db, "slow"))
    await wait_until_committing(url)
    began = time.monotonic()
    await between.close()
    with pytest.raises(ApiError) as caught:
        await inserting
    assert (caught.value.code, caught.value.status) == ("TEMPORARILY_UNAVAILABLE", 503)
    assert time.monotonic() - began < 30
