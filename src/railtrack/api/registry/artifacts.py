"""Downloads of a model version's files for the UI. Clients use the artifact proxy or the store itself."""

from urllib.parse import urlsplit

from railtrack.api.artifacts.queries import check_transfer, download, presigned_download, run_artifact_uri
from railtrack.api.registry.queries import storage_location
from railtrack.auth import ARTIFACT_READ, MODEL_VERSION_READ
from railtrack.context import Context
from railtrack.mlflow.registry_validation import check_model_name, parse_version
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import FileResponse
from railtrack.wire.routing import endpoint


class GetModelVersionArtifact(Request):
    name: RequiredStr
    version: RequiredStr
    path: RequiredStr
    presigned: str = ""


@endpoint("GET", "/model-versions/get-artifact", access=MODEL_VERSION_READ)
async def get_model_version_artifact(ctx: Context, req: GetModelVersionArtifact) -> FileResponse:
    """Return one file, or with `presigned=true` a URL of it in the store, as JSON.

    Unlike MLflow, this also serves versions whose source is `runs:/<run id>/<path>`.
    """
    is_presigned = req.presigned == "true"
    if not is_presigned:
        check_transfer(ctx, "download")
    check_model_name(req.name)
    location = await storage_location(ctx.db, req.name, parse_version(req.name, req.version))
    parts = urlsplit(location)
    if parts.scheme == "runs":
        run_id, _, path = parts.path.strip("/").partition("/")
        location = f"{await run_artifact_uri(ctx.db, run_id)}/{path}"
    file = ctx.artifacts.locate(location, req.path)
    file = await ctx.check_source_file(ARTIFACT_READ, ctx.artifacts.locate(location), file)
    return await presigned_download(ctx, file) if is_presigned else await download(ctx.http, file)
