"""Checks of the database: address, login, and the schema with what a start would do to it. Nothing is changed.

Checks of PostgreSQL only are in postgres.py, of the folder of a SQLite file in folders.py.
"""

import asyncio
import time
from pathlib import Path

from railtrack.checks import Finding, ok, problem, skipped, start_problem
from railtrack.checks.folders import in_thread
from railtrack.checks.postgres import check_server
from railtrack.config.settings import Settings
from railtrack.db import Db, schema
from railtrack.db.libpq import Host
from railtrack.db.open import open_database, read_revision, wait_for_database
from railtrack.db.retry import retry_on_conflict
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import StartError, describe_os_error

ADDRESS, LOGIN, SCHEMA = "database address", "database login", "database schema"
CONNECT_TIMEOUT_S = 4.0
LATER_CHECKS = (
    "database version",
    SCHEMA,
    "database rights",
    "database connections",
    "database clock",
    "database distance",
)
NOT_CONNECTED = "Requires a connection to the database."


async def check_database(settings: Settings) -> list[Finding]:
    """Check the database. Raise StartError, as the start does, for an invalid URL."""
    url = parse_database_url(settings.database.uri)
    if url.engine == "sqlite":
        return await _check_sqlite(url)
    return await _check_postgres(url, settings)


async def _check_postgres(url: DatabaseUrl, settings: Settings) -> list[Finding]:
    address = await _check_address(url)
    db = open_database(url, connections=1)
    try:
        await wait_for_database(db, url, 0)
        # A pooler that is not in the URL is noticed by a lost prepared statement, which is then retried.
        findings = await retry_on_conflict(check_server, db, settings)
        # The driver may connect where the check of the address did not, by libpq's variables for example.
        address = address if address.status == "ok" else ok(ADDRESS, url.masked)
        return [address, *findings, await _schema(db, url)]
    except StartError as error:
        return _connection_failed(address, error)
    finally:
        await db.close()


def _connection_failed(address: Finding, error: StartError) -> list[Finding]:
    """Return the error at the step that failed, and the later steps as skipped."""
    if address.status == "ok":
        findings = [address, start_problem(LOGIN, error)]
    else:
        findings = [start_problem(ADDRESS, error), skipped(LOGIN, NOT_CONNECTED)]
    return [*findings, *(skipped(name, NOT_CONNECTED) for name in LATER_CHECKS)]


async def _check_address(url: DatabaseUrl) -> Finding:
    """Resolve the hosts, and connect to each. One that can be reached suffices."""
    if url.has_default_hosts:
        return ok(ADDRESS, "libpq's defaults: a socket of this machine, or localhost.")
    checked = await asyncio.gather(*(_check_host(host) for host in url.hosts))
    message = "; ".join(finding.finding for finding in checked)
    return ok(ADDRESS, message) if any(finding.status == "ok" for finding in checked) else problem(ADDRESS, message)


async def _check_host(host: Host) -> Finding:
    if host.is_socket:
        return ok(ADDRESS, f"Socket {host.name}/.s.PGSQL.{host.port}")
    name = host.address or host.name
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            infos = await asyncio.get_running_loop().getaddrinfo(name, host.port, type=1)
            started = time.monotonic()
            _, writer = await asyncio.open_connection(name, host.port)
            seconds = time.monotonic() - started
            writer.close()
    except (OSError, UnicodeError, TimeoutError) as error:
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        return problem(ADDRESS, f"{host}: {reason}")
    addresses = ", ".join(dict.fromkeys(str(info[4][0]) for info in infos))
    return ok(ADDRESS, f"{name} port {host.port} ({addresses}) accepts connections in {seconds * 1000:.1f} ms")


async def _schema(db: Db, url: DatabaseUrl) -> Finding:
    """Report what the start would do with the existing tables."""
    try:
        revision = await read_revision(db, url)
    except StartError as error:
        return start_problem(SCHEMA, error)
    if revision is None:
        return ok(SCHEMA, f"Empty. The start creates MLflow's {len(schema.tables())} tables.")
    if revision in schema.SERVED_REVISIONS:
        return ok(SCHEMA, f"MLflow's schema of revision {revision}. The start leaves it unchanged.")
    return ok(SCHEMA, f"MLflow's newer revision {revision}, which is compatible. The start leaves it unchanged.")


async def _check_sqlite(url: DatabaseUrl) -> list[Finding]:
    file = Path(url.path)
    if not await in_thread(file.exists):
        return [ok(SCHEMA, "No file yet. The start creates it.")]
    db = open_database(url, connections=1, read_only=True)
    try:
        await wait_for_database(db, url, 0)
        return [await _schema(db, url)]
    finally:
        await db.close()
