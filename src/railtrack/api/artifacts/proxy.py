"""The artifact proxy (mlflow-artifacts): clients store and read files of the artifacts destination through the server.

Multipart uploads are in multipart.py, direct downloads in presigned.py.
"""

from typing import Annotated
from urllib.parse import unquote

from railtrack.api.artifacts.queries import check_transfer, download, list_location
from railtrack.api.artifacts.schemas import ArtifactListing
from railtrack.artifacts.paths import file_key, key_to_change
from railtrack.auth import ARTIFACT_DELETE, ARTIFACT_EDIT, ARTIFACT_READ
from railtrack.context import Context
from railtrack.wire.request import HttpRequest, Request
from railtrack.wire.response import EMPTY_RESPONSE, BytesResponse, EmptyResponse, FileResponse, Response
from railtrack.wire.routing import endpoint


@endpoint("GET", "artifacts/{path...}", service="mlflow-artifacts", access=ARTIFACT_READ)
async def proxy_get(ctx: Context, http: HttpRequest) -> FileResponse:
    """Return a stored file, or the range of it that the request asks for."""
    check_transfer(ctx, "download")
    location = await ctx.check_artifact(ARTIFACT_READ, ctx.artifacts.proxied(http.params["path"]))
    return await download(http, location)


@endpoint("PUT", "artifacts/{path...}", service="mlflow-artifacts", access=ARTIFACT_EDIT)
async def proxy_put(ctx: Context, http: HttpRequest) -> Response:
    """Store the body, of any length, while it arrives. A client that disconnects leaves nothing behind."""
    check_transfer(ctx, "upload")
    location = await ctx.check_artifact(ARTIFACT_EDIT, ctx.artifacts.proxied(file_key(http.params["path"])))
    await location.store.put(location.key, http.stream())
    return BytesResponse(b"")


@endpoint("DELETE", "artifacts/{path...}", service="mlflow-artifacts", access=ARTIFACT_DELETE)
async def proxy_delete(ctx: Context, http: HttpRequest) -> EmptyResponse:
    """Delete a file or a folder with its contents; deleting a missing one succeeds."""
    location = await ctx.check_artifact(ARTIFACT_DELETE, ctx.artifacts.proxied(key_to_change(http.params["path"])))
    await ctx.audit(ctx.db, "artifact", location.key)
    await location.store.delete(location.key)
    return EMPTY_RESPONSE


class ProxyList(Request):
    path: str = ""


@endpoint("GET", "artifacts", service="mlflow-artifacts", access=ARTIFACT_READ)
async def proxy_list(ctx: Context, req: ProxyList) -> Annotated[Response, ArtifactListing]:
    """List a folder by names without their path."""
    reply = await list_location(await ctx.check_artifact(ARTIFACT_READ, ctx.artifacts.proxied(req.path)), "")
    if "%" in req.path and isinstance(reply, ArtifactListing) and not reply.files:
        # Clients escape the query but not the path of a URL: what they PUT below /a%20b/ is stored in `a b`.
        location = await ctx.check_artifact(ARTIFACT_READ, ctx.artifacts.proxied(unquote(req.path)))
        return await list_location(location, "")
    return reply
