"""What the start of the server and `railtrack doctor` both check, so that both tell it in the same words.

Each raises StartError for what no waiting mends. What concerns the database alone is in db/open.py, sockets are in
http_server/processes.py.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from railtrack.artifacts import PROXIED, ArtifactStores
from railtrack.config.settings import Settings
from railtrack.db.url import DatabaseUrl
from railtrack.errors import ApiError, StartError

if TYPE_CHECKING:  # S3 is loaded by servers that have an s3:// location
    from railtrack.artifacts.s3.probe import Found
    from railtrack.artifacts.s3.store import S3Store


def login_warnings(settings: Settings) -> list[str]:
    """Who asks for a login gets no server without one. Who can be reached by others is told that there is none."""
    if settings.auth.mode == "on":
        raise StartError(
            "RAILTRACK_AUTH: this version has no login yet.", "Set it to off, or wait for a later version."
        )
    if settings.server.is_loopback:
        return []
    return [
        f"This server has no login: whoever can reach {settings.server.host} can read, change and delete everything. "
        "Keep it in a private network."
    ]


def check_artifact_locations(settings: Settings, url: DatabaseUrl) -> None:
    """There is a store for each. A database among the artifacts could be downloaded, and overwritten, like one."""
    with _as_start_error():
        stores = ArtifactStores(settings)
    with _as_start_error("MLFLOW_ARTIFACTS_DESTINATION: "):
        stores.proxied()
    if url.engine == "sqlite" and stores.serves(url.path):
        raise StartError(
            "MLFLOW_ARTIFACTS_DESTINATION, MLFLOW_DEFAULT_ARTIFACT_ROOT: one of them contains the database "
            f"{url.path}.",
            "Give artifacts a folder of their own.",
        )


def check_folders(settings: Settings, url: DatabaseUrl) -> None:
    """The folders that are going to be written to can be, or can be made. A volume often belongs to root at first."""
    for folder in folders(settings, url):
        check_folder(folder)


class Folder(NamedTuple):
    """A folder that the server writes to, and the setting that says so."""

    path: Path
    setting: str
    is_database: bool


def check_folder(folder: Folder) -> Path:
    """The folder, or what there is of the way to it."""
    setting = folder.setting
    there = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    if not there.is_dir():
        raise StartError(f"{setting}: {there} is not a folder.", f"Remove it, or set {setting} to another one.")
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        advice = "Mount a volume there, or use PostgreSQL and an S3-compatible store."
        raise StartError(f"{setting}: {there} is on a read-only file system.", advice)
    if not os.access(there, os.W_OK | os.X_OK):
        raise StartError(
            f"{setting}: user {os.geteuid()}, as whom the server runs, may not write to {there}, which belongs to "
            f"user {there.stat().st_uid}.",
            "Give it to that user (chown), or run the server as the owner; on Railway, set RAILWAY_RUN_UID=0.",
        )
    return there


def folders(settings: Settings, url: DatabaseUrl) -> Iterator[Folder]:
    """Where SQLite and the artifacts of clients without keys are kept."""
    if url.engine == "sqlite":
        path = Path(url.path).absolute().parent
        yield Folder(path, _setting_of(path, settings, "MLFLOW_BACKEND_STORE_URI"), True)
    kept = ArtifactStores(settings).destination_folder()
    if kept and settings.artifacts.default_root.startswith(PROXIED):
        yield Folder(kept, _setting_of(kept, settings, "MLFLOW_ARTIFACTS_DESTINATION"), False)


def _setting_of(folder: Path, settings: Settings, otherwise: str) -> str:
    return "RAILTRACK_DATA" if folder.is_relative_to(settings.data_folder) else otherwise


def check_credentials(stores: ArtifactStores) -> None:
    """There are keys, where a location in S3 needs them."""
    with _as_start_error():
        stores.check_credentials()


async def try_buckets(stores: ArtifactStores) -> list[str]:
    """Try out each location in S3. What ends no start is returned: that one is away for the moment, say."""
    with _as_start_error():
        return await stores.try_out()


async def try_bucket(store: "S3Store") -> "Found | None":
    """As try_buckets, of one of them."""
    from railtrack.artifacts.s3.probe import try_out

    with _as_start_error():
        return await try_out(store)


@contextmanager
def _as_start_error(setting: str = "") -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise StartError(f"{setting}{error.message}") from None
