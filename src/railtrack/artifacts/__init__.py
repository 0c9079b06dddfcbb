"""Resolve an artifact URI of an experiment, run or model to its store and the key in it.

The URI comes from the database, where any client may have put it. So a local folder or an S3 prefix is valid only below
those in the settings, and no URI makes the server connect to the host that it names.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from railtrack.artifacts.local import FileThreads, LocalStore
from railtrack.artifacts.paths import join, key_of
from railtrack.artifacts.store import DirectStore, Store
from railtrack.config.settings import Settings
from railtrack.errors import ApiError, invalid, not_implemented

if TYPE_CHECKING:  # only servers with an s3:// location load S3
    from railtrack.artifacts.s3.factory import S3Stores
    from railtrack.artifacts.s3.store import S3Store

__all__ = ["PROXIED", "ArtifactStores", "Location", "Store"]

PROXIED = "mlflow-artifacts:"
"""The scheme of locations whose artifacts pass through the server, into the artifacts destination."""

PROXY = "/mlflow-artifacts/artifacts/"
"""A part of the path of http locations, which MLflow's artifact proxy uses."""

S3_SCHEMES = ("s3", "s3a")
BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


class Location(NamedTuple):
    store: Store
    key: str

    @property
    def uri(self) -> str:
        """Return where the artifact is, the same text for every URI of it and every store that contains it."""
        return f"{self.store.uri}/{self.key}".rstrip("/")


