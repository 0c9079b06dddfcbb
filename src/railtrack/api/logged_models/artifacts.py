"""The artifacts of a logged model: the listing of its folders, for clients and the UI, and its files, for the UI."""

from railtrack.api.artifacts.queries import download, folder_listing
from railtrack.api.logged_models.queries import artifact_location
from railtrack.auth import LOGGED_MODEL_READ
from railtrack.context import Context
from railtrack.errors import bad_request
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint


class ListLoggedModelArtifacts(Request):
    model_id: RequiredStr
    artifact_directory_path: str = ""
    page_token: str | None = None
    """Ignored, as MLflow does with a local store: every answer is complete."""


@endpoint("GET", "logged-models/{model_id}/artifacts/directories", access=LOGGED_MODEL_READ)
async def list_logged_model_artifacts(ctx: Context, req: ListLoggedModelArtifacts) -> Reply:
    """The entries of one folder; none for a file, and none for what does not exist."""
    uri = await artifact_location(ctx.db, req.model_id)
    return await folder_listing(ctx.artifacts, uri, req.artifact_directory_path)


class GetLoggedModelArtifact(Request):
    model_id: RequiredStr
    artifact_file_path: str = ""


@endpoint("GET", "logged-models/{model_id}/artifacts/files", access=LOGGED_MODEL_READ, ajax_only=True)
async def get_logged_model_artifact(ctx: Context, req: GetLoggedModelArtifact) -> Reply:
    """One file. Clients take theirs through the artifact proxy or from the store."""
    if not req.artifact_file_path:
        raise bad_request('Request must include the "artifact_file_path" query parameter.')
    uri = await artifact_location(ctx.db, req.model_id)
    return await download(ctx.http, ctx.artifacts.locate(uri, req.artifact_file_path))
