"""Hundreds of failures and cancellations leave no connection of the pool unusable, and none open outside of it."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from tests.faults.test_database_connection import database_behind
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresServer
from tests.servers.processes import until
from tests.servers.proxy import Proxy, proxy_of

from railtrack.db import Conflict, Db, UniqueViolation
from railtrack.errors import ApiError

SIZE = 5
OPERATIONS = 300
AT_ONCE = 12
"""More than SIZE, so that some are cancelled while they wait for a connection."""
CUTS = 15
SLEEP = "SELECT pg_sleep($1)"


@pytest.fixture
async def url(postgres: PostgresServer) -> AsyncIterator[str]:
    async with postgres.scratch_database() as url:
        await run_sql(url, "CREATE TABLE t (a int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        yield url


@pytest.fixture
async def between(url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(url) as between:
        yield between


class _HandlerError(Exception):
    """Raised by a handler within its transaction."""


async def read(db: Db, seconds: float) -> None:
    async with db.read() as tx:
        await tx.fetch("SELECT * FROM t")
        await tx.fetch(SLEEP, seconds)


async def write(db: Db, seconds: float) -> None:
    async with db.write() as tx:
        tx.set_commit_check("SELECT 1 FROM t WHERE a = $1", 1)
        await tx.execute("UPDATE t SET a = a")
        await tx.fetch(SLEEP, seconds)


async def fetch(db: Db, seconds: float) -> None:
    await db.fetch(SLEEP, seconds)


async def fetch_by_key(db: Db, seconds: float) -> None:
    await db.fetch_by_key(SLEEP, seconds, commits=True)


async def raise_within_a_transaction(db: Db, seconds: float) -> None:
    async with db.write() as tx:
        await tx.fetch(SLEEP, seconds)
        raise _HandlerError


async def violate_a_constraint(db: Db, seconds: float) -> None:
    async with db.write() as tx:
        await tx.fetch(SLEEP, seconds)
        await tx.execute("INSERT INTO t VALUES (1)")


async def time_out(db: Db, seconds: float) -> None:
    await db.fetch(SLEEP, 3)  # a session whose connection was cut ends after its statement


async def end_own_session(db: Db, seconds: float) -> None:
    await db.fetch("SELECT pg_terminate_backend(pg_backend_pid())")


OPERATION_KINDS: list[Callable[[Db, float], Awaitable[None]]] = [
    *(read, write, fetch, fetch_by_key) * 3,
    raise_within_a_transaction,
    violate_a_constraint,
    time_out,
    end_own_session,
]


async def run_operations(db: Db, between: Proxy) -> Counter[str]:
    """Return how often the operations had each outcome."""
    chance = random.Random(11)
    outcomes: Counter[str] = Counter()
    left = iter(range(OPERATIONS))

    async def work() -> None:
        for number in left:
            if number % (OPERATIONS // CUTS) == 0:
                await between.cut()
            operation = asyncio.ensure_future(chance.choice(OPERATION_KINDS)(db, chance.choice((0, 0.02, 0.1))))
            if chance.random() < 0.5:  # as when the client of the request is gone
                await asyncio.sleep(chance.random() * 0.1)
                operation.cancel()
            try:
                await operation
                outcomes["done"] += 1
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1
            except ApiError as error:
                outcomes[str(error.status)] += 1
            except (_HandlerError, UniqueViolation, Conflict) as error:
                outcomes[type(error).__name__] += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return outcomes


async def sessions(url: str) -> int:
    """Return how many sessions of Railtrack the server has."""
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'railtrack'"
        )
        return count
    finally:
        await connection.close()


@pytest.mark.slow
async def test_the_pool_is_complete_after_hundreds_of_failures_and_cancellations(
    between: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.db.postgres.STATEMENT_TIMEOUT_S", 0.5)
    db = database_behind(between, url, connections=SIZE)
    try:
        outcomes = await run_operations(db, between)
        assert outcomes.keys() >= {"done", "cancelled", "429", "503", "_HandlerError", "UniqueViolation"}, outcomes
        assert outcomes["cancelled"] > OPERATIONS / 10, outcomes
        await until(lambda: db.connections().in_use == 0, db.connections)

        async with contextlib.AsyncExitStack() as held:
            transactions = [await held.enter_async_context(db.read()) for _ in range(SIZE)]
            assert [await tx.fetch_value("SELECT 1") for tx in transactions] == [1] * SIZE
            assert db.connections() == (SIZE, SIZE, SIZE)
        assert db.connections() == (0, SIZE, SIZE)

        async with asyncio.timeout(60):
            while await sessions(url) != db.connections().open:  # noqa: ASYNC110 (a session ends some time after its socket)
                await asyncio.sleep(0.1)
    finally:
        await db.close()
