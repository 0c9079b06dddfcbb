"""The files of a model version, for the UI: clients take theirs through the artifact proxy or from the store."""

from urllib.parse import urlsplit

from railtrack.api.artifacts.queries import download
from railtrack.api.registry.names import check_name, version_number
from railtrack.api.registry.queries import storage_location
from railtrack.auth import REGISTERED_MODEL_READ
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import not_found
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint


class GetModelVersionArtifact(Request):
    name: RequiredStr
    version: RequiredStr
    path: RequiredStr


@endpoint("GET", "/model-versions/get-artifact", access=REGISTERED_MODEL_READ)
async def get_model_version_artifact(ctx: Context, req: GetModelVersionArtifact) -> Reply:
    """One file. Unlike with MLflow, the version may be of a source `runs:/...`, too."""
    check_name(req.name)
    uri = await storage_location(ctx.db, req.name, version_number(req.name, req.version))
    place = ctx.artifacts.locate(await _without_run(ctx.db, uri), req.path)
    return await download(ctx.http, place)


async def _without_run(tx: Tx, uri: str) -> str:
    """The location, that of a run's artifacts in place of `runs:/<run id>`."""
    parts = urlsplit(uri)
    if parts.scheme != "runs":
        return uri
    run_id, _, path = parts.path.strip("/").partition("/")
    root: str | None = await tx.fetch_value("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
    if root is None:
        raise not_found(f"Run with id={run_id} not found")
    return f"{root}/{path}"
