"""What a PostgreSQL says of itself to the login that the server has: version, rights, room for connections, clock."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from railtrack.checks import Finding, ok, problem, warning
from railtrack.config.settings import Settings
from railtrack.db import Db, Tx, schema

OLDEST = 120000
"""server_version_num of PostgreSQL 12: older ones lack the setting plan_cache_mode, and refuse the login over it."""
ROUND_TRIPS = 5
FAR_S = 0.02
"""A round trip within a region takes a millisecond or two; a search takes several round trips."""
CLOCK_LIMIT_S = 5.0
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


async def check_server(db: Db, settings: Settings) -> list[Finding]:
    """All of it, on one connection, one after the other."""
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
    if number < OLDEST:
        return problem("database version", f"{name} is too old.", "Upgrade it to PostgreSQL 12 or newer.")
    return ok("database version", name)


async def _rights(db: Db) -> Finding:
    async with db.read() as tx:
        if await _reads_only(tx):
            return problem("database rights", "This server only reads.", "Give the address of the primary.")
        tables = await _missing_rights(tx)
        if tables is None:
            return await _may_create(tx)
    if tables:
        missing = "; ".join(f"{rights} on {table}" for table, rights in tables[:5])
        more = f", and on {len(tables) - 5} more" if len(tables) > 5 else ""
        advice = "Grant this role SELECT, INSERT, UPDATE and DELETE on MLflow's tables, and USAGE on their sequences."
        return problem("database rights", f"The role lacks {missing}{more}.", advice)
    return ok("database rights", "SELECT, INSERT, UPDATE and DELETE on all tables that are used")


async def _reads_only(tx: Tx) -> bool:
    return bool(
        await tx.fetch_value(
            "SELECT pg_is_in_recovery() OR CAST(current_setting('default_transaction_read_only') AS boolean)"
        )
    )


async def _missing_rights(tx: Tx) -> list[tuple[str, str]] | None:
    """(table or sequence, what is not allowed on it); None when the tables are not there."""
    rows = await tx.fetch(
        """
        SELECT CAST(c.relname AS text), r.name, has_table_privilege(c.oid, r.name)
        FROM pg_class c CROSS JOIN unnest(CAST($2 AS text[])) WITH ORDINALITY AS r(name, place)
        WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
        ORDER BY c.relname, r.place
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
    sequences = [(name, "USAGE") for name in await _closed_sequences(tx)]
    return [(table, ", ".join(rights)) for table, rights in missing.items()] + sequences


async def _closed_sequences(tx: Tx) -> list[str]:
    """The sequences that number rows of MLflow's tables and may not be used."""
    rows = await tx.fetch(
        """
        SELECT CAST(s.relname AS text)
        FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
        JOIN pg_class c ON c.oid = d.refobjid
        WHERE pg_table_is_visible(c.oid) AND CAST(c.relname AS text) = ANY($1)
          -- CASE keeps the order: asked of a table, has_sequence_privilege is an error
          AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END
        """,
        list(schema.used_columns()),
    )
    return [name for (name,) in rows]


async def _may_create(tx: Tx) -> Finding:
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
        f"The role may not create tables in the schema {name or '(none: the search_path names none that exists)'}.",
        "Connect as the owner of the database, or grant this role USAGE and CREATE on the schema.",
    )


class _Room(NamedTuple):
    """Connections: what one limit allows, and what others than Railtrack use of it."""

    limit: str
    allowed: int
    used: int


async def _connections(db: Db, settings: Settings) -> Finding:
    """Whether workers x threads, and one of a start, have room; the servers of this database count as ours."""
    check, need = "database connections", settings.server.workers * settings.server.threads + 1
    wanted = f"{settings.server.workers} workers x {settings.server.threads} threads + 1 = {need}"
    if db.pooler:
        return ok(check, f"{wanted}; the pooler decides how many of them reach the database.")
    rooms = await _rooms(db)
    tightest = min(rooms, key=lambda room: room.allowed - room.used)
    told = f"{wanted} of {tightest.allowed} ({tightest.limit}), {tightest.used} of which others use"
    if any(room.allowed < need for room in rooms):
        return problem(check, f"{told}: too few.", "Lower GUNICORN_WORKERS or GUNICORN_THREADS, or raise the limit.")
    if tightest.allowed - tightest.used < need:
        return warning(check, f"{told}: too few at the moment.", "Lower GUNICORN_THREADS, or end what holds them.")
    return ok(check, told)


async def _rooms(db: Db) -> Sequence[_Room]:
    """The limits there are. Of other users' connections a role without rights sees neither type nor state."""
    row = await db.fetch_row(
        """
        WITH others AS (
            SELECT usesysid, datname FROM pg_stat_activity
            WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND pid <> pg_backend_pid()
              AND coalesce(backend_type, 'client backend') = 'client backend'
              AND NOT (application_name = 'railtrack' AND datname = current_database())
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
    rooms = [_Room("max_connections less the reserved ones", server, used)]
    if role >= 0:
        rooms.append(_Room("the role's limit", role, used_by_role))
    if database >= 0:
        rooms.append(_Room("the database's limit", database, used_in_database))
    return rooms


async def _clock_and_distance(db: Db) -> list[Finding]:
    """Each round trip is timed, and the clock is compared with the middle of the shortest."""
    trips = []
    async with db.read() as tx:
        await tx.fetch_value("SELECT extract(epoch FROM clock_timestamp())")  # the first one is prepared
        for _ in range(ROUND_TRIPS):
            sent, began = time.time(), time.monotonic()
            theirs = float(await tx.fetch_value("SELECT extract(epoch FROM clock_timestamp())"))
            took = time.monotonic() - began
            trips.append((took, theirs - sent - took / 2))
    took, skew = statistics.median(trip[0] for trip in trips), min(trips)[1]
    return [clock_finding(skew), distance_finding(took)]


def clock_finding(skew: float) -> Finding:
    if abs(skew) > CLOCK_LIMIT_S:
        told = f"The database's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's."
        return warning("database clock", told, "Have both set their clocks by NTP.")
    return ok("database clock", f"{abs(skew) * 1000:.0f} ms apart from this machine's")


def distance_finding(took: float) -> Finding:
    told = f"A round trip takes {took * 1000:.1f} ms"
    if took > FAR_S:
        return warning("database distance", f"{told}.", "Run server and database in one region, on a private network.")
    return ok("database distance", told)
