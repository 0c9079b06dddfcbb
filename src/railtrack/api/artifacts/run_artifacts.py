"""Artifacts of a run: list, download, and the UI's upload of small files. Clients upload through proxy.py."""

from collections.abc import AsyncGenerator
from typing import Annotated

from railtrack.api.artifacts.queries import check_transfer, download, list_artifact_folder, run_artifact_uri
from railtrack.api.artifacts.schemas import ArtifactListing
from railtrack.artifacts.paths import file_key
from railtrack.auth import RUN_EDIT, RUN_READ
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.wire.request import HttpRequest, Request, RequiredStr
from railtrack.wire.response import BytesResponse, FileResponse, Response
from railtrack.wire.routing import endpoint

UPLOAD_LIMIT_BYTES = 10 * 1024 * 1024


class ListArtifacts(Request):
    ALIASES = {"run_uuid": "run_id"}

    run_id: RequiredStr
    path: str = ""
    page_token: str | None = None
    """Ignored, as by MLflow with a local store: every response is complete."""


@endpoint("GET", "artifacts/list", access=RUN_READ)
async def list_artifacts(ctx: Context, req: ListArtifacts) -> Annotated[Response, ArtifactListing]:
    """List a folder. A file or a missing folder has no entries."""
    uri = await run_artifact_uri(ctx.db, req.run_id)
    return await list_artifact_folder(ctx.artifacts, uri, req.path)


class GetArtifact(Request):
    ALIASES = {"run_uuid": "run_id"}

    run_id: RequiredStr
    path: str | None = None


@endpoint("GET", "/get-artifact", access=RUN_READ)
async def get_artifact(ctx: Context, req: GetArtifact) -> FileResponse:
    """Return a file of a run, for the web interface."""
    check_transfer(ctx, "download")
    if req.path is None:
        raise invalid("Request must specify path.")
    uri = await run_artifact_uri(ctx.db, req.run_id)
    return await download(ctx.http, ctx.artifacts.locate(uri, req.path))


@endpoint("POST", "upload-artifact", access=RUN_EDIT, ajax_only=True)
async def upload_artifact(ctx: Context, http: HttpRequest) -> Response:
    """Store a small file in a run, from the UI's dialog."""
    check_transfer(ctx, "upload")
    run_id, run_uuid, path = (http.query.get(name, [""])[-1] for name in ("run_id", "run_uuid", "path"))
    run_id = run_id or run_uuid
    for name, value in (("run_id or run_uuid", run_id), ("path", path)):
        if not value:
            raise invalid(f"Request must specify {name}.")
    key = file_key(path)
    location = ctx.artifacts.locate(await run_artifact_uri(ctx.db, run_id), key)
    await location.store.put(location.key, _limited_body(http))
    return BytesResponse(b"")


async def _limited_body(http: HttpRequest) -> AsyncGenerator[bytes, None]:
    length = 0
    async for chunk in http.stream():
        length += len(chunk)
        if length > UPLOAD_LIMIT_BYTES:
            raise invalid("Artifact size is too large. Max size is 10MB.")
        yield chunk
    if not length:
        raise invalid("Request must specify data.")
