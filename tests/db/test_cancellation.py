"""Statements of cancelled requests: they end, and their connections serve other requests."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.servers.processes import TIMEOUT_S, until

from railtrack.db import Db

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"

RUNNING = f"""
    SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
        AND query LIKE '%{ENDLESS}%' AND pid <> pg_backend_pid()
"""


async def fetch(db: Db) -> Any:
    return await db.fetch(ENDLESS)


async def fetch_by_key(db: Db) -> Any:
    return await db.fetch_by_key(ENDLESS)


async def read(db: Db) -> Any:
    async with db.read() as tx:
        return await tx.fetch_value(ENDLESS)


async def write(db: Db) -> Any:
    async with db.write() as tx:
        await tx.execute("UPDATE experiments SET name = 'changed'")
        return await tx.fetch_value(ENDLESS)


async def insert(db: Db) -> Any:
    return await db.execute(f"INSERT INTO experiments (name) {ENDLESS.replace('COUNT(*)', 'CAST(COUNT(*) AS TEXT)')}")


async def no_statement_runs(db: Db) -> None:
    while await db.fetch_value(RUNNING):
        pass


@pytest.mark.parametrize("work", [fetch, fetch_by_key, read, write, insert])
async def test_a_cancelled_statement_ends_and_its_connection_is_reused(
    db: Db, work: Callable[[Db], Awaitable[Any]]
) -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        for _ in range(3):
            tasks = [asyncio.ensure_future(work(db)) for _ in range(4)]
            await until(lambda: db.connections().in_use > 0)
            for task in tasks:
                task.cancel()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), TIMEOUT_S)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 4
            await until(lambda: db.connections().in_use == 0)
        assert await db.fetch_value("SELECT name FROM experiments WHERE experiment_id = 0") == "Default"
        await db.execute("UPDATE experiments SET name = 'again' WHERE experiment_id = 0")
        if db.engine == "postgresql":
            await asyncio.wait_for(no_statement_runs(db), TIMEOUT_S)
        gc.collect()  # an exception that nobody has retrieved is reported when its future is freed
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert not reported, reported