class ArtifactStores:
    """The stores of one server process. It opens nothing before the first request, so it may be made before a fork."""

    def __init__(self, settings: Settings) -> None:
        self._threads = FileThreads()
        self._destination = settings.artifacts.destination
        self._root_uri = settings.artifacts.default_root
        self._local: dict[str, LocalStore] = {}
        self._s3: dict[str, S3Store] = {}
        self._s3_stores: S3Stores | None = None
        for uri in (settings.artifacts.destination, settings.artifacts.default_root, *settings.artifacts.locations):
            if location := _s3_location(uri):
                self._s3[uri] = self._load_s3(settings).store(location.bucket, location.prefix)
            elif folder := local_folder(uri):
                self._local[folder] = LocalStore(folder, self._threads)

    def proxied(self, path: str = "") -> Location:
        """Return the location of `path`, which a client sent, below the artifact proxy's destination."""
        return Location(self._destination_store(), key_of(path))

    def locate(self, uri: str, path: str = "") -> Location:
        """Return the location of `path`, which a client sent, below the artifact location `uri`.

        Raise INVALID_PARAMETER_VALUE for a path that leaves it and for a location that the settings do not allow, and
        NOT_IMPLEMENTED for a scheme without a store.
        """
        store, root = self._root(uri)
        return Location(store, join(key_of(root), path))

    def serves(self, file: str) -> bool:
        """Whether this local file is in a folder whose artifacts clients can read."""
        path = Path(file).resolve()
        return any(path.is_relative_to(store.root) for store in self._local.values())

    async def probe(self) -> None:
        """Raise an ApiError with the reason if a bucket, or the folder for new experiments, can't be used now."""
        for store in self.buckets():
            await store.probe()
        if self._root_uri.startswith(PROXIED) and not self.s3_destination():
            await self._destination_store().probe()

    def buckets(self) -> "list[S3Store]":
        """Return the stores of the S3 locations in the settings, each once."""
        return list({(store.bucket.name, store.prefix): store for store in self._s3.values()}.values())

    async def probe_buckets(self) -> list[str]:
        """Write, read, list and delete a small object in each S3 location. Return warnings, such as that a store is not
        reachable now. Raise an ApiError for a failure that somebody must fix.
        """
        if not self._s3:
            return []
        from railtrack.artifacts.s3.probe import probe_bucket

        return [warning.message for store in self.buckets() if (warning := await probe_bucket(store))]

    def check_credentials(self) -> None:
        """Raise an ApiError that names the missing setting if there are S3 locations, but no source of credentials."""
        if self._s3_stores is not None:
            self._s3_stores.check_credentials()

    async def direct(self, store: Store) -> DirectStore | None:
        """Return the store if clients can use it by presigned URLs, else None."""
        if self._s3_stores is None:
            return None
        return await self._s3_stores.direct(store)

    async def direct_destination(self) -> DirectStore | None:
        """Do as direct(), for the artifact proxy's store."""
        store = self.s3_destination()
        return await self.direct(store) if store else None

    def s3_destination(self) -> DirectStore | None:
        """Return the artifact proxy's store if it is S3, without a probe: a client may have begun an upload there."""
        return self._s3.get(self._destination)

    def destination_folder(self) -> Path | None:
        """Return the artifact proxy's folder, None if it uses S3."""
        folder = local_folder(self._destination)
        return Path(folder) if folder else None

    async def direct_root(self) -> DirectStore | None:
        """Do as direct(), for the store of new experiments that do not use the proxy."""
        store = self._s3.get(self._root_uri)
        return await self.direct(store) if store else None

    def close(self) -> None:
        self._threads.close()
        if self._s3_stores is not None:
            self._s3_stores.close()

    def _root(self, uri: str) -> tuple[Store, str]:
        parts = _split(uri)
        match parts.scheme:
            case "mlflow-artifacts":
                return self._destination_store(), unquote(parts.path).lstrip("/")
            case "http" | "https" if PROXY in parts.path:
                return self._destination_store(), unquote(parts.path.partition(PROXY)[2])
        if location := _s3_location(uri):
            return self._s3_root(location, uri)
        folder = local_folder(uri)
        if folder is None:
            raise _unsupported(uri)
        return self._local_root(folder, uri)

    def _s3_root(self, location: "_S3Location", uri: str) -> tuple[Store, str]:
        bucket, prefix = location
        for store in self._s3.values():
            is_inside = f"{prefix}/".startswith(f"{store.prefix}/") or not store.prefix
            if store.bucket.name == bucket and is_inside:
                return store, prefix.removeprefix(store.prefix).lstrip("/")
        raise invalid(
            f"The artifact location '{uri}' is not below an S3 location that this server serves. "
            "RAILTRACK_ARTIFACT_LOCATIONS adds one."
        )

    def _local_root(self, folder: str, uri: str) -> tuple[Store, str]:
        for configured, store in self._local.items():
            for root in (configured, store.root):
                if folder == root or folder.startswith(f"{root}/"):
                    return store, folder[len(root) + 1 :]
        raise invalid(f"The artifact location '{uri}' is not below a folder that this server serves.")

    def _load_s3(self, settings: Settings) -> "S3Stores":
        if self._s3_stores is None:
            from railtrack.artifacts.s3.factory import S3Stores

            self._s3_stores = S3Stores(settings)
        return self._s3_stores

    def _destination_store(self) -> Store:
        if store := self._s3.get(self._destination):
            return store
        folder = local_folder(self._destination)
        if folder is None:
            raise _unsupported(self._destination)
        return self._local[folder]


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError:
        raise invalid(f"The artifact location '{uri}' is not a valid URI.") from None


def local_folder(uri: str) -> str | None:
    """Return the absolute folder of a path or a file: URI, None for any other URI."""
    parts = _split(uri)
    if parts.scheme == "":
        return str(Path(uri).absolute())
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return str(Path(unquote(parts.path)).absolute())
    return None


class _S3Location(NamedTuple):
    bucket: str
    prefix: str


def _s3_location(uri: str) -> _S3Location | None:
    """Return the location of an s3: or s3a: URI, None for any other URI."""
    parts = _split(uri)
    if parts.scheme not in S3_SCHEMES:
        return None
    if not BUCKET_NAME.fullmatch(parts.netloc):
        raise invalid(f"The artifact location '{uri}' does not name a bucket: s3://bucket/prefix.")
    return _S3Location(parts.netloc, key_of(parts.path.lstrip("/")))


def _unsupported(uri: str) -> ApiError:
    scheme = _split(uri).scheme
    return not_implemented(
        f"Artifact store '{scheme}': support is not in this version; the artifact location is '{uri}'."
    )
