"""Reads of stored artifacts, shared by runs, logged models and model versions: list a folder, download a file or
presign a URL of it.
"""

from collections.abc import AsyncGenerator
from posixpath import basename
from typing import Literal
from urllib.parse import quote

import msgspec

from railtrack import MLFLOW_VERSION
from railtrack.api.artifacts.schemas import ArtifactListing, FileInfo, PresignedFile
from railtrack.artifacts import ArtifactStores, Location
from railtrack.artifacts.paths import key_of
from railtrack.artifacts.store import DirectStore, Page
from railtrack.context import Context
from railtrack.db import Db
from railtrack.errors import ApiError, not_found, not_implemented
from railtrack.wire.files import file_response
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, Response, StreamResponse

ENTRIES_IN_MEMORY = 20_000
"""Entries read at a time, 6 MB. Longer listings are streamed; a local folder is read again for each page."""
FILE_EXPIRES_S = 300
"""How long a presigned URL of a file is valid, as long as MLflow's."""
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


async def presigned_download(ctx: Context, location: Location) -> PresignedFile:
    """Return a presigned URL of the file. Raise NOT_IMPLEMENTED where clients cannot read the store directly."""
    store = await ctx.artifacts.direct(location.store)
    if store is None:
        raise not_implemented("Presigned download is not supported for the current artifact repository")
    return await presign_file(store, location.key, FILE_EXPIRES_S)


async def presign_file(store: DirectStore, key: str, expires_s: int) -> PresignedFile:
    """Sign a URL for an existing file. Browsers save the file instead of rendering it on the store's origin."""
    artifact = await store.open(key, whole=False)
    artifact.close()
    disposition = f"attachment; filename*=UTF-8''{quote(basename(key), safe='')}"
    url = await store.presign("GET", key, expires_s, (("response-content-disposition", disposition),))
    return PresignedFile(url, {}, artifact.size)


def check_transfer(ctx: Context, use: Literal["upload", "download"]) -> None:
    """Raise PERMISSION_DENIED if files must not pass through the server (`--artifacts-presigned-only`)."""
    if ctx.settings.artifacts.is_presigned_only:
        direction = "to" if use == "upload" else "from"
        raise ApiError(
            "PERMISSION_DENIED",
            f"This server requires artifacts to be {use}ed directly {direction} storage. "
            f"Upgrade your MLflow client to match this server (MLflow {MLFLOW_VERSION}) or a newer version with "
            f"presigned-only artifact support, then retry the {use}. "
            "If you are using the MLflow UI, reload the page to refresh the server settings.",
            details={"artifacts_presigned_only": True},
        )
