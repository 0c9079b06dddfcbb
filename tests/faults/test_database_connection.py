"""Connections to PostgreSQL fail at critical moments: the request gets a retryable error, and the next one succeeds."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy_of

from railtrack.api.runs.postgres import insert_points_of_active_runs
from railtrack.db import Db
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url
from railtrack.errors import ApiError


def shutdown_notice(sqlstate: str) -> bytes:
    """Return the ErrorResponse message that PostgreSQL sends on an idle connection before closing it."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0Mterminating connection due to administrator command\0\0".encode()
    return b"E" + (4 + len(fields)).to_bytes(4, "big") + fields


@pytest.fixture
async def between(postgres: PostgresServer) -> AsyncIterator[Proxy]:
    async with proxy_of(postgres.url) as between:
        yield between


def database_behind(between: Proxy, url: str, *, connections: int = 1) -> Db:
    """Return the database of the URL with connections through the proxy."""
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{between.port}")).geturl()
    return open_database(parse_database_url(address), connections=connections)


@pytest.fixture
async def db(between: Proxy, postgres: PostgresServer) -> AsyncIterator[Db]:
    """Yield a database with one connection through the proxy."""
    db = database_behind(between, postgres.url)
    assert await db.fetch_value("SELECT 1") == 1
    yield db
    await db.close()


async def assert_rejected(db: Db) -> None:
    with pytest.raises(ApiError) as caught:
        async with db.write() as tx:
            await tx.fetch_value("SELECT 1")
    assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)


@pytest.mark.parametrize(
    "sqlstate", ["57P01", "57P02", "57P03", "57P04", "57P05", "08000", "08001", "08003", "08004", "08006", "08P01"]
)
async def test_a_statement_between_the_shutdown_notice_and_the_disconnect_gets_a_retryable_error(
    db: Db, between: Proxy, sqlstate: str
) -> None:
    """Whatever reason PostgreSQL or a pooler has to end the connection."""
    await between.send_to_clients(shutdown_notice(sqlstate))
    await assert_rejected(db)
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_statement_after_a_disconnect_uses_a_new_connection(db: Db, between: Proxy) -> None:
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_disconnect_within_a_transaction_is_retryable(db: Db, between: Proxy) -> None:
    with pytest.raises(ApiError) as caught:
        await cut_within_a_transaction(db, between)
    assert caught.value.status == 429, "COMMIT was never sent"
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_disconnect_before_the_response_to_commit_is_unavailable(db: Db, between: Proxy) -> None:
    """Whether the COMMIT took effect is unknown, so the response must not report that it did not."""
    with pytest.raises(ApiError) as caught:
        await cut_before_the_commit(db, between)
    assert (caught.value.code, caught.value.status) == ("TEMPORARILY_UNAVAILABLE", 503)
    assert await db.fetch_value("SELECT 1") == 1


async def cut_before_the_commit(db: Db, between: Proxy) -> None:
    async with db.write() as tx:
        await tx.fetch_value("SELECT 1")
        await between.cut()


async def test_a_disconnect_during_an_autocommit_statement_is_unavailable(db: Db, between: Proxy) -> None:
    async def stalled() -> None:
        await db.execute("SELECT pg_sleep(30)")

    waiting = asyncio.create_task(stalled())
    await asyncio.sleep(0.2)
    await between.cut()
    with pytest.raises(ApiError) as caught:
        await waiting
    assert caught.value.status == 503


async def test_a_server_that_freezes_is_waited_for_once(
    between: Proxy, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ROLLBACK nor the release of the connection waits again for a response, and the next request connects."""
    monkeypatch.setattr("railtrack.db.postgres.STATEMENT_TIMEOUT_S", 2)
    monkeypatch.setattr("railtrack.db.postgres.CANCEL_TIMEOUT_S", 0.5)
    db = database_behind(between, postgres.url)

    async def freeze_within_a_transaction() -> None:
        async with db.write() as tx:
            await tx.fetch_value("SELECT 1")
            await between.hold()
            await tx.fetch_value("SELECT 2")

    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        await freeze_within_a_transaction()
    assert caught.value.status == 429
    assert time.monotonic() - began < 4
    await between.release()
    assert await db.fetch_value("SELECT 1") == 1
    await db.close()


async def test_metrics_on_a_cut_connection_may_have_been_stored(db: Db, between: Proxy) -> None:
    """They are written by one statement, which is its own transaction."""
    await db.fetch_by_key("SELECT 1")  # from now on the connection has the plan settings of such statements
    await between.hold()
    waiting = asyncio.create_task(insert_points_of_active_runs(db, ["run"], [], []))
    await asyncio.sleep(0.2)
    await between.cut()
    with pytest.raises(ApiError) as caught:
        await waiting
    assert caught.value.status == 503
    await between.release()


async def test_a_write_to_a_read_only_primary_is_retryable_and_reconnects(postgres: PostgresServer) -> None:
    """A failover or a full disk makes it read-only. The request is not processed, and the pool reconnects."""
    async with postgres.scratch_database() as url:
        name = urlsplit(url).path.removeprefix("/")
        db = open_database(parse_database_url(url), connections=2)
        try:
            await db.execute("CREATE TABLE t (a int)")
            before = await db.fetch_value("SELECT pg_backend_pid()")
            await run_sql(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await db.execute(
                "SET default_transaction_read_only = on"
            )  # make the open session read-only too, as a failover does
            for write in (lambda: db.execute("INSERT INTO t VALUES (1)"), lambda: insert_in_transaction(db)):
                with pytest.raises(ApiError) as caught:
                    await write()
                assert (caught.value.code, caught.value.status) == ("REQUEST_LIMIT_EXCEEDED", 429)
            assert await db.fetch_value("SELECT pg_backend_pid()") != before
            await run_sql(postgres.url, f"ALTER DATABASE {name} RESET default_transaction_read_only")
            with pytest.raises(ApiError):
                await db.execute("INSERT INTO t VALUES (1)")  # this session started while the database was read-only
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
