"""Artifacts over HTTP: those of a run (list, download, the UI's small uploads), and the artifact proxy that MLflow's
clients store through (mlflow-artifacts). Where the bytes are is the business of railtrack.artifacts.

What goes past the server by presigned URLs is in presigned.py. Artifacts of logged models and of model versions are
served by those resources' own modules; what all have in common is in artifact_files.py.
"""

from collections.abc import AsyncGenerator
from urllib.parse import unquote

from railtrack.api.artifacts.queries import ArtifactListing, download, folder_listing, listing, run_artifact_uri
from railtrack.artifacts.paths import file_key, key_to_change
from railtrack.auth import ARTIFACT_EDIT, ARTIFACT_READ, RUN_EDIT, RUN_READ
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.wire.request import HttpRequest, Request, RequiredStr
from railtrack.wire.response import EMPTY, Raw, Reply
from railtrack.wire.routing import endpoint

UI_UPLOAD_BYTES = 10 * 1024 * 1024


class ListArtifacts(Request):
    ALIASES = {"run_uuid": "run_id"}

    run_id: RequiredStr
    path: str = ""
    page_token: str | None = None
    """Ignored, as MLflow does with a local store: every answer is complete."""


@endpoint("GET", "artifacts/list", access=RUN_READ)
async def list_artifacts(ctx: Context, req: ListArtifacts) -> Reply:
    """The entries of one folder; none for a file, and none for what does not exist."""
    uri = await run_artifact_uri(ctx.db, req.run_id)
    return await folder_listing(ctx.artifacts, uri, req.path)


class GetArtifact(Request):
    ALIASES = {"run_uuid": "run_id"}

    run_id: RequiredStr
    path: str | None = None


@endpoint("GET", "/get-artifact", access=RUN_READ)
async def get_artifact(ctx: Context, req: GetArtifact) -> Reply:
    if req.path is None:
        raise invalid("Request must specify path.")
    uri = await run_artifact_uri(ctx.db, req.run_id)
    return await download(ctx.http, ctx.artifacts.locate(uri, req.path))


@endpoint("POST", "upload-artifact", access=RUN_EDIT, ajax_only=True)
async def upload_artifact(ctx: Context, http: HttpRequest) -> Reply:
    """The UI's own way to store a small file in a run."""
    run_id, path = (http.query.get(name, [""])[-1] for name in ("run_uuid", "path"))
    for name, value in (("run_uuid", run_id), ("path", path)):
        if not value:
            raise invalid(f"Request must specify {name}.")
    inside = file_key(path)
    place = ctx.artifacts.locate(await run_artifact_uri(ctx.db, run_id), inside)
    await place.store.put(place.key, _small_body(http))
    return Raw(b"")


async def _small_body(http: HttpRequest) -> AsyncGenerator[bytes, None]:
    length = 0
    async for piece in http.stream():
        length += len(piece)
        if length > UI_UPLOAD_BYTES:
            raise invalid("Artifact size is too large. Max size is 10MB.")
        yield piece
    if not length:
        raise invalid("Request must specify data.")


@endpoint("GET", "/api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_READ)
@endpoint("GET", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_READ)
async def proxy_get(ctx: Context, http: HttpRequest) -> Reply:
    return await download(http, ctx.artifacts.proxied(http.params["path"]))


@endpoint("PUT", "/api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
@endpoint("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
async def proxy_put(ctx: Context, http: HttpRequest) -> Reply:
    """Store the body, of any length, as it comes in; a client that goes away half-way leaves nothing."""
    place = ctx.artifacts.proxied(file_key(http.params["path"]))
    await place.store.put(place.key, http.stream())
    return Raw(b"")


@endpoint("DELETE", "/api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
@endpoint("DELETE", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
async def proxy_delete(ctx: Context, http: HttpRequest) -> Reply:
    """Delete a file, or a folder with all that is in it. What is not there is deleted already."""
    place = ctx.artifacts.proxied(key_to_change(http.params["path"]))
    await place.store.delete(place.key)
    return EMPTY


class ProxyList(Request):
    path: str = ""


@endpoint("GET", "/api/2.0/mlflow-artifacts/artifacts", access=ARTIFACT_READ)
@endpoint("GET", "/ajax-api/2.0/mlflow-artifacts/artifacts", access=ARTIFACT_READ)
async def proxy_list(ctx: Context, req: ProxyList) -> Reply:
    """The entries of one folder by their bare names."""
    reply = await listing(ctx.artifacts.proxied(req.path), "")
    if "%" in req.path and isinstance(reply, ArtifactListing) and not reply.files:
        # Clients escape a query but not the path of a URL: what they put under /a%20b/ is in `a b`.
        return await listing(ctx.artifacts.proxied(unquote(req.path)), "")
    return reply
