"""Opening the database at start: choose the engine, wait for it, create MLflow's tables or recognise them.

Whatever is wrong leaves as a StartError. The tables are in schema/, the engines in postgres.py and sqlite.py.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Mapping
from typing import NoReturn

from railtrack.clock import now_ms
from railtrack.db import Conflict, Db, Engine, Row, Tx, UniqueViolation, schema
from railtrack.db.schema.indexes import add_indexes, create_indexes
from railtrack.db.schema.own_tables import create_own_tables
from railtrack.db.url import SETTING, DatabaseUrl
from railtrack.errors import ApiError, StartError

log = logging.getLogger("railtrack")

RETRY_S, RETRY_MOST_S = 0.25, 2
TOLD_EVERY_S = 5.0
ATTEMPTS = 3

STATEMENTS_AT_ONCE: dict[Engine, int] = {"postgresql": 50, "sqlite": 1}
"""A round trip for each of the 151 statements was a fourth of the creation; SQLite's driver takes one."""

CREATION_LOCK = 0x7261696C
"""The key of the PostgreSQL advisory lock that starters take in turn ("rail" in ASCII)."""

FINAL = {
    "28P01": "Correct the user and the password.",
    "28000": "Correct the user, or let it in (pg_hba.conf).",
    "3D000": "Create that database, or correct its name.",
    "42501": "Connect as the owner of the database, or grant this role USAGE and CREATE on the schema.",
    "25006": "This server only reads: give the address of the primary.",
}
"""The SQLSTATEs that no waiting cures, each with the next step."""

OWN_DATABASE = "Give MLflow's tables a database of their own: CREATE DATABASE mlflow, and name it in the URL."

Found = Mapping[str, Mapping[str, bool]]
"""Of MLflow's tables those that are there: table -> column -> whether an INSERT has to give it a value."""


def open_database(url: DatabaseUrl, *, connections: int, read_only: bool = False) -> Db:
    """The database at `url`, not connected yet; safe to call before a fork, while using it is not.

    `read_only`: for one who looks at a SQLite file without making or changing it.
    """
    if url.engine == "sqlite":
        from railtrack.db.sqlite import SqliteDb

        return SqliteDb(url.path, connections, read_only=read_only)
    from railtrack.db.postgres import PostgresDb

    return PostgresDb(url.driver_arguments(), connections, pooler=url.pooler, shown=url.masked)


async def wait_for_database(db: Db, url: DatabaseUrl, seconds: float) -> None:
    """Return as soon as the database answers; a refused login or a missing database ends the wait at once.

    Every few seconds a line tells that it still waits, and for what.
    """
    began, next_line_at = time.monotonic(), TOLD_EVERY_S
    for attempt in itertools.count():
        try:
            await db.fetch_value("SELECT 1")
            return
        except ApiError as error:
            cause = error.__cause__ or error
        # A ValueError is a fault of the settings: a certificate that doesn't match, a name that is none.
        if _sqlstate(cause) in FINAL or isinstance(cause, ValueError) or url.engine == "sqlite":
            _give_up(url, cause)
        waited = time.monotonic() - began
        if waited >= seconds:
            within = f" within {seconds:g} s" if seconds else ""
            raise StartError(
                f"Could not connect to backend store {url.masked}{within} ({_words(cause)}).",
                f"Check {SETTING}, and that PostgreSQL runs there and can be reached from here.",
            )
        if waited >= next_line_at:
            where = f"{url.host} port {url.port}"
            log.info("Waited %.0f of %g s for PostgreSQL at %s: %s", waited, seconds, where, _words(cause))
            next_line_at = waited + TOLD_EVERY_S
        await asyncio.sleep(min(RETRY_S * 2**attempt, RETRY_MOST_S))


