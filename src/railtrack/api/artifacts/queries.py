"""Answers about stored artifacts, whatever they belong to: the listing of a folder, the download of a file; and where
those of a run are.
"""

from collections.abc import AsyncGenerator
from posixpath import basename

import msgspec

from railtrack.artifacts import ArtifactStores, Location
from railtrack.artifacts.paths import key_of
from railtrack.artifacts.store import Page
from railtrack.db import Db
from railtrack.errors import not_found
from railtrack.wire.files import file_reply
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, Reply, Stream

LISTED_AT_ONCE = 20_000
"""Entries of a folder in memory at a time, 6 MB; longer listings are sent piece by piece. A local folder is read anew
for every piece."""
PARTIAL = (b"range", b"if-none-match", b"if-modified-since")
"""Headers of requests that may be answered with less than the file."""


class FileInfo(msgspec.Struct, omit_defaults=True):
    """`path` relative to what the answer is about; `file_size` in bytes, left out for folders and empty files."""

    path: str
    is_dir: bool
    file_size: int = 0


class ArtifactListing(msgspec.Struct, omit_defaults=True):
    root_uri: str | None = None
    files: list[FileInfo] = []


async def folder_listing(stores: ArtifactStores, root_uri: str, path: str) -> Reply:
    """The entries of the folder `path`, from a client, below an artifact location, by their paths from there.

    None for a file, and none for what does not exist.
    """
    inside = key_of(path)
    return await listing(stores.locate(root_uri, inside), f"{inside}/" if inside else "", root_uri)


async def download(http: HttpRequest, place: Location) -> Reply:
    """The file, all of it or the range that the request asks for."""
    whole = http.method == "GET" and not any(http.header(name) for name in PARTIAL)
    return file_reply(http, basename(place.key), await place.store.open(place.key, whole=whole))


async def listing(place: Location, prefix: str, root_uri: str | None = None) -> Reply:
    """The entries of a folder, each with `prefix` before its name."""
    page = await place.store.list(place.key, None, LISTED_AT_ONCE)
    if page.next_token is None:
        return ArtifactListing(root_uri, _files(page, prefix))
    return Stream(_long_listing(place, prefix, page, root_uri), JSON)


def _files(page: Page, prefix: str) -> list[FileInfo]:
    return [FileInfo(f"{prefix}{name}", is_dir, size) for name, is_dir, size in page.entries]


async def _long_listing(place: Location, prefix: str, page: Page, root_uri: str | None) -> AsyncGenerator[bytes, None]:
    """An ArtifactListing in pieces of a page each."""
    encode = msgspec.json.encode
    yield b'{"files":[' if root_uri is None else b'{"root_uri":' + encode(root_uri) + b',"files":['
    yield encode(_files(page, prefix))[1:-1]
    while page.next_token is not None:
        page = await place.store.list(place.key, page.next_token, LISTED_AT_ONCE)
        if page.entries:
            yield b"," + encode(_files(page, prefix))[1:-1]
    yield b"]}"


async def run_artifact_uri(db: Db, run_id: str) -> str:
    """Where the run's artifacts are. Deleted runs keep theirs."""
    rows = await db.fetch_by_key("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
    if not rows:
        raise not_found(f"Run with id={run_id} not found")
    uri: str | None = rows[0][0]
    if not uri:
        raise not_found(f"Run with id={run_id} has no artifact location")
    return uri
