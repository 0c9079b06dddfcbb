"""Run an upgrade of PostgreSQL: step by step, each a transaction or restartable, under one lock."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from railtrack.backoff import backoff_s
from railtrack.db import Conflict, Db, Tx, UniqueViolation, schema
from railtrack.db.open import open_database, wait_for_database
from railtrack.db.retry import retry_on_conflict
from railtrack.db.upgrade.conversions import Conversion
from railtrack.db.upgrade.plan import Plan, UpgradeStep
from railtrack.db.upgrade.postgres_catalogue import Catalogue, read_catalogue, target_catalogue
from railtrack.db.upgrade.postgres_plan import make_plan
from railtrack.db.upgrade.run import Options, check_rows, describe, find_start, set_revision
from railtrack.db.url import DatabaseUrl
from railtrack.errors import StartError

UPGRADE_LOCK = 0x72757067
"""The key of the PostgreSQL advisory lock of upgrades ("rupg" in ASCII). Starts of servers do not wait for it."""

WAIT_S = 1.0
FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.5, 10.0
MESSAGE_INTERVAL_S = 10.0
PLANS = 5
"""How often a plan is made again after a conflict, before the upgrade stops."""
COUNT_LIMIT_BYTES = 1 << 30
"""Rows of larger tables are not counted. No step rewrites or copies a table."""


async def upgrade(url: DatabaseUrl, options: Options) -> bool:
    """Return True if there was something to do. Servers work on the database meanwhile."""
    db = open_database(url, connections=3)
    try:
        await wait_for_database(db, url, options.wait_s)
        if options.is_dry_run:
            return await _dry_run(db, url, options)
        async with _lock(db, options) as lock:
            async with db.read() as tx:
                start = await find_start(tx, url, options.report)
                rows_before = await _count_rows(tx) if start else {}
            if start is None:
                return False
            await _check_owner(db)
            target = await target_catalogue(db)
            plan = await _run_phase(db, lock, target, options, is_contract=False)
            for conversion in start.conversions:
                await _convert(db, lock, conversion, options)
            plan = await _run_phase(db, lock, target, options, is_contract=True)
            if not plan.is_empty:
                faults = "; ".join(step.title for step in (*plan.expand, *plan.contract))
                raise StartError(f"The upgrade is not complete ({faults}).", "Run the command again.")
            async with db.read() as tx:
                for loss in check_rows(rows_before, await _count_rows(tx), start):
                    options.report(f"Rows were deleted while the upgrade ran: {loss}")
            async with db.write() as tx:
                await set_revision(tx, start)
            options.report(f"The database has revision {schema.REVISION} now.")
            return True
    finally:
        await db.close()


async def _dry_run(db: Db, url: DatabaseUrl, options: Options) -> bool:
    async with db.read() as tx:
        start = await find_start(tx, url, options.report)
    if start:
        describe(start, await _plan(db, await target_catalogue(db)), options.report)
    return start is not None


async def _plan(db: Db, target: Catalogue) -> Plan:
    async with db.read() as tx:
        return make_plan(await read_catalogue(tx), target)


@asynccontextmanager
async def _lock(db: Db, options: Options) -> AsyncIterator[Tx]:
    """Hold the lock of upgrades for the block, by a transaction that does nothing else. Wait for another upgrade."""
    async with db.write() as tx:
        await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        for attempt in itertools.count():
            if await tx.fetch_value("SELECT pg_try_advisory_xact_lock($1)", UPGRADE_LOCK):
                break
            if attempt == 0:
                options.report("Another upgrade of this database is running. Waiting for it.")
            await _check_lock(tx)  # else the other one would wait for the snapshot of this result
            await asyncio.sleep(WAIT_S)
        await _check_lock(tx)
        yield tx


async def _check_lock(lock: Tx) -> None:
    """Raise the driver's error if the connection with the lock was lost, and let go of the last result's snapshot.

    The server keeps that until the next simple query. CREATE INDEX CONCURRENTLY waits for every open snapshot.
    """
    await lock.execute("SELECT 1")


async def _check_owner(db: Db) -> None:
    """Raise StartError if the role may not change the tables, before any is changed."""
    row = await db.fetch_row(
        """
        SELECT CAST(c.relname AS text), CAST(pg_get_userbyid(c.relowner) AS text), CAST(current_user AS text)
        FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
          AND NOT pg_has_role(c.relowner, 'USAGE')
        ORDER BY 1 LIMIT 1
        """,
        schema.tables(),
    )
    if row:
        table, owner, role = row
        raise StartError(
            f"The role {role} may not change the table {table}, which belongs to {owner}.",
            f"Run the upgrade with the login of {owner}, in MLFLOW_BACKEND_STORE_URI.",
        )


async def _run_phase(db: Db, lock: Tx, target: Catalogue, options: Options, *, is_contract: bool) -> Plan:
    """Run the steps before or after the conversions, and return what is still to do. After a conflict, plan again."""
    for _ in range(PLANS):
        plan = await _plan(db, target)
        steps = plan.contract if is_contract else plan.expand
        if not steps:
            return plan
        for step in steps:
            await _check_lock(lock)
            options.report(step.title)
            if not step.is_alone:
                await _run_step(db, lock, step, options)
                continue
            try:
                await db.execute_alone(step.statements[0])
            except UniqueViolation as error:
                raise StartError(
                    f"{step.title}: several rows have the same key ({error.key or error.constraint}).",
                    "Delete or rename all but one of them, and run the command again.",
                ) from error
            except Conflict as error:
                options.report(f"{step.title}: interrupted ({error}). Trying again.")
                break
    return await _plan(db, target)


async def _run_step(db: Db, lock: Tx, step: UpgradeStep, options: Options) -> None:
    """Run a step in a transaction that waits for locks only briefly, and again until it gets them."""
    next_message_at = 0.0
    for attempt in itertools.count():
        try:
            async with db.write() as tx:
                await tx.execute(f"SET LOCAL lock_timeout = {int(options.lock_timeout_s * 1000)}")
                for statement in step.statements:
                    await tx.execute(statement)
            return
        except Conflict:
            if time.monotonic() >= next_message_at:
                options.report(f"{step.title}: other transactions use the tables. Trying again until they end.")
                next_message_at = time.monotonic() + MESSAGE_INTERVAL_S
        await asyncio.sleep(backoff_s(attempt, FIRST_PAUSE_S, PAUSE_LIMIT_S))
        await _check_lock(lock)


async def _convert(db: Db, lock: Tx, conversion: Conversion, options: Options) -> None:
    options.report(conversion.title)
    key, next_message_at = None, time.monotonic() + MESSAGE_INTERVAL_S
    for batch in itertools.count(1):
        await _check_lock(lock)
        key = await retry_on_conflict(_convert_batch, db, conversion, key)
        if key is None:
            return
        if time.monotonic() >= next_message_at:
            options.report(f"{conversion.title}: {batch} batches, up to {key}")
            next_message_at = time.monotonic() + MESSAGE_INTERVAL_S


async def _convert_batch(db: Db, conversion: Conversion, key: object) -> object:
    async with db.write() as tx:
        return await conversion.run_batch(tx, key)


async def _count_rows(tx: Tx) -> dict[str, int]:
    tables = await tx.fetch(
        """
        SELECT CAST(c.relname AS text) FROM pg_class c
        WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
          AND pg_relation_size(c.oid) < $2
        """,
        schema.tables(),
        COUNT_LIMIT_BYTES,
    )
    return {name: await tx.fetch_value(f"SELECT count(*) FROM {name}") for (name,) in tables}  # noqa: S608 (names of schema/)
