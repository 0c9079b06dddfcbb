"""Checks that the start of the server and `railtrack doctor` share, so that both report the same messages.

Each raises StartError for an error that waiting does not fix. Checks of the database alone are in db/open.py, sockets
in http_server/processes.py.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from railtrack.artifacts import PROXIED, ArtifactStores, local_folder
from railtrack.config.settings import Settings
from railtrack.db.url import DatabaseUrl, parse_database_url
from railtrack.errors import ApiError, StartError

if TYPE_CHECKING:  # S3 is loaded by servers that have an s3:// location
    from railtrack.artifacts.s3.probe import ProbeWarning
    from railtrack.artifacts.s3.store import S3Store


def login_warnings(settings: Settings) -> list[str]:
    """Warn of a server without login that others can reach, and of metrics that Prometheus cannot read."""
    if not settings.needs_login and not settings.server.is_loopback:
        return [
            f"RAILTRACK_AUTH is off: everyone who can reach {settings.server.host} can read, change and delete "
            "everything. Keep the server in a private network, or remove RAILTRACK_AUTH=off."
        ]
    if settings.needs_login and settings.metrics.is_exposed and not settings.metrics.token:
        return [
            "RAILTRACK_METRICS is on, and only administrators can read /metrics. Set RAILTRACK_METRICS_TOKEN to a "
            "token that Prometheus sends."
        ]
    return []


def browser_warnings(settings: Settings) -> list[str]:
    """Warn of settings that let other sites act in the name of a user of the web interface."""
    if settings.security.is_disabled:
        return [
            "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE is on: any site that a user visits can read and change "
            "everything here through the user's browser. Remove it, and name hosts in MLFLOW_SERVER_ALLOWED_HOSTS and "
            "origins in MLFLOW_SERVER_CORS_ALLOWED_ORIGINS instead."
        ]
    if "*" in settings.security.allowed_origins and not settings.needs_login:
        return [
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS is *: any site that a user visits can read and change everything here "
            "through the user's browser. Name the origins of your pages instead."
        ]
    return []


STORE_ADVICE = dict.fromkeys(
    ("gs", "gcs"),
    "Use s3://bucket/prefix with AWS_S3_ENDPOINT_URL=https://storage.googleapis.com and the bucket's HMAC keys as "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
) | dict.fromkeys(
    ("wasb", "wasbs", "abfs", "abfss", "azure"),
    "Use a folder, such as a mounted volume, or s3://bucket/prefix of an S3-compatible store.",
)
"""What to use instead of a store that the server has no client for, by scheme."""


REPLICA_SETTING = "MLFLOW_READ_REPLICA_BACKEND_STORE_URI (--read-replica-backend-store-uri)"


def root_warnings(settings: Settings) -> list[str]:
    """Warn of an artifact root to which clients write without the server, where it may not find the artifacts."""
    root = settings.artifacts.default_root
    scheme, host = root.partition(":")[0].lower(), urlsplit(root).netloc
    through_server = "Set MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/, so that clients upload through the server"
    if local_folder(root) is not None:
        if settings.server.is_loopback:  # clients are on this machine
            return []
        return [
            f"MLFLOW_DEFAULT_ARTIFACT_ROOT is the folder {root}: each client writes artifacts to its own disk, and "
            f"this server finds only those on its own. {through_server}, and set MLFLOW_ARTIFACTS_DESTINATION to it."
        ]
    if scheme in ("http", "https") or (scheme == "mlflow-artifacts" and host):
        return [
            f"MLFLOW_DEFAULT_ARTIFACT_ROOT sends clients to {host.rpartition('@')[2]}, and this server shows what is "
            f"in its own MLFLOW_ARTIFACTS_DESTINATION. {through_server}, unless it is the same server."
        ]
    if scheme in ("mlflow-artifacts", "s3"):
        return []
    return [
        f"MLFLOW_DEFAULT_ARTIFACT_ROOT has the scheme {scheme}: clients write artifacts there themselves, and this "
        f"server can't list, show or delete them. {through_server}, or use s3://bucket/prefix."
    ]


def store_warnings(settings: Settings) -> list[str]:
    """Warn of a store whose certificate is not checked."""
    if not settings.s3.ignores_tls:
        return []
    return [
        "MLFLOW_S3_IGNORE_TLS is on: the store's certificate is not checked, so anyone on the way can read and change "
        "artifacts. Set AWS_CA_BUNDLE to the certificate of its CA instead."
    ]


def check_registry_store(settings: Settings, url: DatabaseUrl) -> None:
    """Raise StartError for a separate database of registered models."""
    uri = settings.database.registry_uri
    if not uri or uri == settings.database.uri:
        return
    registry = parse_database_url(uri, setting="MLFLOW_REGISTRY_STORE_URI (--registry-store-uri)")
    if registry.engine == "sqlite" == url.engine and Path(registry.path).absolute() == Path(url.path).absolute():
        return
    if (registry.engine, registry.hosts, registry.database) != (url.engine, url.hosts, url.database) or registry.path:
        raise StartError(
            f"MLFLOW_REGISTRY_STORE_URI (--registry-store-uri): {registry.masked} is not the backend store, "
            f"{url.masked}, which has the registered models, too.",
            "Leave it out. If MLflow kept yours in another database, copy its tables to the backend store first "
            "(docs/databases.md).",
        )


def replica_url(settings: Settings, url: DatabaseUrl) -> DatabaseUrl | None:
    """Return the address of the read replica, None if there is none. Raise StartError unless it can be one."""
    if not settings.database.replica_uri:
        return None
    replica = parse_database_url(settings.database.replica_uri, setting=REPLICA_SETTING)
    if (replica.engine, url.engine) != ("postgresql", "postgresql"):
        raise StartError(f"{REPLICA_SETTING}: only PostgreSQL can have a read replica.", "Leave it out.")
    return replica


def check_artifact_locations(settings: Settings, url: DatabaseUrl) -> None:
    """Raise StartError for a location without a store, and for one that contains the database: clients could download
    and overwrite it.
    """
    if not settings.artifacts.is_served and settings.artifacts.default_root.startswith(PROXIED):
        raise StartError(
            "--no-serve-artifacts (MLFLOW_SERVE_ARTIFACTS): clients could not store artifacts in "
            f"{settings.artifacts.default_root}, because the server does not serve it.",
            "Set MLFLOW_DEFAULT_ARTIFACT_ROOT to a location that all clients reach, such as s3://bucket/prefix.",
        )
    if settings.artifacts.is_presigned_only:
        _check_presigned_only(settings)
    with _as_start_error():
        stores = ArtifactStores(settings)
    destination = settings.artifacts.destination
    try:
        stores.proxied()
    except ApiError as error:
        advice = STORE_ADVICE.get(destination.partition(":")[0].lower(), "Use a folder, or s3://bucket/prefix.")
        raise StartError(f"MLFLOW_ARTIFACTS_DESTINATION: {error.message}", advice) from None
    if url.engine == "sqlite" and stores.serves(url.path):
        raise StartError(
            "MLFLOW_ARTIFACTS_DESTINATION, MLFLOW_DEFAULT_ARTIFACT_ROOT: one of them contains the database "
            f"{url.path}.",
            "Use a separate folder for artifacts.",
        )


def _check_presigned_only(settings: Settings) -> None:
    option = "--artifacts-presigned-only (MLFLOW_ARTIFACTS_PRESIGNED_ONLY)"
    if not settings.artifacts.is_served:
        raise StartError(
            f"{option} requires artifact serving to be enabled; --no-serve-artifacts is not supported.",
            "Leave one of them out.",
        )
    if not settings.artifacts.destination.startswith(("s3:", "s3a:")):
        raise StartError(
            f"{option} requires an artifacts destination that supports presigned uploads and presigned downloads "
            f"(got '{settings.artifacts.destination}').",
            "Set MLFLOW_ARTIFACTS_DESTINATION to s3://bucket/prefix.",
        )
    if settings.s3.presigned == "off":
        raise StartError(
            f"{option}: RAILTRACK_S3_PRESIGNED is off, so no client could transfer a file.", "Leave one of them out."
        )


class Folder(NamedTuple):
    """A folder that the server writes to, and the setting that names it."""

    path: Path
    setting: str
    is_database: bool


def check_folders(settings: Settings, url: DatabaseUrl) -> None:
    """Raise StartError if the server cannot write to one of its folders. New volumes often belong to root."""
    for folder in folders(settings, url):
        check_folder(folder)


def check_folder(folder: Folder) -> Path:
    """Return the folder, or its nearest parent if it does not exist. Raise StartError unless it is writable."""
    setting = folder.setting
    existing = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    if not existing.is_dir():
        raise StartError(f"{setting}: {existing} is not a folder.", f"Remove it, or set {setting} to another one.")
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        advice = "Mount a volume there, or use PostgreSQL and an S3-compatible store."
        raise StartError(f"{setting}: {existing} is on a read-only file system.", advice)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StartError(
            f"{setting}: the server runs as user {os.geteuid()}, who may not write to {existing} of user "
            f"{existing.stat().st_uid}.",
            "Change the owner of the folder (chown), or run the server as its owner; on Railway, set "
            "RAILWAY_RUN_UID=0.",
        )
    return existing


def folders(settings: Settings, url: DatabaseUrl) -> Iterator[Folder]:
    """Yield the folders of SQLite and of proxied artifacts."""
    if url.engine == "sqlite":
        path = Path(url.path).absolute().parent
        yield Folder(path, _setting_of(path, settings, "MLFLOW_BACKEND_STORE_URI"), True)
    destination = ArtifactStores(settings).destination_folder()
    if destination and settings.artifacts.default_root.startswith(PROXIED):
        yield Folder(destination, _setting_of(destination, settings, "MLFLOW_ARTIFACTS_DESTINATION"), False)


def _setting_of(folder: Path, settings: Settings, otherwise: str) -> str:
    return "RAILTRACK_DATA" if folder.is_relative_to(settings.data_folder) else otherwise


def check_credentials(stores: ArtifactStores) -> None:
    """Raise StartError if an S3 location has no credentials."""
    with _as_start_error():
        stores.check_credentials()


async def probe_buckets(stores: ArtifactStores) -> list[str]:
    """Probe each S3 location. Return warnings, such as that one is not reachable now."""
    with _as_start_error():
        return await stores.probe_buckets()


async def probe_bucket(store: "S3Store") -> "ProbeWarning | None":
    """Probe one S3 location. Return the failure that does not prevent the start."""
    from railtrack.artifacts.s3.probe import probe_bucket

    with _as_start_error():
        return await probe_bucket(store)


@contextmanager
def _as_start_error() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise StartError(error.message) from None
