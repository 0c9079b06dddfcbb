"""`railtrack server`: resolve the settings, prepare the database, log the banner, and run the server."""

import argparse
import asyncio
import logging
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from railtrack.artifacts import ArtifactStores
from railtrack.auth.first_admin import create_first_administrator
from railtrack.checks.logins import check_login_settings
from railtrack.checks.memory import memory_warnings, request_memory
from railtrack.checks.start import (
    browser_warnings,
    check_artifact_locations,
    check_credentials,
    check_folders,
    check_registry_store,
    login_warnings,
    probe_buckets,
    replica_url,
    root_warnings,
    store_warnings,
)
from railtrack.cli.flags import add_flags
from railtrack.config.lookup import ResolvedSetting, warnings
from railtrack.config.settings import Settings, ignored_options, log_settings, resolve_all, settings_from
from railtrack.db.open import open_database, prepare, wait_for_database
from railtrack.db.retry import retry_on_conflict
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import StartError
from railtrack.http_server.tls import certificate_warnings, check_tls_settings
from railtrack.logs import format as logs
from railtrack.logs.redaction import redact_secrets
from railtrack.mlflow.artifact_location import absolute_location

log = logging.getLogger("railtrack")

RULE = "=" * 40


def configure(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it. Return 1 if it cannot start, after one line with the reason."""
    logs.configure("text", "info")
    try:
        resolved = resolve_all(vars(options))
        logging_settings = log_settings(resolved)
        logs.configure(logging_settings.format, logging_settings.level)
        settings, url = check_options(resolved, ignored_options(vars(options)))
        announce(settings, url)
        # Imported late, so that an invalid setting is reported at once.
        from railtrack.http_server.processes import listeners

        # Before a folder or table is created.
        sockets = listeners(settings)
        check_folders(settings, url)
        if url.engine == "sqlite":
            Path(url.path).absolute().parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(prepare_database(settings, url))
        asyncio.run(probe_stores(settings))
        serve(settings, sockets)
    except StartError as error:
        logs.START.error("Error: %s", error)
        return 1
    return 0


def check_options(resolved: Sequence[ResolvedSetting], ignored: Iterable[str]) -> tuple[Settings, DatabaseUrl]:
    """Return the settings and the address of the database, and log warnings. Raise StartError. Nothing is opened.

    `ignored`: messages about options that have no effect.
    """
    settings = settings_from(resolved)
    check_tls_settings(settings.tls)
    for warning in (
        *warnings(resolved),
        *ignored,
        *login_warnings(settings),
        *browser_warnings(settings),
        *store_warnings(settings),
        *memory_warnings(settings),
        *certificate_warnings(settings.tls),
    ):
        log.warning("%s", warning)
    url = parse_database_url(settings.database.uri)
    redact_configured_secrets(resolved, settings, url)
    for warning in url.warnings:
        log.warning("%s", warning)
    check_login_settings(settings)
    check_registry_store(settings, url)
    if replica := replica_url(settings, url):
        for warning in replica.warnings:
            log.warning("%s", warning)
    check_artifact_locations(settings, url)
    for warning in root_warnings(settings):
        log.warning("%s", warning)
    return settings, url


def redact_configured_secrets(resolved: Iterable[ResolvedSetting], settings: Settings, url: DatabaseUrl) -> None:
    """Keep credentials out of everything that is logged from now on.

    Of the database's URL only the passwords are secret: log lines show the rest.
    """
    database = settings.database
    others = [uri for uri in (database.registry_uri, database.replica_uri) if uri]
    secrets = [one.text for one in resolved if one.setting.secret and one.value not in (database.uri, *others)]
    for uri in others:
        with suppress(StartError):  # it is reported later
            secrets += parse_database_url(uri).secrets
    redact_secrets([*secrets, *url.secrets])


def announce(settings: Settings, url: DatabaseUrl) -> None:
    """Log the banner, which docs/deploy.md quotes."""
    lines = [
        RULE,
        "Starting MLflow Tracking Server",
        RULE,
        f"Backend Store URI: {url.masked}",
        f"Artifact Root: {settings.artifacts.default_root}",
        f"Host: {settings.server.host}",
        f"Port: {settings.server.port}",
        f"Workers: {settings.server.workers}",
        f"Threads: {settings.server.threads}",
    ]
    log_startup(*lines)


def login_lines(settings: Settings) -> list[str]:
    """Return what the operator of a server with login has to know, also after an upgrade of one without."""
    reason = ""
    if settings.auth.mode == "auto":
        reason = f", because the server listens on {settings.server.host}. RAILTRACK_AUTH=off would open it to everyone"
    return [
        f"Requests need a login{reason}",
        f"Browsers log in at {settings.url}/login. Programs set MLFLOW_TRACKING_TOKEN, or "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ]


async def prepare_database(settings: Settings, url: DatabaseUrl) -> None:
    """Wait for the database, create or recognize MLflow's tables, and create the first administrator.

    Uses a separate connection, before the fork.
    """
    db = open_database(url, connections=1)
    try:
        if settings.database.is_upgraded:
            await upgrade(settings, url)
        if url.engine == "postgresql":
            log_startup("Waiting for PostgreSQL to be ready...")
            await wait_for_database(db, url, settings.database.wait_s)
            log_startup("PostgreSQL is ready!")
        await prepare(db, url, default_location=absolute_location(settings.artifacts.experiment_location(0)))
        if settings.needs_login:
            is_audited = settings.audit.enabled
            await retry_on_conflict(create_first_administrator, db, settings.auth, is_audited=is_audited)
            log_startup(*login_lines(settings))
    finally:
        await db.close()


async def upgrade(settings: Settings, url: DatabaseUrl) -> None:
    """Upgrade the tables of an older MLflow. Replicas that start at once wait for the first of them."""
    from railtrack.db.upgrade.run import Options, upgrade_database

    if url.engine == "sqlite" and not await asyncio.to_thread(Path(url.path).exists):
        return
    await upgrade_database(url, Options(log_startup, wait_s=settings.database.wait_s))


async def probe_stores(settings: Settings) -> None:
    """Probe each S3 location. An error that needs another setting ends the start, an unreachable store does not."""
    stores = ArtifactStores(settings)
    try:
        check_credentials(stores)
        warnings = await probe_buckets(stores)
        if stores.buckets():
            log_startup("AWS credentials detected")
        for warning in warnings:
            log.warning("%s", warning)
    finally:
        stores.close()


def serve(settings: Settings, sockets: list[socket.socket]) -> None:
    from railtrack.app import preloaded
    from railtrack.byte_budget import BUDGET
    from railtrack.http_server.processes import Server, allow_descriptors, give_memory_back, listen

    BUDGET.resize(request_memory(settings))
    allow_descriptors()
    give_memory_back()
    log_startup("Starting MLflow server...")
    listen(settings, sockets)
    Server(settings, sockets, lambda: preloaded(settings)).run()


def log_startup(*lines: str) -> None:
    """Log lines of the startup, which docs/deploy.md quotes."""
    for line in lines:
        logs.START.info("%s", line)
