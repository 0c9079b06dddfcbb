"""Connections to PostgreSQL that break at an awkward moment: the request is told to come again, the next one works."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
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
    assert (caught.value.code, caught.value.status) == ("TEMPORARILY_UNAVAILABLE", 503)
    assert caught.value.retry_after


async def test_a_statement_between_the_notice_of_a_shutdown_and_its_end(db: Db, between: Proxy) -> None:
    await between.say_to_clients(SHUTDOWN_NOTICE)
    await refused(db)
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_statement_after_the_connection_was_cut(db: Db, between: Proxy) -> None:
    await between.cut()
    assert await db.fetch_value("SELECT 1") == 1


async def test_a_connection_that_is_cut_within_a_transaction(db: Db, between: Proxy) -> None:
    with pytest.raises(ApiError) as caught:
        await cut_within_a_transaction(db, between)
    assert caught.value.status == 503
    assert await db.fetch_value("SELECT 1") == 1


async def cut_within_a_transaction(db: Db, between: Proxy) -> None:
    async with db.write() as tx:
        await tx.fetch_value("SELECT 1")
        await between.cut()
        await tx.fetch_value("SELECT 2")
