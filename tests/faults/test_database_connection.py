"""Connections to PostgreSQL that break at an awkward moment: the request is told to come again, the next one works."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy

from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url
from railtrack.errors import ApiError

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTDOWN_NOTICE = b"E" + (4 + len(_FIELDS)).to_bytes(4, "big") + _FIELDS
"""What PostgreSQL sends on an idle connection before it closes it (message ErrorResponse of its protocol)."""


@pytest.fixture
async def between(postgres: PostgresServer) -> AsyncIterator[Proxy]:
    async with proxy(urlsplit(postgres.url).port or 5432) as between:
        yield between


@pytest.fixture
async def db(between: Proxy, postgres: PostgresServer) -> AsyncIterator[Db]:
    """One connection, through the proxy."""
    parts = urlsplit(postgres.url)
    address = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{between.port}")).geturl()
    db = open_database(parse_database_url(address), connections=1)
    assert await db.fetch_value("SELECT 1") == 1
    yield db
    await db.close()


async def refused(db: Db) -> None:
    with pytest.raises(ApiError) as caught:
        async with db.write() as tx:
            await tx.fetch_value("SELECT 1")
    assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)


async def test_a_statement_between_the_notice_of_a_shutdown_and_its_end(db: Db, between: Proxy) -> None:
    await between.send_to_clients(SHUTDOWN_NOTICE)
    await refused(db)
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_statement_after_the_connection_was_cut(db: Db, between: Proxy) -> None:
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_connection_that_is_cut_within_a_transaction(db: Db, between: Proxy) -> None:
    with pytest.raises(ApiError) as caught:
        await cut_within_a_transaction(db, between)
    assert caught.value.status == 429, "COMMIT was never sent"
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_connection_that_is_cut_before_the_commit_is_answered(db: Db, between: Proxy) -> None:
    """Nobody knows whether the COMMIT took effect, so the client must not be told that it did not."""
    with pytest.raises(ApiError) as caught:
        await cut_before_the_commit(db, between)
    assert (caught.value.code, caught.value.status) == ("TEMPORARILY_UNAVAILABLE", 503)
    assert await db.fetch_value("SELECT 1") == 1


async def cut_before_the_commit(db: Db, between: Proxy) -> None:
    async with db.write() as tx:
        await tx.fetch_value("SELECT 1")
        await between.cut()


async def test_a_statement_that_commits_itself_on_a_cut_connection(db: Db, between: Proxy) -> None:
    async def stalled() -> None:
        await db.execute("SELECT pg_sleep(30)")

    waiting = asyncio.create_task(stalled())
    await asyncio.sleep(0.2)
    await between.cut()
    with pytest.raises(ApiError) as caught:
        await waiting
    assert caught.value.status == 503


async def test_a_primary_that_turns_read_only(postgres: PostgresServer) -> None:
    """As a failover or a full disk does it: the request is not processed, and the pool connects again."""
    async with postgres.scratch_database() as url:
        name = urlsplit(url).path.removeprefix("/")
        db = open_database(parse_database_url(url), connections=2)
        try:
            await db.execute("CREATE TABLE t (a int)")
            before = await db.fetch_value("SELECT pg_backend_pid()")
            await run_sql(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await db.execute("SET default_transaction_read_only = on")  # the open session learns it, as at a failover
            for write in (lambda: db.execute("INSERT INTO t VALUES (1)"), lambda: insert_in_transaction(db)):
                with pytest.raises(ApiError) as caught:
                    await write()
                assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)
            assert await db.fetch_value("SELECT pg_backend_pid()") != before
            await run_sql(postgres.url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
            with pytest.raises(ApiError):
                await db.execute("INSERT INTO t VALUES (1)")  # this session began when it was read only
            await db.execute("INSERT INTO t VALUES (1)")
            assert await db.fetch_value("SELECT count(*) FROM t") == 1
        finally:
            await db.close()


async def insert_in_transaction(db: Db) -> None:
    async with db.write() as tx:
        await tx.execute("INSERT INTO t VALUES (1)")


async def cut_within_a_transaction(db: Db, between: Proxy) -> None:
    async with db.write() as tx:
        await tx.fetch_value("SELECT 1")
        await between.cut()
        await tx.fetch_value("SELECT 2")