async def prepare(db: Db, url: DatabaseUrl, *, default_location: str) -> None:
    """Create MLflow's tables in an empty database; recognise or refuse any other.

    Any number of starters may do this at once and be killed at any step: it is one transaction, under a lock.
    Where there is no experiment at all, Default is made, with the id 0, as MLflow does; `default_location` is
    its artifact location.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with db.write() as tx:
                await _prepare(tx, url, default_location)
            return
        except (Conflict, UniqueViolation) as error:
            # MLflow starts on the same database at the same time, and takes no lock.
            if attempt == ATTEMPTS:
                _give_up(url, error)
        except Exception as error:
            _tell_if_final(url, error)
            raise


async def look(db: Db, url: DatabaseUrl) -> str | None:
    """What prepare() would find, as recognise() returns it, without changing anything. Raises StartError."""
    try:
        async with db.read() as tx:
            return await recognise(tx, url)
    except Exception as error:
        _tell_if_final(url, error)
        raise


async def complete(url: DatabaseUrl) -> None:
    """Add the indexes that a database made by MLflow lacks, while others already use it. A failure is only logged."""
    db = open_database(url, connections=2)
    try:
        await add_indexes(db)
    except Exception as error:
        log.warning("The database's indexes could not be completed; the next start tries again: %s", _words(error))
    finally:
        await db.close()


async def _prepare(tx: Tx, url: DatabaseUrl, default_location: str) -> None:
    if tx.engine == "postgresql":  # on SQLite the writer is alone anyway
        await tx.execute("SELECT pg_advisory_xact_lock($1)", CREATION_LOCK)
    revision = await recognise(tx, url)
    if revision is None:
        await _create(tx)
        log.info("Created MLflow's tables in %s", url.masked)
    elif revision != schema.REVISION:
        log.info("The database is of MLflow's newer revision %s, and has all we need", revision)
    await create_own_tables(tx)
    await tx.execute(
        """
        INSERT INTO experiments (
            experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time,
            workspace
        )
        SELECT 0, 'Default', $1, 'active', CAST($2 AS BIGINT), CAST($2 AS BIGINT), 'default'
        WHERE NOT EXISTS (SELECT 1 FROM experiments)
        """,
        default_location,
        now_ms(),
    )


async def _create(tx: Tx) -> None:
    statements = iter(schema.create_statements(tx.engine))
    while some := list(itertools.islice(statements, STATEMENTS_AT_ONCE[tx.engine])):
        await tx.execute(";".join(some))
    await create_indexes(tx)
    await tx.execute("INSERT INTO alembic_version (version_num) VALUES ($1)", schema.REVISION)
    await tx.execute(
        """
        INSERT INTO workspaces (name, description)
        VALUES ('default', 'Default workspace for legacy resources')
        """
    )


async def recognise(tx: Tx, url: DatabaseUrl) -> str | None:
    """The revision of MLflow's tables, which are such that we can serve them. None: none of their names is taken.

    Raises StartError for tables that cannot be served. Changes nothing.
    """
    found = await _tables(tx)
    revisions = await _revisions(tx) if "version_num" in found.get("alembic_version", {}) else []
    if revisions == [schema.REVISION]:
        return schema.REVISION
    if not found:
        return None
    if not found.keys() >= {"experiments", "runs", "metrics"}:
        _refuse_foreign(found, url)
    if len(revisions) != 1 or schema.is_older(revisions[0]):
        raise StartError(
            f"{SETTING}: the database was made by an older MLflow.",
            f"Make a backup, then upgrade it with MLflow 3.17.2: mlflow db upgrade {url.masked}",
        )
    _refuse_unfit(found, revisions[0], url)
    return revisions[0]


async def _tables(tx: Tx) -> Found:
    """What there is of MLflow's tables. The two catalogues have nothing in common."""
    rows: list[Row] = await tx.fetch(
        tx.per_dialect(
            postgresql="""
                SELECT CAST(c.relname AS text), CAST(a.attname AS text),
                       a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
                  AND a.attnum > 0 AND NOT a.attisdropped AND CAST(c.relname AS text) = ANY($1)
            """,
            sqlite="""
                SELECT t.name, c.name, c."notnull" AND c.dflt_value IS NULL
                FROM sqlite_master t JOIN pragma_table_info(t.name) c
                WHERE t.type = 'table' AND t.name = ANY($1)
            """,
        ),
        schema.tables(),
    )
    found: dict[str, dict[str, bool]] = {}
    for table, column, must_be_given in rows:
        found.setdefault(table, {})[column] = bool(must_be_given)
    return found


async def _revisions(tx: Tx) -> list[str]:
    return [revision for (revision,) in await tx.fetch("SELECT version_num FROM alembic_version")]


def _refuse_foreign(found: Found, url: DatabaseUrl) -> NoReturn:
    """Tables of another application bear MLflow's names. (Tables of other names are no hindrance.)"""
    if "alembic_version" in found:
        use = "is in use by another application, which keeps an alembic_version of its own there"
    else:
        use = f"has another application's tables under names that MLflow uses: {', '.join(sorted(found))}"
    raise StartError(f"{SETTING}: {url.masked} {use}.", OWN_DATABASE)


def _refuse_unfit(found: Found, revision: str, url: DatabaseUrl) -> None:
    """A newer revision serves if it has all columns that we use and no new one that we would have to fill."""
    lacks, wants = [], []
    for table, needed in schema.used_columns().items():
        present = found.get(table, {})
        lacks += [f"{table}.{column}" for column in sorted(needed - present.keys())]
        wants += [f"{table}.{column}" for column in present if present[column] and column not in needed]
    if lacks or wants:
        faults = [f"lacks {', '.join(lacks)}"] if lacks else []
        faults += [f"wants values for {', '.join(wants)}"] if wants else []
        raise StartError(
            f"{SETTING}: {url.masked} was made by a newer MLflow (revision {revision}). It {' and '.join(faults)}.",
            "Use a newer Railtrack, or another database.",
        )


def _tell_if_final(url: DatabaseUrl, error: Exception) -> None:
    """Raise the StartError for what no further attempt mends."""
    if isinstance(error, ApiError) or _sqlstate(error) in FINAL:
        _give_up(url, error.__cause__ or error)


def _give_up(url: DatabaseUrl, cause: BaseException) -> NoReturn:
    state = _sqlstate(cause)
    # A pooler has words of its own for this one; people and platforms look for PostgreSQL's.
    fault = f'password authentication failed for user "{url.user}"' if state == "28P01" else _words(cause)
    file = "It has to be a SQLite file, in a folder that this user may write to."
    advice = FINAL.get(state, file if url.engine == "sqlite" else "Correct the URL.")
    raise StartError(f"{SETTING}: {fault} ({url.masked}).", advice) from None


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _words(error: BaseException) -> str:
    """The driver's words in one line; some of its errors have none."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio has "[Errno 111] Connect call failed" and the address again
    return str(error).partition("\n")[0] or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
