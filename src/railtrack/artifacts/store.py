"""The protocol of artifact stores. Keys come from paths.py: a store never sees the path that a client sent.

Errors are ApiErrors with MLflow's texts.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from railtrack.errors import ApiError, invalid, not_found
from railtrack.logs.throttle import ThrottledLog

CHUNK = 256 * 1024
"""Bytes read or written at a time: the memory of one transfer, however large the artifact is."""


error_log = ThrottledLog("artifact store: ")
"""Errors of stores, shared by all stores of a process."""


class Entry(NamedTuple):
    """A name in a folder; `size` in bytes, 0 for a folder."""

    name: str
    is_dir: bool
    size: int


class Page(NamedTuple):
    """A page of a folder's listing, and the token of the next page, None for the last one."""

    entries: list[Entry]
    next_token: str | None


class Artifact(Protocol):
    """One version of an artifact, open for reading. open()'s caller calls close(), or reads chunks() to the end."""

    size: int
    modified: float
    """Seconds since the epoch."""
    etag: str
    """A strong HTTP validator with its quotes. It differs after every change."""

    def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to `stop`, at most CHUNK at a time. Close the artifact at the end."""

    def close(self) -> None: ...


class Store(Protocol):
    @property
    def uri(self) -> str:
        """Return where the store's keys begin: `s3://bucket/prefix` or a folder, without a slash at the end."""

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store all of `chunks` under `key` durably, replacing an older artifact.

        All or nothing: if `chunks` raises or the task is cancelled, the key keeps its content and nothing else remains.
        """

    async def open(self, key: str, *, whole: bool = True) -> Artifact:
        """Open an artifact. `whole`: it will probably be read completely, so its bytes may be requested at once.

        Raise RESOURCE_DOES_NOT_EXIST, or INVALID_PARAMETER_VALUE for a folder.
        """

    async def list(self, folder: str, token: str | None, limit: int) -> Page:
        """Return at most `limit` entries of a folder, in one order over all pages; none if it does not exist."""

    async def delete(self, key: str) -> None:
        """Delete a file, or a folder with its contents. Ignore a missing one."""

    async def probe(self) -> None:
        """Raise an ApiError with the reason if the store can't accept an artifact now."""


class CompletedPart(NamedTuple):
    """A part that was uploaded: its number, counted from 1, and the ETag that the store returned."""

    number: int
    etag: str


class DirectStore(Store, Protocol):
    """A store that clients may use directly, by URLs that the server signs."""

    async def presign(self, method: str, key: str, seconds: int, query: Sequence[tuple[str, str]] = ()) -> str:
        """Return a URL with which a client can send this request for `seconds`, without credentials."""

    async def create_multipart(self, key: str) -> str:
        """Begin an upload whose parts the client sends, and return its id."""

    async def presign_part(self, key: str, upload_id: str, number: int, seconds: int) -> str: ...

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None: ...

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Delete the upload and its parts. Ignore a missing one."""


def no_such(key: str) -> ApiError:
    return not_found(f"No such artifact: '{key}'")


def is_folder(key: str) -> ApiError:
    return invalid(f"Artifact path refers to a directory, not a file: '{key}'")
