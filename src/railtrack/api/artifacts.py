"""Artifacts over HTTP: those of a run (list, download, the UI's small uploads), and the artifact proxy that MLflow's
clients store through (mlflow-artifacts). Where the bytes are is the business of railtrack.artifacts.

Artifacts of logged models and of model versions are served by those resources' own modules; what all have in common
is in artifact_files.py.
"""

from collections.abc import AsyncGenerator
from urllib.parse import unquote

from railtrack.api.artifact_files import ArtifactListing, download, folder_listing, listing
from railtrack.artifacts.paths import key_of, key_to_change
from railtrack.auth import ARTIFACT_EDIT, ARTIFACT_READ, RUN_EDIT, RUN_READ
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid, not_found, not_implemented
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
    uri = await _artifact_uri(ctx.db, req.run_id)
    return await folder_listing(ctx.artifacts, uri, req.path)


class GetArtifact(Request):
    ALIASES = {"run_uuid": "run_id"}

    run_id: RequiredStr
    path: str | None = None


@endpoint("GET", "/get-artifact", access=RUN_READ)
async def get_artifact(ctx: Context, req: GetArtifact) -> Reply:
    if req.path is None:
        raise invalid("Request must specify path.")
    uri = await _artifact_uri(ctx.db, req.run_id)
    return await download(ctx.http, ctx.artifacts.locate(uri, req.path))


@endpoint("POST", "upload-artifact", access=RUN_EDIT, ajax_only=True)
async def upload_artifact(ctx: Context, http: HttpRequest) -> Reply:
    """The UI's own way to store a small file in a run."""
    run_id, path = (http.query.get(name, [""])[-1] for name in ("run_uuid", "path"))
    for name, value in (("run_uuid", run_id), ("path", path)):
        if not value:
            raise invalid(f"Request must specify {name}.")
    inside = _file_key(path)
    place = ctx.artifacts.locate(await _artifact_uri(ctx.db, run_id), inside)
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


async def _artifact_uri(db: Tx, run_id: str) -> str:
    """Where the run's artifacts are. Deleted runs keep theirs."""
    row = await db.fetchrow("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run_id)
    if row is None:
        raise not_found(f"Run with id={run_id} not found")
    if not row[0]:
        raise not_found(f"Run with id={run_id} has no artifact location")
    uri: str = row[0]
    return uri


@endpoint("GET", "/api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_READ)
@endpoint("GET", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_READ)
async def proxy_get(ctx: Context, http: HttpRequest) -> Reply:
    return await download(http, ctx.artifacts.proxied(http.params["path"]))


@endpoint("PUT", "/api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
@endpoint("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path...}", access=ARTIFACT_EDIT)
async def proxy_put(ctx: Context, http: HttpRequest) -> Reply:
    """Store the body, of any length, as it comes in; a client that goes away half-way leaves nothing."""
    place = ctx.artifacts.proxied(_file_key(http.params["path"]))
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


class MultipartUpload(Request):
    path: RequiredStr


@endpoint("POST", "/api/2.0/mlflow-artifacts/mpu/{step}/{folder...}", access=ARTIFACT_EDIT)
@endpoint("POST", "/ajax-api/2.0/mlflow-artifacts/mpu/{step}/{folder...}", access=ARTIFACT_EDIT)
async def multipart_upload(ctx: Context, req: MultipartUpload) -> Reply:
    """Only stores that can presign URLs take parts; MLflow answers so for a local folder, and clients fall back."""
    key_of(req.path)
    ctx.artifacts.proxied(ctx.http.params["folder"])
    raise not_implemented("Multipart upload is not supported for the current artifact repository")


@endpoint("GET", "/api/2.0/mlflow-artifacts/presigned/{path...}", access=ARTIFACT_READ)
@endpoint("GET", "/ajax-api/2.0/mlflow-artifacts/presigned/{path...}", access=ARTIFACT_READ)
async def presigneddownload(ctx: Context, http: HttpRequest) -> Reply:
    """As for multipart uploads."""
    ctx.artifacts.proxied(http.params["path"])
    raise not_implemented("Multipart download is not supported for the current artifact repository")


def _file_key(path: str) -> str:
    key = key_to_change(path)
    if not key or path.endswith("/"):
        raise invalid("Artifact path must include a filename (cannot end with '/').")
    return key
