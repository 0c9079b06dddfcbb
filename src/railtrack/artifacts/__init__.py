"""From an artifact URI, as experiments, runs and models carry them, to the store that holds it and the
key in there.

The URI comes from the database, where any client may have put it: a local one counts only below the
folders that the server was told to serve, and no URI makes the server connect to the host it names.
"""

from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from railtrack.artifacts.local import FileThreads, LocalStore
from railtrack.artifacts.paths import join, key_of
from railtrack.artifacts.store import Store
from railtrack.errors import ApiError, invalid, not_implemented

__all__ = ["ArtifactStores", "Location", "Store"]

PROXY = "/mlflow-artifacts/artifacts/"
"""What http locations of MLflow's own artifact proxy have in their path."""


class Locations(Protocol):
    """The settings that say where artifacts are."""

    @property
    def artifacts_destination(self) -> str: ...
    @property
    def default_artifact_root(self) -> str: ...


class Location(NamedTuple):
    store: Store
    key: str


class ArtifactStores:
    """The stores of one server process. Opens nothing before it is asked to, so it may be made before a
    fork.
    """

    def __init__(self, settings: Locations) -> None:
        self._threads = FileThreads()
        self._destination = settings.artifacts_destination
        self._local: dict[str, LocalStore] = {}
        for uri in (settings.artifacts_destination, settings.default_artifact_root):
            if folder := _local_folder(uri):
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
        """Raise an ApiError that says why when the artifact proxy's store cannot take an artifact now."""
        await self._destination_store().probe()

    def close(self) -> None:
        self._threads.close()

    def _root(self, uri: str) -> tuple[Store, str]:
        parts = _split(uri)
        match parts.scheme:
            case "mlflow-artifacts":
                return self._destination_store(), unquote(parts.path).lstrip("/")
            case "http" | "https" if PROXY in parts.path:
                return self._destination_store(), unquote(parts.path.partition(PROXY)[2])
        folder = _local_folder(uri)
        if folder is None:
            raise _unsupported(uri)
        return self._local_root(folder, uri)

    def _local_root(self, folder: str, uri: str) -> tuple[Store, str]:
        for configured, store in self._local.items():
            for root in (configured, store.root):
                if folder == root or folder.startswith(f"{root}/"):
                    return store, folder[len(root) + 1 :]
        raise invalid(f"The artifact location '{uri}' is not below a folder that this server serves.")

    def _destination_store(self) -> Store:
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


def _unsupported(uri: str) -> ApiError:
    scheme = _split(uri).scheme
    store = "S3" if scheme == "s3" else f"Artifact store '{scheme}':"
    return not_implemented(f"{store} support is not in this version; the artifact location is '{uri}'.")
