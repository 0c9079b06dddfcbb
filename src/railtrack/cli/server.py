"""`railtrack server`: read the settings, prepare the database, say what runs, and hand over to gunicorn."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from railtrack.artifacts import ArtifactStores
from railtrack.config import SETTINGS, Settings, load
from railtrack.db.open import open_database, prepare, wait_for_database
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import ApiError, StartError

log = logging.getLogger("railtrack")

LOG_FORMAT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
"""gunicorn's own, so that all lines look alike."""
RULE = "=" * 40


def configure(parser: argparse.ArgumentParser) -> None:
    """One flag for every setting that has one."""
    for setting in SETTINGS:
        if setting.flags:
            names = ", ".join(setting.variables)
            parser.add_argument(
                *setting.flags,
                dest=setting.field,
                metavar="VALUE",
                help=f"{setting.help} [{names}; default: {setting.default or 'none'}]".replace("%", "%%"),
            )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it. Returns 1 when it cannot start, having said why in one line."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt="%Y-%m-%d %H:%M:%S %z")
    try:
        settings = load(vars(options))
        check_login(settings)
        url = parse_database_url(settings.backend_store_uri)
        check_artifact_locations(settings, url)
        announce(settings, url)
        if url.engine == "sqlite":
            Path(url.path).absolute().parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(prepare_database(settings, url))
        asyncio.run(try_buckets(settings))
        serve(settings)
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def check_login(settings: Settings) -> None:
    """Who asks for a login must not get a server without one."""
    if settings.auth == "on":
        raise StartError("RAILTRACK_AUTH: this version has no login yet. Set it to off, or wait for a later version.")
    if not settings.loopback:
        log.warning(
            "This server has no login: whoever can reach %s can read, change and delete everything. "
            "Keep it in a private network.",
            settings.host,
        )


def check_artifact_locations(settings: Settings, url: DatabaseUrl) -> None:
    """A database among the artifacts could be downloaded, overwritten and deleted like one."""
    try:
        stores = ArtifactStores(settings)
    except ApiError as error:
        raise StartError(error.message) from None
    if url.engine == "sqlite" and stores.serves(url.path):
        raise StartError(
            "MLFLOW_ARTIFACTS_DESTINATION, MLFLOW_DEFAULT_ARTIFACT_ROOT: one of them contains the database "
            f"{url.path}. Give artifacts a folder of their own."
        )


def announce(settings: Settings, url: DatabaseUrl) -> None:
    """What the container's log begins with (docs/deploy.md quotes it)."""
    lines = [
        RULE,
        "Starting MLflow Tracking Server",
        RULE,
        f"Backend Store URI: {url.masked}",
        f"Artifact Root: {settings.default_artifact_root}",
        f"Host: {settings.host}",
        f"Port: {settings.port}",
        f"Workers: {settings.workers}",
        f"Threads: {settings.threads}",
    ]
    say(*lines)


async def prepare_database(settings: Settings, url: DatabaseUrl) -> None:
    """Wait for the database, and create or recognise MLflow's tables; before the fork, on a connection of its own."""
    db = open_database(url, connections=1)
    try:
        if url.engine == "postgresql":
            say("Waiting for PostgreSQL to be ready...")
            await wait_for_database(db, url, settings.db_wait_s)
            say("PostgreSQL is ready!")
        await prepare(db, url, default_location=settings.artifact_location(0))
    finally:
        await db.close()


async def try_buckets(settings: Settings) -> None:
    """Try out each location in S3. What a setting must change ends the start; a store that is away does not."""
    stores = ArtifactStores(settings)
    try:
        stores.check_credentials()
        if stores.buckets():
            say("AWS credentials detected")
        for line in await stores.try_out():
            log.warning("%s", line)
    except ApiError as error:
        raise StartError(error.message) from None
    finally:
        stores.close()


def serve(settings: Settings) -> None:
    # Imported this late so that a wrong setting is told at once.
    from railtrack.app import preloaded
    from railtrack.serving import Server, give_memory_back, listeners

    sockets = listeners(settings)
    give_memory_back()
    say("Starting MLflow server...")
    Server(settings, sockets, lambda: preloaded(settings)).run()


def say(*lines: str) -> None:
    """Lines of the start, in order with gunicorn's own, which go to the same place."""
    print("\n".join(lines), flush=True)
