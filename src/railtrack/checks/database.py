"""The database as the server would find it: the address, the login, and the schema with what a start would do to it.

What only PostgreSQL has is in postgres.py, a SQLite file's surroundings are in folders.py. Nothing is changed.
"""

import asyncio
import time
from pathlib import Path

from railtrack.checks import Finding, ok, problem, skipped, told
from railtrack.checks.folders import in_thread
from railtrack.checks.postgres import check_server
from railtrack.config.settings import Settings
from railtrack.db import Db, schema
from railtrack.db.open import open_database, read_revision, wait_for_database
from railtrack.db.retry import retry_on_conflict
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import StartError

ADDRESS, LOGIN, SCHEMA = "database address", "database login", "database schema"
REACH_LIMIT_S = 4.0
REST = ("database version", SCHEMA, "database rights", "database connections", "database clock", "database distance")


async def check_database(settings: Settings) -> list[Finding]:
    """Raises StartError, as the start would, for an address that is none."""
    url = parse_database_url(settings.database.uri)
    if url.engine == "sqlite":
        return await _check_sqlite(url)
    return await _check_postgres(url, settings)


async def _check_postgres(url: DatabaseUrl, settings: Settings) -> list[Finding]:
    address = await _reach(url)
    db = open_database(url, connections=1)
    try:
        await wait_for_database(db, url, 0)
        # A pooler that nobody told of is noticed by a statement that got lost.
        found = await retry_on_conflict(check_server, db, settings)
        reached = address if address.status == "ok" else ok(ADDRESS, url.masked)
        return [reached, *found, await _schema(db, url)]
    except StartError as error:
        return _refused(address, error)
    finally:
        await db.close()


def _refused(address: Finding, error: StartError) -> list[Finding]:
    """The server's own words, once, at the step where the way ends."""
    unreached = address.status != "ok"
    found = [told(ADDRESS, error)] if unreached else [address, told(LOGIN, error)]
    rest = (LOGIN, *REST) if unreached else REST
    return [*found, *(skipped(name, "The database cannot be asked.") for name in rest)]


async def _reach(url: DatabaseUrl) -> Finding:
    """Which address the name has, and whether something listens there."""
    if not url.host or url.host.startswith("/"):
        return ok(ADDRESS, url.host or "As libpq's variables (PGHOST, ...) or its defaults have it.")
    try:
        async with asyncio.timeout(REACH_LIMIT_S):
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=1)
            began = time.monotonic()
            _, writer = await asyncio.open_connection(url.host, url.port)
            took = time.monotonic() - began
            writer.close()
    except (OSError, UnicodeError, TimeoutError) as error:
        return problem(ADDRESS, str(error))
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    return ok(ADDRESS, f"{url.host} port {url.port} ({addresses}) takes connections, in {took * 1000:.1f} ms")


async def _schema(db: Db, url: DatabaseUrl) -> Finding:
    """What the start would make of the tables that are there."""
    try:
        revision = await read_revision(db, url)
    except StartError as error:
        return told(SCHEMA, error)
    if revision is None:
        return ok(SCHEMA, f"Empty: the start creates MLflow's {len(schema.tables())} tables.")
    if revision == schema.REVISION:
        return ok(SCHEMA, f"MLflow's own of revision {revision}: served as it is.")
    return ok(SCHEMA, f"MLflow's newer revision {revision}, which has all that is needed: served as it is.")


async def _check_sqlite(url: DatabaseUrl) -> list[Finding]:
    file = Path(url.path)
    if not await in_thread(file.exists):
        return [ok(SCHEMA, "There is no file yet: the start creates it.")]
    db = open_database(url, connections=1, read_only=True)
    try:
        await wait_for_database(db, url, 0)
        return [await _schema(db, url)]
    finally:
        await db.close()
