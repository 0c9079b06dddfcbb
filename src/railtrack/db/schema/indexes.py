"""Railtrack's own indexes on MLflow's tables, all named `railtrack_*`. MLflow neither needs nor minds them.

A new database has them from the start; in one that MLflow made they are added while the server already serves.
"""

import logging

from railtrack.db import Db, Engine, Tx

log = logging.getLogger("railtrack")

INDEXES: dict[str, dict[Engine, str]] = {
    # A page of an experiment's runs in their usual order. MLflow has no index on an experiment's runs at all: with
    # 40,000 runs a first page took 19 ms and takes 0.7 (SQLite 38 and 0.2), one of a small experiment 10 and 0.7.
    # SQLite knows no NULLS LAST in an index, and has nulls last in a descending one anyway.
    "railtrack_runs_by_start_time": {
        "postgresql": "runs (experiment_id, start_time DESC NULLS LAST, run_uuid)",
        "sqlite": "runs (experiment_id, start_time DESC, run_uuid)",
    },
}

INDEX_LOCK = 0x7261696D
"""The key of the PostgreSQL advisory lock of whoever adds indexes: two at once on one table would dead-lock."""


async def create_indexes(tx: Tx) -> None:
    """All of them, in the transaction that creates the tables."""
    for name in INDEXES:
        await tx.execute(f"CREATE INDEX {name} ON {INDEXES[name][tx.engine]}")


async def add_indexes(db: Db) -> None:
    """Add what a database lacks, without holding up its writers. Takes two connections of `db` for as long.

    May be killed at any step: PostgreSQL then leaves an index that is not valid, and the next call builds it anew.
    Returns at once where nothing is missing, or where somebody else is at it.
    """
    if not await _missing(db):
        return
    async with db.write() as tx:
        if tx.engine == "postgresql" and not await tx.fetch_value("SELECT pg_try_advisory_xact_lock($1)", INDEX_LOCK):
            return
        missing = await _missing(tx)
        # From here on the transaction only holds the lock. The builder waits for all that can still see old rows, and
        # so for the result just fetched, which stays open on the server until the next plain statement.
        await tx.execute("SELECT 1")
        for name, is_there in missing.items():
            log.info("Adding the index %s", name)
            if tx.engine == "sqlite":
                await tx.execute(f"CREATE INDEX {name} ON {INDEXES[name]['sqlite']}")
                continue
            if is_there:
                await db.execute_alone(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            await db.execute_alone(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {INDEXES[name]['postgresql']}")


async def _missing(tx: Tx) -> dict[str, bool]:
    """Name -> whether there is an index of that name which is not valid."""
    rows = await tx.fetch(
        tx.per_dialect(
            # Of the catalogues: PostgreSQL's also tells which indexes were never finished.
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
