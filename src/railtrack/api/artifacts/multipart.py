"""Multipart uploads of the artifact proxy: the client sends the parts to the store, by URLs that the server signs."""

import asyncio
import re
from pathlib import PureWindowsPath

import msgspec

from railtrack.artifacts.paths import file_key
from railtrack.artifacts.store import CompletedPart, DirectStore
from railtrack.auth import ARTIFACT_EDIT
from railtrack.context import Context
from railtrack.errors import invalid, missing, not_implemented
from railtrack.wire.request import Int32, Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

PARTS_LIMIT = 10_000
"""S3's limit. MLflow signs any number of URLs."""
SIGNATURES_PER_TURN = 100
"""URLs signed (20 us each) before the event loop serves other requests."""
PART_URL_EXPIRES_S = 3600
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class PartUrl(msgspec.Struct):
    url: str
    part_number: int


class CreateMultipartUpload(Request):
    path: RequiredStr
    num_parts: Int64 = 0


class MultipartUploadResponse(msgspec.Struct, omit_defaults=True):
    upload_id: str
    credentials: list[PartUrl] = []


@endpoint("POST", "mpu/create/{folder...}", service="mlflow-artifacts", access=ARTIFACT_EDIT)
async def create_multipart_upload(ctx: Context, req: CreateMultipartUpload) -> MultipartUploadResponse:
    """Create an upload and return its id and a URL for each part."""
    key = await _destination_key(ctx, req.path)
    store = _require_multipart(await ctx.artifacts.direct_destination())
    if req.num_parts > PARTS_LIMIT:
        raise invalid(f"num_parts must be at most {PARTS_LIMIT} (got {req.num_parts}).")
    upload_id = await store.create_multipart(key)
    urls = []
    for number in range(1, req.num_parts + 1):
        urls.append(PartUrl(await store.presign_part(key, upload_id, number, PART_URL_EXPIRES_S), number))
        if number % SIGNATURES_PER_TURN == 0:
            await asyncio.sleep(0)
    return MultipartUploadResponse(upload_id, urls)


class UploadedPart(msgspec.Struct):
    part_number: Int32
    etag: RequiredStr


class CompleteMultipartUpload(Request):
    path: RequiredStr
    parts: list[UploadedPart]
    upload_id: str = ""


@endpoint("POST", "mpu/complete/{folder...}", service="mlflow-artifacts", access=ARTIFACT_EDIT)
async def complete_multipart_upload(ctx: Context, req: CompleteMultipartUpload) -> EmptyResponse:
    """Assemble the artifact from its parts, in the order of their numbers."""
    key = await _destination_key(ctx, req.path)
    store = _require_multipart(ctx.artifacts.s3_destination())
    if not 0 < len(req.parts) <= PARTS_LIMIT:
        raise invalid(f"parts must be between 1 and {PARTS_LIMIT} (got {len(req.parts)}).")
    if not req.upload_id:
        raise missing("upload_id")
    parts = sorted(CompletedPart(part.part_number, part.etag) for part in req.parts)
    await store.complete_multipart(key, req.upload_id, parts)
    return EMPTY_RESPONSE


class AbortMultipartUpload(Request):
    path: RequiredStr
    upload_id: str = ""


@endpoint("POST", "mpu/abort/{folder...}", service="mlflow-artifacts", access=ARTIFACT_EDIT)
async def abort_multipart_upload(ctx: Context, req: AbortMultipartUpload) -> EmptyResponse:
    """Delete the parts. A missing upload is a success, for which MLflow returns 500."""
    key = await _destination_key(ctx, req.path)
    store = _require_multipart(ctx.artifacts.s3_destination())
    if not req.upload_id:
        raise missing("upload_id")
    await store.abort_multipart(key, req.upload_id)
    return EMPTY_RESPONSE


async def _destination_key(ctx: Context, path: str) -> str:
    """Return the key for the file, which the caller may write.

    The URL has its folder; the body has its path on the client's machine.
    """
    name = PureWindowsPath(path).name if WINDOWS_DRIVE.match(path) else path.rpartition("/")[2]
    location = ctx.artifacts.proxied(f"{ctx.http.params['folder'].rstrip('/')}/{file_key(name)}")
    return (await ctx.check_artifact(ARTIFACT_EDIT, location)).key


def _require_multipart(store: DirectStore | None) -> DirectStore:
    """Like MLflow, reject the upload before its parts and its id are validated."""
    if store is None:
        raise not_implemented("Multipart upload is not supported for the current artifact repository")
    return store
