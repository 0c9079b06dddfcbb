"""Presigned URLs, by which clients send files to the store and read them there: for the proxy, runs and logged models.

Where the store doesn't support them, clients use the proxy instead.
"""

from posixpath import basename
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from railtrack.api.artifacts.queries import FILE_EXPIRES_S, presign_file, run_artifact_uri
from railtrack.api.artifacts.schemas import PresignedFile
from railtrack.api.logged_models.queries import artifact_location
from railtrack.artifacts.paths import file_key
from railtrack.artifacts.store import DirectStore
from railtrack.auth import ARTIFACT_READ, RUN_OR_LOGGED_MODEL_EDIT, RUN_READ
from railtrack.context import Context
from railtrack.errors import invalid, not_implemented
from railtrack.wire.files import media_type
from railtrack.wire.request import HttpRequest, Int64, Request, RequiredStr
from railtrack.wire.routing import endpoint

DEFAULT_EXPIRES_S = 900
MAX_EXPIRES_S = 604_800
"""The limit of Signature V4."""
MAX_EXPIRES_WITH_LOGIN_S = 900
"""A URL works without a login, also after its user lost access."""


@endpoint("GET", "presigned/{path...}", service="mlflow-artifacts", access=ARTIFACT_READ)
async def presigned_proxy_download(ctx: Context, http: HttpRequest) -> PresignedFile:
    """Return a URL for the file and its size, which clients need to download it in ranges."""
    key = (await ctx.check_artifact(ARTIFACT_READ, ctx.artifacts.proxied(http.params["path"]))).key
    store = await ctx.artifacts.direct_destination()
    if store is None:
        raise not_implemented("Multipart download is not supported for the current artifact repository")
    return await presign_file(store, key, FILE_EXPIRES_S)


class PresignUpload(Request):
    path: RequiredStr
    run_id: str | None = None
    expiration: Int64 = DEFAULT_EXPIRES_S
    model_id: str | None = None


class PresignedUploadResponse(msgspec.Struct):
    presigned_url: str
    headers: dict[str, str]


@endpoint("POST", "artifacts/presigned-upload-url", access=RUN_OR_LOGGED_MODEL_EDIT)
async def presigned_upload_url(ctx: Context, req: PresignUpload) -> PresignedUploadResponse:
    """Return a URL to PUT one file of a run or a logged model whose artifact location is not proxied."""
    key = file_key(req.path)
    if bool(req.run_id) == bool(req.model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.")
    _check_expiration(req.expiration)
    if req.run_id:
        uri = await run_artifact_uri(ctx.db, req.run_id)
    else:
        uri = await artifact_location(ctx.db, req.model_id or "")
    if scheme := _proxied_scheme(uri):
        raise invalid(
            f"Presigned upload is not supported for proxied artifact storage (artifact URI scheme: {scheme}). "
            "This endpoint requires a direct cloud storage artifact URI."
        )
    direct = await _locate_direct(ctx, uri, key, "upload")
    url = await direct.store.presign("PUT", direct.key, _allowed_expiration(ctx, req.expiration))
    return PresignedUploadResponse(url, {"Content-Type": media_type(basename(key))})


class PresignDownload(Request):
    run_id: RequiredStr
    path: RequiredStr
    expiration: Int64 = DEFAULT_EXPIRES_S


class PresignedDownloadResponse(msgspec.Struct):
    presigned_url: str
    headers: dict[str, str]
    file_size: int


@endpoint("POST", "artifacts/presigned-download-url", access=RUN_READ)
async def presigned_download_url(ctx: Context, req: PresignDownload) -> PresignedDownloadResponse:
    """Return a URL to GET one file of a run whose artifact location is not proxied."""
    _check_expiration(req.expiration)
    uri = await run_artifact_uri(ctx.db, req.run_id)
    ctx.artifacts.proxied(req.path)  # MLflow validates the path before the kind of location
    if scheme := _proxied_scheme(uri):
        raise invalid(
            "Presigned download is not supported for runs with proxied artifact storage "
            f"(artifact URI scheme: {scheme}). "
            "This endpoint requires a run with a direct cloud storage artifact URI."
        )
    direct = await _locate_direct(ctx, uri, req.path, "download")
    file = await presign_file(direct.store, direct.key, _allowed_expiration(ctx, req.expiration))
    return PresignedDownloadResponse(file.url, file.headers, file.file_size)


def _check_expiration(seconds: int) -> None:
    """MLflow checks only that of downloads, and signs upload URLs that no store accepts."""
    if not 1 <= seconds <= MAX_EXPIRES_S:
        raise invalid(f"expiration must be between 1 and {MAX_EXPIRES_S} seconds (got {seconds}).")


def _allowed_expiration(ctx: Context, seconds: int) -> int:
    return seconds if ctx.policy is None else min(seconds, MAX_EXPIRES_WITH_LOGIN_S)


def _proxied_scheme(uri: str) -> str:
    """Return the scheme of a location behind the artifact proxy, "" for any other location."""
    scheme = urlsplit(uri).scheme
    return scheme if scheme in ("mlflow-artifacts", "http", "https") else ""


class _DirectLocation(NamedTuple):
    store: DirectStore
    key: str


async def _locate_direct(ctx: Context, uri: str, path: str, use: Literal["upload", "download"]) -> _DirectLocation:
    location = ctx.artifacts.locate(uri, path)
    store = await ctx.artifacts.direct(location.store)
    # The client would not send the headers that the settings require of uploads.
    if store is None or (use == "upload" and ctx.settings.s3.upload_headers):
        raise not_implemented(f"Presigned {use} is not supported for the current artifact repository")
    return _DirectLocation(store, location.key)
