"""Open the database at the start: choose the engine, wait for it, create or identify MLflow's tables.

Failures are raised as StartError. The tables are in schema/, the engines in postgres.py and sqlite.py.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from railtrack.backoff import backoff_s
from railtrack.clock import now_ms
from railtrack.db import Conflict, Db, Engine, Row, Tx, UniqueViolation, schema
from railtrack.db.failures import Failure, explain, message_of
from railtrack.db.schema.indexes import add_indexes, create_indexes
from railtrack.db.schema.own_tables import create_own_tables
from railtrack.db.url import DatabaseUrl
from railtrack.errors import ApiError, StartError

log = logging.getLogger("railtrack")

FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.25, 2
LOG_INTERVAL_S = 5.0
ATTEMPTS = 3

STATEMENTS_PER_MESSAGE: dict[Engine, int] = {"postgresql": 50, "sqlite": 1}
"""A round trip for each of the 162 statements took a fourth of the creation. SQLite's driver takes one at a time."""

CREATION_LOCK = 0x7261696C
"""The key of the PostgreSQL advisory lock under which a start creates tables ("rail" in ASCII)."""

SEPARATE_DATABASE = "Give MLflow's tables a separate database: CREATE DATABASE mlflow, and name it in the URL."

ExistingTables = Mapping[str, Mapping[str, bool]]
"""The tables with a name of MLflow's: table -> column -> True if an INSERT must give it a value."""


def open_database(
    url: DatabaseUrl, *, connections: int, read_only: bool = False, enforces_foreign_keys: bool = True
) -> Db:
    """Return the database at `url` without connecting. Call this before a fork if needed; use the database after it.

    With `read_only` a SQLite file is neither created nor changed, and of several PostgreSQL hosts a standby will do.
    Only an upgrade, which replaces tables of a SQLite file, does without the enforcement of foreign keys.
    """
    if url.engine == "sqlite":
        from railtrack.db.sqlite import SqliteDb

        return SqliteDb(url.path, connections, read_only=read_only, enforces_foreign_keys=enforces_foreign_keys)
    from railtrack.db.postgres import PostgresDb

    return PostgresDb(url, connections, read_only=read_only)


async def wait_for_database(db: Db, url: DatabaseUrl, seconds: float) -> None:
    """Return as soon as PostgreSQL answers, or at once for SQLite. Raise StartError after `seconds`.

    Raise it at once for a failure that waiting does not cure. Log every few seconds what the start waits for.
    """
    if url.engine == "sqlite":
        return
    began, next_line_at = time.monotonic(), LOG_INTERVAL_S
    for attempt in itertools.count():
        try:
            await db.fetch_value("SELECT 1")
            return
        except Exception as error:
            failure = explain_failure(error, url)
        if failure.is_permanent:
            raise failure.start_error(url)
        waited = time.monotonic() - began
        if waited >= seconds:
            within = f" within {seconds:g} s" if seconds else ""
            raise StartError(
                f"Could not connect to backend store {url.masked}{within} ({failure.message}).", failure.advice
            )
        if waited >= next_line_at:
            log.info("Waited %.0f of %g s for PostgreSQL at %s: %s", waited, seconds, url.addresses, failure.message)
            next_line_at = waited + LOG_INTERVAL_S
        await asyncio.sleep(backoff_s(attempt, FIRST_PAUSE_S, PAUSE_LIMIT_S))


