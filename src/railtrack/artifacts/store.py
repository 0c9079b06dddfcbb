"""What an artifact store can do, whatever it is made of. Keys come from paths.py; a store never sees a
client's path.

Errors are ApiErrors with MLflow's texts.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from railtrack.errors import ApiError, invalid, not_found
from railtrack.logs.throttle import ThrottledLog

CHUNK = 256 * 1024
"""Bytes read or written at a time: what one transfer holds in memory, however large the artifact."""


error_log = ThrottledLog("artifact store: ")
"""Errors of stores, shared by all stores of a process."""


class Entry(NamedTuple):
    """A name in a folder; `size` in bytes, 0 for a folder."""

    name: str
    is_dir: bool
    size: int


class Page(NamedTuple):
    """A part of a folder's listing, and what to ask with for the next part: None when this was the last."""

    entries: list[Entry]
    next_token: str | None


class Artifact(Protocol):
    """One version of one artifact, open for reading. Whoever opened it calls close(), or runs chunks() to
    its end.
    """

    size: int
    modified: float
    """Seconds since the epoch."""
    etag: str
    """A strong HTTP validator, quotes included: another one after every change."""

    def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to before `stop`, in pieces of at most CHUNK; closes the artifact at the
        end.
        """

    def close(self) -> None: ...


class Store(Protocol):
    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store all of `chunks` under `key` durably, replacing what is there. All or nothing: when the
        source raises or the task is cancelled, the key keeps its old content and nothing is left behind.
        """

    async def open(self, key: str, *, whole: bool = True) -> Artifact:
        """`whole`: it will likely be read from its first byte to its last, so they may be sent for at once.

        Raises RESOURCE_DOES_NOT_EXIST, or INVALID_PARAMETER_VALUE for a folder.
        """

    async def list(self, folder: str, token: str | None, limit: int) -> Page:
        """At most `limit` entries of a folder, in one order over all pages; none for a file or a missing
        folder.
        """

    async def delete(self, key: str) -> None:
        """Delete a file, or a folder with all that is in it; a missing one is fine."""

    async def probe(self) -> None:
        """Raise an ApiError that says why when the store cannot take an artifact now."""


class CompletedPart(NamedTuple):
    """A part that was uploaded: its number, from 1, and the ETag that the store gave it."""

    number: int
    etag: str


class DirectStore(Store, Protocol):
    """A store that clients may send to and read from themselves, by URLs that the server signs."""

    async def presign(self, method: str, key: str, seconds: int, query: Sequence[tuple[str, str]] = ()) -> str:
        """A URL with which a client can send this request for `seconds`, without keys of its own."""

    async def create_multipart(self, key: str) -> str:
        """Begin an upload whose parts the client sends; its id."""

    async def presign_part(self, key: str, upload_id: str, number: int, seconds: int) -> str: ...

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None: ...

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Forget the upload and its parts; a missing one is fine."""


def no_such(key: str) -> ApiError:
    return not_found(f"No such artifact: '{key}'")


def is_folder(key: str) -> ApiError:
    return invalid(f"Artifact path refers to a directory, not a file: '{key}'")
