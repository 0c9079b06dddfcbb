"""Which statements PostgreSQL plans each time and which it keeps a plan of, on one connection that serves both."""

from collections.abc import AsyncIterator

import pytest
from tests.servers.postgres import PostgresServer

from railtrack.db import Db, Tx
from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url

PLANNING = "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan')"
EACH_TIME, ONCE = ("force_custom_plan", "on"), ("force_generic_plan", "off")


@pytest.fixture
async def db(postgres: PostgresServer) -> AsyncIterator[Db]:
    async with postgres.scratch_database() as url:
        db = open_database(parse_database_url(url), connections=1)
        yield db
        await db.close()


async def planned(tx: Tx) -> tuple[str, str]:
    [row] = await tx.fetch(PLANNING)
    return tuple(row)


async def test_searches_are_planned_each_time(db: Db) -> None:
    assert await planned(db) == EACH_TIME
    async with db.read() as tx:
        assert await planned(tx) == EACH_TIME


async def test_statements_by_key_are_planned_once(db: Db) -> None:
    assert [tuple(row) for row in await db.fetch_by_key(PLANNING)] == [ONCE]
    assert await planned(db) == EACH_TIME


async def test_writes_are_planned_once_also_after_a_rollback(db: Db) -> None:
    with pytest.raises(ZeroDivisionError):
        await look_and_raise(db)
    async with db.write() as tx:
        assert await planned(tx) == ONCE
    assert await planned(db) == EACH_TIME


async def look_and_raise(db: Db) -> None:
    async with db.write() as tx:
        assert await planned(tx) == ONCE
        raise ZeroDivisionError