async def prepare(db: Db, url: DatabaseUrl, *, default_location: str) -> None:
    """Create MLflow's tables in an empty database. Raise StartError for tables that Railtrack cannot serve.

    Any number of processes may do this at once and be killed at any step: it is one transaction, under a lock. Without
    any experiment, create Default with the id 0, as MLflow does, and `default_location` as its artifact location.
    """
    if url.engine == "sqlite":
        await _check_file(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with db.write() as tx:
                await _prepare(tx, url, default_location)
            return
        except StartError:
            raise
        except (Conflict, UniqueViolation) as error:
            # MLflow may start on the same database at the same time, and takes no lock.
            if attempt == ATTEMPTS:
                raise explain_failure(error, url).start_error(url) from None
        except Exception as error:
            raise explain_failure(error, url).start_error(url) from None


async def read_revision(db: Db, url: DatabaseUrl) -> str | None:
    """Return identify_revision() in a read-only transaction. Raise StartError."""
    try:
        async with db.read() as tx:
            return await identify_revision(tx, url)
    except StartError:
        raise
    except Exception as error:
        raise explain_failure(error, url).start_error(url) from None


async def _check_file(url: DatabaseUrl) -> None:
    """Raise StartError for a file that cannot be served, before a connection that may write changes it."""
    path = Path(url.path)
    if not path.is_file() or not path.stat().st_size or _has_journal(path):  # noqa: ASYNC240 (nothing else runs here)
        return
    db = open_database(url, connections=1, read_only=True)
    try:
        await read_revision(db, url)
    finally:
        await db.close()


def _has_journal(path: Path) -> bool:
    """Return True if a writer was interrupted: only a connection that may write can read the file."""
    return path.with_name(f"{path.name}-journal").exists()


async def add_missing_indexes(url: DatabaseUrl) -> None:
    """Add the indexes that a database made by MLflow lacks, while workers already use it. Log a failure."""
    db = open_database(url, connections=2)
    try:
        await add_indexes(db)
    except Exception as error:
        log.warning("Could not add the missing indexes; the next start tries again: %s", message_of(error))
    finally:
        await db.close()


async def _prepare(tx: Tx, url: DatabaseUrl, default_location: str) -> None:
    if tx.engine == "postgresql":  # SQLite has one writer at a time
        await tx.execute("SELECT pg_advisory_xact_lock($1)", CREATION_LOCK)
    revision = await identify_revision(tx, url)
    if revision is None:
        if tx.engine == "postgresql":
            await _check_schema(tx, url)
        await _create(tx)
        log.info("Created MLflow's tables in %s", url.masked)
    elif revision not in schema.SERVED_REVISIONS:
        log.info("The database has the newer MLflow revision %s and all columns that Railtrack needs", revision)
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


async def _check_schema(tx: Tx, url: DatabaseUrl) -> None:
    """Raise StartError if tables cannot be created because the search_path has no schema that this role may use."""
    row = await tx.fetch_row(
        """
        SELECT CAST(current_schema() AS text), current_setting('search_path'), CAST(current_user AS text),
               (SELECT CAST(nspname AS text) FROM pg_namespace
                WHERE nspname = ANY(regexp_split_to_array(current_setting('search_path'), '[", ]+'))
                  AND NOT has_schema_privilege(oid, 'USAGE') LIMIT 1)
        """
    )
    assert row is not None
    schema_name, search_path, role, closed = row
    if schema_name is not None:
        return
    if closed is not None:
        raise StartError(
            f"{url.setting}: the role {role} may not use the schema {closed} ({url.masked}).",
            f'Grant it: GRANT USAGE, CREATE ON SCHEMA "{closed}" TO "{role}".',
        )
    raise StartError(
        f"{url.setting}: no schema of the search_path ({search_path}) exists ({url.masked}).",
        "Create it (CREATE SCHEMA), or correct options=-csearch_path%3DNAME in the URL.",
    )


async def _create(tx: Tx) -> None:
    statements = iter(schema.create_statements(tx.engine))
    while batch := list(itertools.islice(statements, STATEMENTS_PER_MESSAGE[tx.engine])):
        await tx.execute(";".join(batch))
    await create_indexes(tx)
    await tx.execute("INSERT INTO alembic_version (version_num) VALUES ($1)", schema.REVISION)
    await tx.execute(
        """
        INSERT INTO workspaces (name, description)
        VALUES ('default', 'Default workspace for legacy resources')
        """
    )


async def identify_revision(tx: Tx, url: DatabaseUrl) -> str | None:
    """Return the revision of MLflow's tables, or None if no table has a name of theirs. Changes nothing.

    Raise StartError for tables that Railtrack cannot serve: of another application, or an unfit revision.
    """
    tables, revision = await _identify(tx, url)
    if revision is None or revision in schema.SERVED_REVISIONS:
        return revision
    if schema.is_older(revision):
        raise older_revision_error(url)
    _check_columns(tables, revision, url)
    return revision


async def find_revision(tx: Tx, url: DatabaseUrl) -> str | None:
    """Return the revision of MLflow's tables, however old, or None if no table has a name of theirs.

    Raise StartError for tables of another application.
    """
    return (await _identify(tx, url))[1]


async def _identify(tx: Tx, url: DatabaseUrl) -> tuple[ExistingTables, str | None]:
    tables = await _existing_tables(tx)
    revisions: list[str] = []
    if "version_num" in tables.get("alembic_version", {}):
        revisions = [revision for (revision,) in await tx.fetch("SELECT version_num FROM alembic_version")]
    if len(revisions) == 1 and revisions[0] in schema.SERVED_REVISIONS:
        return tables, revisions[0]
    if not tables:
        return tables, None
    if not tables.keys() >= {"experiments", "runs", "metrics"}:
        raise _foreign_tables_error(tables, url)
    if len(revisions) != 1:
        raise StartError(
            f"{url.setting}: the database was made by an older MLflow, or its upgrade was interrupted: "
            f"alembic_version has {len(revisions)} rows.",
            "Restore the backup, or upgrade it with the MLflow that made it: mlflow db upgrade",
        )
    return tables, revisions[0]


def older_revision_error(url: DatabaseUrl) -> StartError:
    # Without the password, the URL of a PostgreSQL database would not work; the command reads the same variables.
    command = f"railtrack db upgrade {url.masked}" if url.engine == "sqlite" else "railtrack db upgrade"
    return StartError(
        f"{url.setting}: the database was made by an older MLflow.",
        f"Make a backup, then upgrade it: {command}, or start the server with --upgrade.",
    )


async def _existing_tables(tx: Tx) -> ExistingTables:
    rows: list[Row] = await tx.fetch(
        # The engines' catalogues have nothing in common.
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
    tables: dict[str, dict[str, bool]] = {}
    for table, column, is_required in rows:
        tables.setdefault(table, {})[column] = bool(is_required)
    return tables


def _foreign_tables_error(tables: ExistingTables, url: DatabaseUrl) -> StartError:
    if "alembic_version" in tables:
        reason = "is in use by another application, which has an alembic_version table there"
    else:
        reason = f"has another application's tables with names that MLflow uses: {', '.join(sorted(tables))}"
    return StartError(f"{url.setting}: {url.masked} {reason}.", SEPARATE_DATABASE)


def _check_columns(tables: ExistingTables, revision: str, url: DatabaseUrl) -> None:
    """Raise StartError if a newer revision lacks a used column, or has a new one that every INSERT must fill."""
    missing, required = [], []
    for table, used in schema.used_columns().items():
        columns = tables.get(table, {})
        missing += [f"{table}.{column}" for column in sorted(used - columns.keys())]
        required += [f"{table}.{column}" for column in columns if columns[column] and column not in used]
    if missing or required:
        reasons = [f"lacks {', '.join(missing)}"] if missing else []
        reasons += [f"requires values for {', '.join(required)}"] if required else []
        raise StartError(
            f"{url.setting}: {url.masked} was made by a newer MLflow (revision {revision}). "
            f"It {' and '.join(reasons)}.",
            "Use a newer Railtrack, or another database.",
        )


def explain_failure(error: Exception, url: DatabaseUrl) -> Failure:
    """Explain the driver's exception, which an ApiError has as its cause. Raise the StartError that it comes from."""
    log.debug("The database cannot be used", exc_info=error)
    cause = error.__cause__ if isinstance(error, ApiError) and error.__cause__ else error
    if isinstance(cause.__cause__, StartError):
        raise cause.__cause__ from None
    return explain(cause, url)
