"""Artifacts that clients send to the store, and read there, themselves: multipart uploads of the artifact proxy, and
presigned URLs for it, for runs and for logged models. Where the store cannot do that, clients take the proxy instead.
"""

import asyncio
import re
from pathlib import PureWindowsPath
from posixpath import basename
from urllib.parse import quote, urlsplit

import msgspec

from railtrack.api.artifacts.queries import run_artifact_uri
from railtrack.api.logged_models.queries import artifact_location
from railtrack.artifacts import Location
from railtrack.artifacts.paths import file_key
from railtrack.artifacts.store import CompletedPart, DirectStore
from railtrack.auth import ARTIFACT_EDIT, ARTIFACT_READ, RUN_READ
from railtrack.context import Context
from railtrack.errors import invalid, missing, not_implemented
from railtrack.wire.files import media_type
from railtrack.wire.request import HttpRequest, Int32, Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

PARTS_LIMIT = 10_000
"""S3's own. MLflow signs as many URLs as it is asked for."""
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
SIGNED_AT_ONCE = 100
"""URLs signed (20 us each) before other requests have their turn."""
PART_S = 3600
DOWNLOAD_S = 300
DEFAULT_S = 900
LONGEST_S = 604_800


class PartUrl(msgspec.Struct):
    url: str
    part_number: int


class CreateMultipartUpload(Request):
    path: RequiredStr
    num_parts: Int64 = 0


class MultipartUpload(msgspec.Struct, omit_defaults=True):
    upload_id: str
    credentials: list[PartUrl] = []


@endpoint("POST", "/api/2.0/mlflow-artifacts/mpu/create/{folder...}", access=ARTIFACT_EDIT)
@endpoint("POST", "/ajax-api/2.0/mlflow-artifacts/mpu/create/{folder...}", access=ARTIFACT_EDIT)
async def create_multipart_upload(ctx: Context, req: CreateMultipartUpload) -> Reply:
    """An upload's id, and a URL for each of its parts."""
    key = _multipart_key(ctx, req.path)
    store = _taking_parts(await ctx.artifacts.direct_destination())
    if req.num_parts > PARTS_LIMIT:
        raise invalid(f"num_parts must be at most {PARTS_LIMIT} (got {req.num_parts}).")
    upload_id = await store.create_multipart(key)
    urls = []
    for number in range(1, req.num_parts + 1):
        urls.append(PartUrl(await store.presign_part(key, upload_id, number, PART_S), number))
        if number % SIGNED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return MultipartUpload(upload_id, urls)


class UploadedPart(msgspec.Struct):
    part_number: Int32
    etag: RequiredStr


class CompleteMultipartUpload(Request):
    path: RequiredStr
    parts: list[UploadedPart]
    upload_id: str = ""


@endpoint("POST", "/api/2.0/mlflow-artifacts/mpu/complete/{folder...}", access=ARTIFACT_EDIT)
@endpoint("POST", "/ajax-api/2.0/mlflow-artifacts/mpu/complete/{folder...}", access=ARTIFACT_EDIT)
async def complete_multipart_upload(ctx: Context, req: CompleteMultipartUpload) -> Reply:
    """Make the artifact out of its parts, in the order of their numbers."""
    key = _multipart_key(ctx, req.path)
    store = _taking_parts(ctx.artifacts.s3_destination())
    if not 0 < len(req.parts) <= PARTS_LIMIT:
        raise invalid(f"parts must be between 1 and {PARTS_LIMIT} (got {len(req.parts)}).")
    parts = sorted(CompletedPart(part.part_number, part.etag) for part in req.parts)
    await store.complete_multipart(key, _given(req.upload_id), parts)
    return EMPTY


class AbortMultipartUpload(Request):
    path: RequiredStr
    upload_id: str = ""


@endpoint("POST", "/api/2.0/mlflow-artifacts/mpu/abort/{folder...}", access=ARTIFACT_EDIT)
@endpoint("POST", "/ajax-api/2.0/mlflow-artifacts/mpu/abort/{folder...}", access=ARTIFACT_EDIT)
async def abort_multipart_upload(ctx: Context, req: AbortMultipartUpload) -> Reply:
    """Forget the parts; an upload that is not there is forgotten already, where MLflow answers 500."""
    key = _multipart_key(ctx, req.path)
    await _taking_parts(ctx.artifacts.s3_destination()).abort_multipart(key, _given(req.upload_id))
    return EMPTY


def _multipart_key(ctx: Context, path: str) -> str:
    """The folder is in the URL. The body has the file's path on the client's machine, of which only the name counts."""
    name = PureWindowsPath(path).name if DRIVE.match(path) else path.rpartition("/")[2]
    return ctx.artifacts.proxied(f"{ctx.http.params['folder'].rstrip('/')}/{file_key(name)}").key


