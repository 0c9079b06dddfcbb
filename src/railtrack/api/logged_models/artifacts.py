"""Artifacts of a logged model: list folders, for clients and the UI, and download files, for the UI."""

from typing import Annotated

from railtrack.api.artifacts.queries import check_transfer, download, list_artifact_folder, presigned_download
from railtrack.api.artifacts.schemas import ArtifactListing
from railtrack.api.logged_models.queries import artifact_location
from railtrack.auth import LOGGED_MODEL_READ
from railtrack.context import Context
from railtrack.errors import bad_request
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import FileResponse, Response
from railtrack.wire.routing import endpoint


class ListLoggedModelArtifacts(Request):
    model_id: RequiredStr
    artifact_directory_path: str = ""
    page_token: str | None = None
    """Ignored, as by MLflow with a local store: every response is complete."""


@endpoint("GET", "logged-models/{model_id}/artifacts/directories", access=LOGGED_MODEL_READ)
async def list_logged_model_artifacts(
    ctx: Context, req: ListLoggedModelArtifacts
) -> Annotated[Response, ArtifactListing]:
    """List a folder. A file or a missing folder has no entries."""
    uri = await artifact_location(ctx.db, req.model_id)
    return await list_artifact_folder(ctx.artifacts, uri, req.artifact_directory_path)


class GetLoggedModelArtifact(Request):
    model_id: RequiredStr
    artifact_file_path: str = ""
    presigned: str = ""


@endpoint("GET", "logged-models/{model_id}/artifacts/files", access=LOGGED_MODEL_READ, ajax_only=True)
async def get_logged_model_artifact(ctx: Context, req: GetLoggedModelArtifact) -> FileResponse:
    """Return one file, or with `presigned=true` a URL of it in the store, as JSON.

    Clients use the artifact proxy or the store itself.
    """
    is_presigned = req.presigned == "true"
    if not is_presigned:
        check_transfer(ctx, "download")
    if not req.artifact_file_path:
        raise bad_request('Request must include the "artifact_file_path" query parameter.')
    uri = await artifact_location(ctx.db, req.model_id)
    file = ctx.artifacts.locate(uri, req.artifact_file_path)
    return await presigned_download(ctx, file) if is_presigned else await download(ctx.http, file)
