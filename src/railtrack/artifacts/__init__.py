"""From an artifact URI, as experiments, runs and models carry them, to the store that holds it and the
key in there.

The URI comes from the database, where any client may have put it: a local folder or an S3 prefix counts only
below those that the server was told to serve, and no URI makes the server connect to the host it names.
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

if TYPE_CHECKING:  # with its 3 MB, S3 is loaded by servers that have an s3:// location
    from railtrack.artifacts.s3.factory import S3Stores
    from railtrack.artifacts.s3.store import S3Store

__all__ = ["PROXIED", "ArtifactStores", "Location", "Store"]

PROXIED = "mlflow-artifacts:"
"""What locations begin with whose artifacts pass through the server, into the artifacts destination."""

PROXY = "/mlflow-artifacts/artifacts/"
"""What http locations of MLflow's own artifact proxy have in their path."""


BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


class Location(NamedTuple):
    store: Store
    key: str


class ArtifactStores:
    """The stores of one server process. Opens nothing before it is asked to, so it may be made before a
    fork.
    """

    def __init__(self, settings: Settings) -> None:
        self._threads = FileThreads()
        self._destination = settings.artifacts.destination
        self._root_uri = settings.artifacts.default_root
        self._local: dict[str, LocalStore] = {}
        self._s3: dict[str, S3Store] = {}
        self._s3_stores: S3Stores | None = None
        for uri in (settings.artifacts.destination, settings.artifacts.default_root, *settings.artifacts.locations):
            if place := _s3_place(uri):
                self._s3[uri] = self._s3_of(settings).store(*place)
            elif folder := _local_folder(uri):
                self._local[folder] = LocalStore(folder, self._threads)

    def proxied(self, path: str = "") -> Location:
        """Where the artifact proxy keeps `path`, a path from a client, relative to the destination."""
        return Location(self._destination_store(), key_of(path))

    def locate(self, uri: str, path: str = "") -> Location:
        """Where `path`, from a client, is below the artifact location `uri`. Raises
        INVALID_PARAMETER_VALUE for a path that leaves it and a local folder that is not served,
        NOT_IMPLEMENTED for a scheme that has no store here.
        """
        store, root = self._root(uri)
        return Location(store, join(key_of(root), path))

    def serves(self, file: str) -> bool:
        """Whether this local file, relative to the working folder or absolute, lies in a folder that is served."""
        found = Path(file).resolve()
        return any(found.is_relative_to(store.root) for store in self._local.values())

    async def probe(self) -> None:
        """Raise an ApiError that says why when a bucket, or the folder that new experiments use, is not there now."""
        for store in self.buckets():
            await store.probe()
        if self._root_uri.startswith(PROXIED) and not self.s3_destination():
            await self._destination_store().probe()

    def buckets(self) -> "list[S3Store]":
        """The configured locations in S3, each once."""
        return list({(store.bucket.name, store.prefix): store for store in self._s3.values()}.values())

    async def try_out(self) -> list[str]:
        """Store, read, list and delete a small object in each location in S3. Returns what is to be told of them, such
        as that one is away for the moment, and raises an ApiError for what will not mend by itself.
        """
        if not self._s3:
            return []
        from railtrack.artifacts.s3.probe import try_out

        return [found.told for store in self.buckets() if (found := await try_out(store))]

    def check_credentials(self) -> None:
        """Raise an ApiError that names the setting when there are locations in S3 but no keys for them."""
        if self._s3_stores is not None:
            self._s3_stores.check_credentials()

    async def direct(self, store: Store) -> DirectStore | None:
        """The store itself where clients can send to it and read from it by presigned URLs, None where they cannot."""
        if self._s3_stores is None:
            return None
        return await self._s3_stores.direct(store)

    async def direct_destination(self) -> DirectStore | None:
        """As direct(), of the artifact proxy's store."""
        store = self.s3_destination()
        return await self.direct(store) if store else None

    def s3_destination(self) -> DirectStore | None:
        """The artifact proxy's store if it is in S3, wanted by clients or not: for what they have begun with it."""
        return self._s3.get(self._destination)

    def destination_folder(self) -> Path | None:
        """The artifact proxy's folder, None if its store is none."""
        folder = _local_folder(self._destination)
        return Path(folder) if folder else None

    async def direct_root(self) -> DirectStore | None:
        """As direct(), of the store in which new experiments have their artifacts without the proxy."""
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
        if place := _s3_place(uri):
            return self._s3_root(*place, uri)
        folder = _local_folder(uri)
        if folder is None:
            raise _unsupported(uri)
        return self._local_root(folder, uri)

    def _s3_root(self, bucket: str, prefix: str, uri: str) -> tuple[Store, str]:
        for store in self._s3.values():
            inside = f"{prefix}/".startswith(f"{store.prefix}/") or not store.prefix
            if store.bucket.name == bucket and inside:
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

    def _s3_of(self, settings: Settings) -> "S3Stores":
        if self._s3_stores is None:
            from railtrack.artifacts.s3.factory import S3Stores

            self._s3_stores = S3Stores(settings)
        return self._s3_stores

    def _destination_store(self) -> Store:
        if store := self._s3.get(self._destination):
            return store
        folder = _local_folder(self._destination)
        if folder is None:
            raise _unsupported(self._destination)
        return self._local[folder]


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError:
        raise invalid(f"The artifact location '{uri}' is not a valid URI.") from None


def _local_folder(uri: str) -> str | None:
    """The absolute folder that a path or a file: URI means, None for any other URI."""
    parts = _split(uri)
    if parts.scheme == "":
        return str(Path(uri).absolute())
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return str(Path(unquote(parts.path)).absolute())
    return None


def _s3_place(uri: str) -> tuple[str, str] | None:
    """The bucket and the prefix that an s3: URI means, None for any other URI."""
    parts = _split(uri)
    if parts.scheme != "s3":
        return None
    if not BUCKET_NAME.fullmatch(parts.netloc):
        raise invalid(f"The artifact location '{uri}' does not name a bucket: s3://bucket/prefix.")
    return parts.netloc, key_of(parts.path.lstrip("/"))


def _unsupported(uri: str) -> ApiError:
    scheme = _split(uri).scheme
    return not_implemented(
        f"Artifact store '{scheme}': support is not in this version; the artifact location is '{uri}'."
    )
