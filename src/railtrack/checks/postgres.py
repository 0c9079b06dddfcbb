"""Checks of PostgreSQL with the login of the server: version, rights, connections, clock, distance."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from railtrack.checks import Finding, ok, problem, warning
from railtrack.config.settings import Settings
from railtrack.db import Db, Tx, schema

MIN_VERSION = 120000
"""server_version_num of PostgreSQL 12. Older versions reject connections that set plan_cache_mode."""
ROUND_TRIPS = 5
ROUND_TRIP_WARNING_S = 0.02
"""A round trip within a region takes one or two milliseconds, and a search needs several."""
CLOCK_SKEW_WARNING_S = 5.0
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


async def check_server(db: Db, settings: Settings) -> list[Finding]:
    """Run the checks one after the other on one connection."""
    return [
        await _login(db),
        await _version(db),
        await _rights(db),
        await _connections(db, settings),
        *await _clock_and_distance(db),
    ]


async def _login(db: Db) -> Finding:
    row = await db.fetch_row(
        """
        SELECT CAST(current_user AS text), CAST(current_database() AS text),
               (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())
        """
    )
    assert row is not None
    user, database, encrypted = row
    pooler = ", through a transaction-mode pooler" if db.pooler else ""
    return ok("database login", f"{user} in {database}, {'encrypted' if encrypted else 'not encrypted'}{pooler}")


async def _version(db: Db) -> Finding:
    number = int(await db.fetch_value("SELECT current_setting('server_version_num')"))
    version = await db.fetch_value("SELECT current_setting('server_version')")
    name = f"PostgreSQL {version}"
    if number < MIN_VERSION:
        return problem("database version", f"{name} is too old.", "Upgrade it to PostgreSQL 12 or newer.")
    return ok("database version", name)


async def _rights(db: Db) -> Finding:
    async with db.read() as tx:
        if await _is_read_only(tx):
            return problem("database rights", "The database is read-only.", "Use the address of the primary.")
        tables = await _missing_rights(tx)
        if tables is None:
            return await _check_create(tx)
    if tables:
        missing = "; ".join(f"{rights} on {table}" for table, rights in tables[:5])
        more = f", and on {len(tables) - 5} more" if len(tables) > 5 else ""
        advice = "Grant this role SELECT, INSERT, UPDATE and DELETE on MLflow's tables, and USAGE on their sequences."
        return problem("database rights", f"The role lacks {missing}{more}.", advice)
    return ok("database rights", "SELECT, INSERT, UPDATE and DELETE on all tables in use")


async def _is_read_only(tx: Tx) -> bool:
    return bool(
        await tx.fetch_value(
            "SELECT pg_is_in_recovery() OR CAST(current_setting('default_transaction_read_only') AS boolean)"
        )
    )


async def _missing_rights(tx: Tx) -> list[tuple[str, str]] | None:
    """Return (table or sequence, missing rights), None if the tables do not exist."""
    rows = await tx.fetch(
        """
        SELECT CAST(c.relname AS text), r.name, has_table_privilege(c.oid, r.name)
        FROM pg_class c CROSS JOIN unnest(CAST($2 AS text[])) WITH ORDINALITY AS r(name, position)
        WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
        ORDER BY c.relname, r.position
        """,
        list(schema.used_columns()),
        list(RIGHTS),
    )
    if not rows:
        return None
    missing: dict[str, list[str]] = {}
    for table, right, allowed in rows:
        if not allowed:
            missing.setdefault(table, []).append(right)
    sequences = [(name, "USAGE") for name in await _unusable_sequences(tx)]
    return [(table, ", ".join(rights)) for table, rights in missing.items()] + sequences


async def _unusable_sequences(tx: Tx) -> list[str]:
    """Return the sequences of MLflow's tables that the role may not use."""
    rows = await tx.fetch(
        """
        SELECT CAST(s.relname AS text)
        FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
        JOIN pg_class c ON c.oid = d.refobjid
        WHERE pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
          -- CASE keeps the order: has_sequence_privilege fails for a table
          AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END
        """,
        list(schema.used_columns()),
    )
    return [name for (name,) in rows]