def _taking_parts(store: DirectStore | None) -> DirectStore:
    if store is None:
        raise not_implemented("Multipart upload is not supported for the current artifact repository")
    return store


def _given(upload_id: str) -> str:
    """Looked at late, since MLflow declines first where there are no uploads in parts."""
    if not upload_id:
        raise missing("upload_id")
    return upload_id


class ProxiedDownload(msgspec.Struct):
    url: str
    headers: dict[str, str]
    file_size: int


@endpoint("GET", "/api/2.0/mlflow-artifacts/presigned/{path...}", access=ARTIFACT_READ)
@endpoint("GET", "/ajax-api/2.0/mlflow-artifacts/presigned/{path...}", access=ARTIFACT_READ)
async def presigned_proxy_download(ctx: Context, http: HttpRequest) -> Reply:
    """Where the client finds the file, and its size, by which it asks for it in ranges."""
    key = ctx.artifacts.proxied(http.params["path"]).key
    store = await ctx.artifacts.direct_destination()
    if store is None:
        raise not_implemented("Multipart download is not supported for the current artifact repository")
    url, size = await _download_url(store, key, DOWNLOAD_S)
    return ProxiedDownload(url, {}, size)


class PresignedUpload(msgspec.Struct):
    presigned_url: str
    headers: dict[str, str]


class PresignedDownload(msgspec.Struct):
    presigned_url: str
    headers: dict[str, str]
    file_size: int


class PresignUpload(Request):
    path: RequiredStr
    run_id: str | None = None
    expiration: Int64 = DEFAULT_S
    model_id: str | None = None


@endpoint("POST", "artifacts/presigned-upload-url", access=ARTIFACT_EDIT)
async def presigned_upload_url(ctx: Context, req: PresignUpload) -> Reply:
    """Where the client may put one file of a run, or of a logged model, whose artifacts are not behind the proxy."""
    key = file_key(req.path)
    if bool(req.run_id) == bool(req.model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.")
    _check_expiration(req.expiration)
    if req.run_id:
        uri = await run_artifact_uri(ctx.db, req.run_id)
    else:
        uri = await artifact_location(ctx.db, req.model_id or "")
    _refuse_proxied(uri, "Presigned upload is not supported for proxied artifact storage", "a")
    place, store = await _direct(ctx, uri, key, "upload")
    return PresignedUpload(
        await store.presign("PUT", place.key, req.expiration), {"Content-Type": media_type(basename(key))}
    )


class PresignDownload(Request):
    run_id: RequiredStr
    path: RequiredStr
    expiration: Int64 = DEFAULT_S


@endpoint("POST", "artifacts/presigned-download-url", access=RUN_READ)
async def presigned_download_url(ctx: Context, req: PresignDownload) -> Reply:
    """Where the client finds one file of a run whose artifacts are not behind the proxy."""
    _check_expiration(req.expiration)
    uri = await run_artifact_uri(ctx.db, req.run_id)
    ctx.artifacts.proxied(req.path)  # its path is looked at first
    _refuse_proxied(uri, "Presigned download is not supported for runs with proxied artifact storage", "a run with a")
    place, store = await _direct(ctx, uri, req.path, "download")
    url, size = await _download_url(store, place.key, req.expiration)
    return PresignedDownload(url, {}, size)


def _check_expiration(seconds: int) -> None:
    """MLflow looks at that of a download only, and signs uploads that no store accepts."""
    if not 1 <= seconds <= LONGEST_S:
        raise invalid(f"expiration must be between 1 and {LONGEST_S} seconds (got {seconds}).")


def _refuse_proxied(uri: str, refusal: str, needed: str) -> None:
    scheme = urlsplit(uri).scheme
    if scheme in ("mlflow-artifacts", "http", "https"):
        raise invalid(
            f"{refusal} (artifact URI scheme: {scheme}). "
            f"This endpoint requires {needed} direct cloud storage artifact URI."
        )


async def _direct(ctx: Context, uri: str, path: str, what: str) -> tuple[Location, DirectStore]:
    place = ctx.artifacts.locate(uri, path)
    store = await ctx.artifacts.direct(place.store)
    if store is None:
        raise not_implemented(f"Presigned {what} is not supported for the current artifact repository")
    return place, store


async def _download_url(store: DirectStore, key: str, seconds: int) -> tuple[str, int]:
    """The URL of a file that is there, and its size. A browser saves what it gets there, and shows nothing of it."""
    artifact = await store.open(key, whole=False)
    artifact.close()
    disposition = f"attachment; filename*=UTF-8''{quote(basename(key), safe='')}"
    return await store.presign("GET", key, seconds, (("response-content-disposition", disposition),)), artifact.size
