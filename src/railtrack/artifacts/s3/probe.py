"""Trying out a location in S3: everything that artifacts need is done once with a small object, and the first thing
that is refused is told by its name, with the setting that may be wrong.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from railtrack.artifacts.s3.client import S3Refusal
from railtrack.artifacts.s3.store import S3Store
from railtrack.artifacts.store import CompletedPart
from railtrack.errors import ApiError
from railtrack.http_client.client import TransferError, UntrustedError

FOLDER = ".railtrack"
CONTENT = b"Railtrack tries out this bucket. This object may be deleted."
LIMIT_S = 10.0
CLEAN_LIMIT_S = 3.0
PRESIGNED_S = 60
OK = 200

NEXT_STEPS = {
    "InvalidAccessKeyId": "Check AWS_ACCESS_KEY_ID and the endpoint.",
    "SignatureDoesNotMatch": "Check AWS_SECRET_ACCESS_KEY and AWS_REGION.",
    "ExpiredToken": "Renew AWS_SESSION_TOKEN and the keys.",
    "InvalidToken": "Check AWS_SESSION_TOKEN.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "NoSuchBucket": (
        "Create the bucket, or correct its name and AWS_S3_ENDPOINT_URL, or MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE."
    ),
    "AccessDenied": "Give the key the right to put, get, list and delete objects in this bucket.",
}
OTHERWISE = "Check AWS_S3_ENDPOINT_URL and MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE."
"""For what is no code of S3's, but of whatever answers there."""
NO_ABORT = (
    "What uploads leave that break off stays there and is paid for: give the key the right s3:AbortMultipartUpload, "
    "or have the bucket remove incomplete uploads."
)
UNTRUSTED = "Set AWS_CA_BUNDLE to the certificate of its authority, or correct AWS_S3_ENDPOINT_URL."
AWAY = "Check AWS_S3_ENDPOINT_URL; where it is right, nothing needs to be done: /ready tells when the store is back."


@dataclass(frozen=True, slots=True)
class Found:
    """What a trial has to tell of a store that refused nothing that is needed. `works`: it is not away."""

    told: str
    works: bool


async def try_out(store: S3Store) -> Found | None:
    """What is to be told, None when all is well. Raises an ApiError for a refusal."""
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    steps = (("put", _put), ("get", _get), ("list", _list), ("upload in parts", _upload_parts), ("delete", _delete))
    notes = []
    try:
        async with asyncio.timeout(LIMIT_S):
            for name, step in steps:
                if note := await _told(store, name, step(store, key)):
                    notes.append(note)
    except ApiError as error:
        if not error.is_transient:
            await _cleaned(store, key)
            raise
        told = error.message if _is_about_credentials(error) else f"{error.message.rstrip('.')}. {AWAY}"
        return Found(told, works=False)
    except TimeoutError:
        told = f"The artifact store does not answer within {LIMIT_S:.0f} s: {store.bucket}. {AWAY}"
        return Found(told, works=False)
    return Found(" ".join(notes), works=True) if notes else None


async def _cleaned(store: S3Store, key: str) -> None:
    """Take back what was put before something else was refused, as far as that is allowed."""
    with suppress(ApiError, TimeoutError):
        async with asyncio.timeout(CLEAN_LIMIT_S):
            await store.delete(key)


def _is_about_credentials(error: ApiError) -> bool:
    """The store was not asked at all: nobody gave the keys to do so."""
    return not isinstance(error.__cause__, OSError | S3Refusal)


async def presigned_work(store: S3Store) -> bool:
    """Whether the store takes a part and gives a range by URLs that the server signed; False also when it is away."""
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        async with asyncio.timeout(LIMIT_S):
            if not await _put_presigned(store, key):
                return False
            try:
                url = await store.presign("GET", key, PRESIGNED_S)
                got = await store.bucket.fetch("GET", url, headers={"range": "bytes=2-4"})
            finally:
                await store.delete(key)
    except (ApiError, OSError, TimeoutError):
        return False
    return (got.status, got.body) == (206, CONTENT[2:5])


async def clock_skew(store: S3Store) -> float | None:
    """Seconds by which the store's clock is ahead of ours, None when it does not tell. Needs no keys.

    Raises ApiError when the store cannot be reached.
    """
    try:
        date = await store.bucket.date()
    except TransferError as error:
        raise store.bucket.unreachable(error) from error
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


async def _put_presigned(store: S3Store, key: str) -> bool:
    """Upload CONTENT in one part, as a client would; whether that worked."""
    upload_id = await store.create_multipart(key)
    try:
        put = await store.bucket.fetch("PUT", await store.presign_part(key, upload_id, 1, PRESIGNED_S), CONTENT)
        if put.status == OK and (etag := put.headers.get("etag")):
            await store.complete_multipart(key, upload_id, [CompletedPart(1, etag)])
            return True
    except BaseException:
        await store.abort_multipart(key, upload_id)
        raise
    await store.abort_multipart(key, upload_id)
    return False


async def _told(store: S3Store, what: str, step: Awaitable[str | None]) -> str | None:
    """What the step has to tell, or its refusal with the next step."""
    try:
        return await step
    except ApiError as error:
        refusal = error.__cause__
        if isinstance(refusal, UntrustedError):
            raise ApiError(error.code, f"{error.message.rstrip('.')}. {UNTRUSTED}", status=error.status) from error
        if not isinstance(refusal, S3Refusal) or refusal.passing:
            raise
        hint = NEXT_STEPS.get(refusal.code, OTHERWISE if refusal.code.startswith("HTTP ") else "")
        told = f"The artifact store refuses to {what}: {store.bucket}: {refusal}".rstrip(".")
        raise ApiError("PERMISSION_DENIED", f"{told}. {hint}".rstrip()) from error


async def _put(store: S3Store, key: str) -> None:
    await store.put(key, _content())


async def _content() -> AsyncGenerator[bytes, None]:
    yield CONTENT


async def _get(store: S3Store, key: str) -> None:
    artifact = await store.open(key)
    async with aclosing(artifact.chunks(2, 5)) as chunks:
        found = b"".join([chunk async for chunk in chunks])
    if found != CONTENT[2:5]:
        raise _broken(store, "gave other bytes than were put")


async def _list(store: S3Store, key: str) -> None:
    folder, _, name = key.rpartition("/")
    token: str | None = None
    while True:
        page = await store.list(folder, token, 1000)
        if any(entry.name == name for entry in page.entries):
            return
        token = page.next_token
        if token is None:
            raise _broken(store, "does not list what was put")


async def _upload_parts(store: S3Store, key: str) -> str | None:
    """Begin an upload in parts and take it back. Who may not take it back, but put objects, finishes it instead, so
    that nothing is left: Amazon has a right of its own for it, which few policies give.
    """
    upload_id = await store.create_multipart(key)
    try:
        await store.abort_multipart(key, upload_id)
    except ApiError as error:
        if not isinstance(error.__cause__, S3Refusal) or error.__cause__.code != "AccessDenied":
            raise
    else:
        return None
    await store.complete_multipart(key, upload_id, [await store.put_part(key, upload_id, 1, CONTENT)])
    return f"The artifact store refuses to take back uploads in parts: {store.bucket}. {NO_ABORT}"


async def _delete(store: S3Store, key: str) -> None:
    await store.delete(key)


def _broken(store: S3Store, what: str) -> ApiError:
    return ApiError("INVALID_STATE", f"The artifact store {what}: {store.bucket}")
