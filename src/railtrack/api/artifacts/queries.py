"""Reads of stored artifacts, shared by runs, logged models and model versions: list a folder, download a file."""

from collections.abc import AsyncGenerator
from posixpath import basename

import msgspec

from railtrack.api.artifacts.schemas import ArtifactListing, FileInfo
from railtrack.artifacts import ArtifactStores, Location
from railtrack.artifacts.paths import key_of
from railtrack.artifacts.store import Page
from railtrack.db import Db
from railtrack.errors import not_found
from railtrack.wire.files import file_response
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, Response, StreamResponse

ENTRIES_IN_MEMORY = 20_000
"""Entries read at a time, 6 MB. Longer listings are streamed; a local folder is read again for each page."""
PARTIAL_READ_HEADERS = (b"range", b"if-none-match", b"if-modified-since")
"""Requests with one of these may get less than the whole file."""


async def run_artifact_uri(db: Db, run_id: str) -> str:
    """Return the artifact location of a run, deleted or not. Raise RESOURCE_DOES_NOT_EXIST if it has none."""
    rows = await db.fetch_by_key("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
    if not rows:
        raise not_found(f"Run with id={run_id} not found")
    uri: str | None = rows[0][0]
    if not uri:
        raise not_found(f"Run with id={run_id} has no artifact location")
    return uri


async def list_artifact_folder(stores: ArtifactStores, root_uri: str, path: str) -> Response:
    """List the folder `path` below an artifact location, with paths relative to that location.

    A file or a missing folder has no entries.
    """
    key = key_of(path)
    return await list_location(stores.locate(root_uri, key), f"{key}/" if key else "", root_uri)


async def list_location(location: Location, prefix: str, root_uri: str | None = None) -> Response:
    """List a folder, with `prefix` before each name."""
    page = await location.store.list(location.key, None, ENTRIES_IN_MEMORY)
    if page.next_token is None:
        return ArtifactListing(root_uri, _files(page, prefix))
    return StreamResponse(_stream_listing(location, prefix, page, root_uri), JSON)


async def _stream_listing(
    location: Location, prefix: str, page: Page, root_uri: str | None
) -> AsyncGenerator[bytes, None]:
    """Yield the JSON of an ArtifactListing in chunks of one page each."""
    encode = msgspec.json.encode
    yield b'{"files":[' if root_uri is None else b'{"root_uri":' + encode(root_uri) + b',"files":['
    yield encode(_files(page, prefix))[1:-1]
    while page.next_token is not None:
        page = await location.store.list(location.key, page.next_token, ENTRIES_IN_MEMORY)
        if page.entries:
            yield b"," + encode(_files(page, prefix))[1:-1]
    yield b"]}"


def _files(page: Page, prefix: str) -> list[FileInfo]:
    return [FileInfo(f"{prefix}{entry.name}", entry.is_dir, entry.size) for entry in page.entries]


async def download(http: HttpRequest, location: Location) -> Response:
    """Return the file, or the range that the request asks for."""
    whole = http.method == "GET" and not any(http.header(name) for name in PARTIAL_READ_HEADERS)
    return file_response(http, basename(location.key), await location.store.open(location.key, whole=whole))
