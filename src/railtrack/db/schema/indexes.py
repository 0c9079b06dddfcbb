"""Railtrack's indexes on MLflow's tables, all named `railtrack_*`. MLflow ignores them.

A new database has them from the start. In a database made by MLflow they are added while the server is running.
"""

import logging

from railtrack.db import Db, Engine, Tx

log = logging.getLogger("railtrack")

INDEXES: dict[str, dict[Engine, str]] = {
    # A page of an experiment's runs in their usual order. MLflow has no index on an experiment's runs: with 40,000 runs
    # a first page took 19 ms instead of 0.7 (SQLite 38 instead of 0.2), that of a small experiment 10 instead of 0.7.
    # SQLite has no NULLS LAST in an index; nulls are last in a descending one.
    "railtrack_runs_by_start_time": {
        "postgresql": "runs (experiment_id, start_time DESC NULLS LAST, run_uuid)",
        "sqlite": "runs (experiment_id, start_time DESC, run_uuid)",
    },
}

INDEX_LOCK = 0x7261696D
"""The key of the PostgreSQL advisory lock for adding indexes: two builds at once on one table would deadlock."""


async def create_indexes(tx: Tx) -> None:
    """Create all indexes in the transaction that creates the tables."""
    for name in INDEXES:
        await tx.execute(f"CREATE INDEX {name} ON {INDEXES[name][tx.engine]}")


async def add_indexes(db: Db) -> None:
    """Add missing indexes without blocking writers. This takes two connections of `db`.

    Return at once if nothing is missing or another process adds them. It may be killed at any step: PostgreSQL then
    leaves an invalid index, which the next call builds again.
    """
    if not await _missing(db):
        return
    async with db.write() as tx:
        if tx.engine == "postgresql" and not await tx.fetch_value("SELECT pg_try_advisory_xact_lock($1)", INDEX_LOCK):
            return
        missing = await _missing(tx)
        # From here on the transaction only holds the lock. CREATE INDEX CONCURRENTLY waits for each open snapshot, also
        # for that of the result just fetched, which the server keeps open until the next simple query.
        await tx.execute("SELECT 1")
        for name, is_invalid in missing.items():
            log.info("Adding the index %s", name)
            if tx.engine == "sqlite":
                await tx.execute(f"CREATE INDEX {name} ON {INDEXES[name]['sqlite']}")
                continue
            if is_invalid:
                await db.execute_alone(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            await db.execute_alone(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {INDEXES[name]['postgresql']}")


async def _missing(tx: Tx) -> dict[str, bool]:
    """Return the missing indexes: name -> True if there is an invalid index of that name."""
    rows = await tx.fetch(
        tx.per_dialect(
            # The engines' catalogues have nothing in common.
            postgresql="""
                SELECT CAST(c.relname AS text), i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
            """,
            sqlite="SELECT name, 1 FROM sqlite_master WHERE type = 'index' AND name = ANY($1)",
        ),
        list(INDEXES),
    )
    valid = {name: bool(is_valid) for name, is_valid in rows}
    return {name: name in valid for name in INDEXES if not valid.get(name)}
