"""Probe a bucket: do once, with a small object, what artifacts need. Report the first failure with its fix."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from railtrack.artifacts.s3.client import S3Error
from railtrack.artifacts.s3.store import PARTIAL_CONTENT, S3Store
from railtrack.artifacts.store import CompletedPart
from railtrack.errors import ApiError
from railtrack.http_client.client import TransferError, UntrustedError

FOLDER = ".railtrack"
CONTENT = b"Railtrack probes this bucket. This object may be deleted."
TIMEOUT_S = 10.0
CLEANUP_TIMEOUT_S = 3.0
PRESIGNED_S = 60
OK = 200
OBJECT_ERRORS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Codes for an object that is missing, or a folder, although it was put."""

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
NOT_S3 = "Check AWS_S3_ENDPOINT_URL and MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE."
"""For a response without a code of S3's, probably of another server."""
NO_ABORT = (
    "The parts of interrupted uploads stay there and cost money: give the key the right s3:AbortMultipartUpload, "
    "or have the bucket remove incomplete uploads."
)
NO_RANGES = (
    "Clients get ranges of artifacts through the server, which may read an artifact from its beginning for each, and "
    "no presigned URLs."
)
MULTIPART = "multipart upload"
NO_MULTIPART = "Artifacts of 8 MiB and more need multipart uploads: use a store that has them."
UNTRUSTED = "Set AWS_CA_BUNDLE to the certificate of its CA, or correct AWS_S3_ENDPOINT_URL."
UNREACHABLE = "Check AWS_S3_ENDPOINT_URL. If it is right, do nothing: /ready reports when the store is back."


class ProbeWarning(NamedTuple):
    """A problem that does not prevent the start."""

    message: str
    is_available: bool
    """False if the store could not be reached."""


async def probe_bucket(store: S3Store) -> ProbeWarning | None:
    """Return the warning, if any. Raise an ApiError if the store rejects something that artifacts need."""
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    steps = (("put", _put), ("get", _get), ("list", _list), (MULTIPART, _upload_parts), ("delete", _delete))
    warnings = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for name, step in steps:
                if warning := await _with_next_step(store, name, step(store, key)):
                    warnings.append(warning)
    except ApiError as error:
        if not error.is_transient:
            with suppress(ApiError, TimeoutError):  # the cleanup may be what is not allowed
                async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                    await store.delete(key)
            raise
        # Without such a cause there were no credentials to send a request with.
        was_sent = isinstance(error.__cause__, OSError | S3Error)
        message = f"{error.message.rstrip('.')}. {UNREACHABLE}" if was_sent else error.message
        return ProbeWarning(message, is_available=False)
    except TimeoutError:
        message = f"The artifact store does not answer within {TIMEOUT_S:.0f} s: {store.bucket}. {UNREACHABLE}"
        return ProbeWarning(message, is_available=False)
    return ProbeWarning(" ".join(warnings), is_available=True) if warnings else None


async def probe_presigned_urls(store: S3Store) -> bool:
    """Return whether presigned URLs can upload a part and download a range. False if the store can't be reached."""
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if not await _put_presigned(store, key):
                return False
            try:
                url = await store.presign("GET", key, PRESIGNED_S)
                response = await store.bucket.fetch("GET", url, headers={"range": "bytes=2-4"})
            finally:
                await store.delete(key)
    except (ApiError, OSError, TimeoutError):
        return False
    return (response.status, response.body) == (PARTIAL_CONTENT, CONTENT[2:5])


async def clock_skew(store: S3Store) -> float | None:
    """Return by how many seconds the store's clock is ahead, None if it does not report its time. Needs no keys.

    Raise ApiError if the store can't be reached.
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
    """Upload CONTENT as a client would, in one part. Return whether that worked."""
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


async def _with_next_step(store: S3Store, name: str, step: Awaitable[str | None]) -> str | None:
    """Return the step's warning. Add the setting to check to its error."""
    try:
        return await step
    except TransferError as error:
        raise store.bucket.unreachable(error) from error
    except OSError as error:
        raise _invalid_store(store, f"fails at the probe's {name}", str(error)) from error
    except ApiError as error:
        cause = error.__cause__
        if isinstance(cause, UntrustedError):
            raise ApiError(error.code, f"{error.message.rstrip('.')}. {UNTRUSTED}", status=error.status) from error
        if error.code in OBJECT_ERRORS and not isinstance(cause, S3Error):
            raise _invalid_store(store, f"fails at the probe's {name}", error.message) from error
        if not isinstance(cause, S3Error) or cause.is_retryable:
            raise
        advice = NEXT_STEPS.get(cause.code, NOT_S3 if cause.code.startswith("HTTP ") else "")
        if name == MULTIPART and cause.code != "AccessDenied":  # the store has put, sent and listed an object before
            advice = NO_MULTIPART
        message = f"The artifact store rejects the probe's {name}: {store.bucket}: {cause}".rstrip(".")
        raise ApiError("PERMISSION_DENIED", f"{message}. {advice}".rstrip()) from error


async def _put(store: S3Store, key: str) -> None:
    await store.put(key, _content())


async def _content() -> AsyncGenerator[bytes, None]:
    yield CONTENT


async def _get(store: S3Store, key: str) -> str | None:
    artifact = await store.open(key)
    async with aclosing(artifact.chunks(2, 5)) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    if content != CONTENT[2:5]:
        raise _invalid_store(store, "returns other bytes than it was sent")
    return None if store.bucket.has_ranges else f"The artifact store has no range requests: {store.bucket}. {NO_RANGES}"


async def _list(store: S3Store, key: str) -> None:
    folder, _, name = key.rpartition("/")
    token: str | None = None
    while True:
        page = await store.list(folder, token, 1000)
        if any(entry.name == name for entry in page.entries):
            return
        token = page.next_token
        if token is None:
            raise _invalid_store(store, "does not list an object that was put")


async def _upload_parts(store: S3Store, key: str) -> str | None:
    """Begin a multipart upload and abort it. If only that is denied, complete it, so that nothing is left behind.

    On AWS, aborting needs a permission that few policies grant.
    """
    upload_id = await store.create_multipart(key)
    try:
        await store.abort_multipart(key, upload_id)
    except ApiError as error:
        if not isinstance(error.__cause__, S3Error) or error.__cause__.code != "AccessDenied":
            raise
    else:
        return None
    await store.complete_multipart(key, upload_id, [await store.put_part(key, upload_id, 1, CONTENT)])
    return f"The artifact store does not allow aborting multipart uploads: {store.bucket}. {NO_ABORT}"


async def _delete(store: S3Store, key: str) -> None:
    await store.delete(key)


def _invalid_store(store: S3Store, what: str, reason: str = "") -> ApiError:
    return ApiError("INVALID_STATE", f"The artifact store {what}: {store.bucket}{f': {reason}' if reason else ''}")
