"""Run an upgrade of a SQLite file: one transaction, which an interruption rolls back."""

import asyncio
import os
from pathlib import Path

from railtrack.db import Conflict, Tx, schema
from railtrack.db.open import open_database
from railtrack.db.upgrade.plan import REPLACE, Plan, UpgradeStep
from railtrack.db.upgrade.run import Options, Start, check_rows, describe, find_start, set_revision
from railtrack.db.upgrade.sqlite_plan import Catalogue, make_plan, read_catalogue
from railtrack.db.url import DatabaseUrl
from railtrack.errors import StartError

WAIT_S = 1.0
DISK_RESERVE = 1.1


async def upgrade(url: DatabaseUrl, options: Options) -> bool:
    """Return True if there was something to do. Readers are served meanwhile; writers wait until the end."""
    target = await _target_catalogue()
    if options.is_dry_run:
        return await _dry_run(url, target, options)
    db = open_database(url, connections=1, enforces_foreign_keys=False)
    try:
        while True:
            try:
                async with db.write() as tx:
                    return await _upgrade(tx, url, target, options)
            except Conflict:
                options.report("Another process writes to the database. Waiting for it.")
                await asyncio.sleep(WAIT_S)
    finally:
        await db.close()


async def _target_catalogue() -> Catalogue:
    """Return the tables of schema/ as SQLite describes them."""
    db = open_database(DatabaseUrl("sqlite", path=":memory:"), connections=1)
    try:
        async with db.write() as tx:
            for statement in schema.create_statements("sqlite"):
                await tx.execute(statement)
            return await read_catalogue(tx)
    finally:
        await db.close()


async def _dry_run(url: DatabaseUrl, target: Catalogue, options: Options) -> bool:
    db = open_database(url, connections=1, read_only=True)
    try:
        async with db.read() as tx:
            start = await find_start(tx, url, options.report)
            if start:
                describe(start, make_plan(await read_catalogue(tx), target), options.report)
            return start is not None
    finally:
        await db.close()


async def _upgrade(tx: Tx, url: DatabaseUrl, target: Catalogue, options: Options) -> bool:
    start = await find_start(tx, url, options.report)
    if start is None:
        return False
    current = await read_catalogue(tx)
    plan = make_plan(current, target)
    _check_disk(url, plan)
    # Otherwise SQLite rejects the new name of a table while a view or trigger refers to the old one.
    await tx.execute("PRAGMA legacy_alter_table = ON")
    rows_before = await _count_rows(tx, current)
    violations_before = await _count_violations(tx)
    for step in plan.expand:
        await _run(tx, step, options)
    for conversion in start.conversions:
        options.report(conversion.title)
        key = None
        while (key := await conversion.run_batch(tx, key)) is not None:
            pass
    for step in plan.contract:
        await _run(tx, step, options)
    await tx.execute("PRAGMA legacy_alter_table = OFF")
    await _check(tx, start, target, rows_before, violations_before)
    await set_revision(tx, start)
    options.report(f"The database has revision {schema.REVISION} now.")
    return True


async def _run(tx: Tx, step: UpgradeStep, options: Options) -> None:
    options.report(step.title)
    for statement in step.statements:
        await tx.execute(statement)


def _check_disk(url: DatabaseUrl, plan: Plan) -> None:
    """Raise StartError if the disk is too small for the copies of tables, which the write-ahead log has as well."""
    if not any(step.title.startswith(REPLACE) for step in plan.contract):
        return
    path = Path(url.path).absolute()
    need, free = int(path.stat().st_size * DISK_RESERVE), _free_bytes(path.parent)
    if free < need:
        raise StartError(
            f"{url.setting}: the upgrade copies tables and needs up to {need >> 20} MiB of disk; {path.parent} has "
            f"{free >> 20} MiB left.",
            "Make room, or copy the file to a larger disk, upgrade it there, and copy it back.",
        )


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


async def _count_rows(tx: Tx, tables: Catalogue) -> dict[str, int]:
    return {name: await tx.fetch_value(f"SELECT count(*) FROM {name}") for name in tables}  # noqa: S608 (names of schema/)


async def _count_violations(tx: Tx) -> int:
    """Count rows that refer to rows that do not exist. MLflow may have left some: it did not always enforce keys."""
    return int(await tx.fetch_value("SELECT count(*) FROM pragma_foreign_key_check"))


async def _check(tx: Tx, start: Start, target: Catalogue, rows_before: dict[str, int], violations_before: int) -> None:
    """Raise StartError, which rolls everything back, unless the result is what was intended."""
    current = await read_catalogue(tx)
    plan = make_plan(current, target)
    faults = [step.title for step in (*plan.expand, *plan.contract)]
    faults += check_rows(rows_before, await _count_rows(tx, current), start)
    if (violations := await _count_violations(tx)) > violations_before:
        faults.append(f"{violations - violations_before} rows refer to rows that do not exist")
    if faults:
        raise StartError(
            f"The upgrade was rolled back: its result would not be right ({'; '.join(faults)}).", "Please report this."
        )