async def _check_create(tx: Tx) -> Finding:
    row = await tx.fetch_row(
        """
        SELECT CAST(current_schema() AS text),
               current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')
        """
    )
    assert row is not None
    name, allowed = row
    if allowed:
        return ok("database rights", f"The role may create tables in the schema {name}")
    return problem(
        "database rights",
        f"The role may not create tables in the schema {name or '(none: no schema of the search_path exists)'}.",
        "Connect as the owner of the database, or grant this role USAGE and CREATE on the schema.",
    )


class _ConnectionLimit(NamedTuple):
    """A limit of connections, and how many of them others than Railtrack use."""

    name: str
    allowed: int
    used: int


async def _connections(db: Db, settings: Settings) -> Finding:
    """Compare workers x threads + 1 (for a start) with the limits, ignoring connections of other Railtrack servers."""
    check, need = "database connections", settings.server.workers * settings.server.threads + 1
    required = f"{settings.server.workers} workers x {settings.server.threads} threads + 1 = {need}"
    if db.pooler:
        return ok(check, f"{required}; the pooler limits how many of them reach the database")
    limits = await _connection_limits(db)
    tightest = min(limits, key=lambda limit: limit.allowed - limit.used)
    message = f"{required} of {tightest.allowed} ({tightest.name}), {tightest.used} of which others use"
    if any(limit.allowed < need for limit in limits):
        return problem(check, f"{message}: too few.", "Lower GUNICORN_WORKERS or GUNICORN_THREADS, or raise the limit.")
    if tightest.allowed - tightest.used < need:
        return warning(check, f"{message}: too few now.", "Lower GUNICORN_THREADS, or close other connections.")
    return ok(check, message)


async def _connection_limits(db: Db) -> Sequence[_ConnectionLimit]:
    """Return the limits that apply. A role without rights sees neither type nor state of others' connections."""
    row = await db.fetch_row(
        """
        WITH others AS (
            SELECT usesysid, datname FROM pg_stat_activity
            WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND pid <> pg_backend_pid()
              AND coalesce(backend_type, 'client backend') = 'client backend'
              AND NOT (application_name = current_setting('application_name') AND datname = current_database())
        )
        SELECT CAST(current_setting('max_connections') AS int)
                 - CAST(current_setting('superuser_reserved_connections') AS int)
                 - coalesce(CAST(current_setting('reserved_connections', true) AS int), 0),
               (SELECT count(*) FROM others),
               r.rolconnlimit, (SELECT count(*) FROM others WHERE usesysid = r.oid),
               d.datconnlimit, (SELECT count(*) FROM others WHERE datname = d.datname)
        FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()
        """
    )
    assert row is not None
    server, used, role, used_by_role, database, used_in_database = row
    limits = [_ConnectionLimit("max_connections minus reserved ones", server, used)]
    if role >= 0:
        limits.append(_ConnectionLimit("the role's limit", role, used_by_role))
    if database >= 0:
        limits.append(_ConnectionLimit("the database's limit", database, used_in_database))
    return limits


class _RoundTrip(NamedTuple):
    seconds: float
    skew_s: float


async def _clock_and_distance(db: Db) -> list[Finding]:
    """Time round trips, and compare the clock with the middle of the shortest one."""
    round_trips: list[_RoundTrip] = []
    async with db.read() as tx:
        await tx.fetch_value("SELECT extract(epoch FROM clock_timestamp())")  # prepares the statement
        for _ in range(ROUND_TRIPS):
            sent, started = time.time(), time.monotonic()
            database_time = float(await tx.fetch_value("SELECT extract(epoch FROM clock_timestamp())"))
            seconds = time.monotonic() - started
            round_trips.append(_RoundTrip(seconds, database_time - sent - seconds / 2))
    return [
        clock_finding(min(round_trips).skew_s),
        distance_finding(statistics.median(one.seconds for one in round_trips)),
    ]


def clock_finding(skew_s: float) -> Finding:
    if abs(skew_s) > CLOCK_SKEW_WARNING_S:
        message = (
            f"The database's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's."
        )
        return warning("database clock", message, "Synchronize both clocks (NTP).")
    return ok("database clock", f"{abs(skew_s) * 1000:.0f} ms from this machine's")


def distance_finding(seconds: float) -> Finding:
    message = f"A round trip takes {seconds * 1000:.1f} ms"
    if seconds > ROUND_TRIP_WARNING_S:
        return warning("database distance", f"{message}.", "Run server and database in one region and network.")
    return ok("database distance", message)
