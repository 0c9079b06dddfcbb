"""Turn a stream of any length into an object: one PUT if it is small, else a multipart upload.

All parts have one size, as R2 requires. An upload holds at most two parts in memory, and leaves nothing behind if it
fails. upload_memory.py bounds the memory of all uploads together.
"""

import asyncio
import hashlib
import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from railtrack.artifacts.s3.client import Bucket, S3Error, parse, text_of
from railtrack.artifacts.s3.signing import UNSIGNED_PAYLOAD
from railtrack.artifacts.s3.upload_memory import PART_BYTES, ClientStream, Reservation, UploadMemory
from railtrack.artifacts.store import CompletedPart
from railtrack.errors import invalid, unavailable
from railtrack.http_client.client import TransferError

log = logging.getLogger("railtrack")

MAX_PARTS = 10_000
"""S3's limit."""
FINISH_TIMEOUT_S = 90.0
"""How long the store may take after the client's last byte. The client waits 120 s."""
SMALL_CHUNK_BYTES = 16 * 1024


class Part:
    """Up to PART_BYTES of the stream, in the chunks that they came in, and their digest. release() frees the memory."""

    def __init__(self, reservation: Reservation, *, is_signed: bool) -> None:
        self.size = 0
        self._chunks: list[bytes] = []
        self._small_chunks = bytearray()
        self._digest = hashlib.sha256() if is_signed else None
        self._reservation = reservation

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest() if self._digest else UNSIGNED_PAYLOAD

    @property
    def is_full(self) -> bool:
        return self.size == PART_BYTES

    @property
    def data(self) -> list[bytes]:
        return [*self._chunks, bytes(self._small_chunks)]

    async def fill(self, rest: bytes) -> bytes:
        """Add `rest` and what follows it, until the part is full or the stream ends. Return what did not fit."""
        with suppress(StopAsyncIteration):
            while not self.is_full:
                rest = await self._add(rest or await self._reservation.next())
        return rest

    async def _add(self, chunk: bytes) -> bytes:
        added = chunk[: PART_BYTES - self.size]
        await self._reservation.grow(self.size + len(added))
        self.size += len(added)
        if self._digest:
            self._digest.update(added)
        if self._small_chunks or len(added) < SMALL_CHUNK_BYTES:
            # Each `bytes` object has overhead, so small chunks are copied together. Large ones are kept as they are.
            self._small_chunks += added
            if len(self._small_chunks) >= SMALL_CHUNK_BYTES:
                self._chunks.append(bytes(self._small_chunks))
                self._small_chunks.clear()
        else:
            self._chunks.append(added)
        return chunk[len(added) :]

    def release(self) -> None:
        self.size = 0
        self._chunks, self._small_chunks = [], bytearray()
        self._reservation.release()


class PartReader:
    """Cut a stream into parts: all full but the last, which may be empty."""

    def __init__(self, chunks: AsyncIterator[bytes], memory: UploadMemory, *, is_signed: bool) -> None:
        self._stream = ClientStream(chunks)
        self._is_signed = is_signed
        self._memory = memory
        self._rest = b""

    async def next(self) -> Part:
        part = Part(self._memory.reservation(self._stream), is_signed=self._is_signed)
        try:
            self._rest = await part.fill(self._rest)
        except BaseException:
            part.release()
            raise
        return part


async def upload(bucket: Bucket, key: str, chunks: AsyncIterator[bytes], memory: UploadMemory) -> None:
    """Store all of `chunks` under `key`, or nothing. Raise S3Error, ApiError, and what the stream raises."""
    parts = PartReader(chunks, memory, is_signed=bucket.signs_bodies)
    part = await parts.next()
    if part.is_full:
        await _upload_parts(_MultipartUpload(bucket, key), part, parts)
        return
    try:
        await bucket.call("PUT", key, (), part.data, bucket.upload_headers, sha256=part.sha256)
    finally:
        part.release()


async def _upload_parts(multipart: "_MultipartUpload", part: Part, parts: PartReader) -> None:
    try:
        while part.is_full:
            await multipart.send(part)
            part = await parts.next()
        await multipart.finish(part)
    except S3Error as error:
        await multipart.abort()
        if error.code == "NoSuchUpload":  # also if it was completed and the response got lost: a repetition is safe
            raise unavailable("The artifact store lost the upload. Please retry.") from error
        raise
    except BaseException:
        await multipart.abort()
        raise
    finally:
        part.release()


class _MultipartUpload:
    """A multipart upload that sends one part while the next one fills."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._creating: asyncio.Task[str] | None = None
        self._sending: asyncio.Task[CompletedPart] | None = None
        self._completed: list[CompletedPart] = []

    async def send(self, part: Part) -> None:
        """Start to send the part as soon as the previous one has been sent."""
        upload_id = await self._upload_id()
        await self._wait_sent()
        number = len(self._completed) + 1
        if number > MAX_PARTS:
            raise invalid(f"An artifact that is uploaded this way may have {MAX_PARTS * PART_BYTES >> 30} GiB.")
        self._sending = asyncio.create_task(_send_part(self._bucket, self._key, upload_id, number, part))

    async def finish(self, last: Part) -> None:
        """Send the last part, which may be empty, and complete the upload."""
        try:
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                if last.size:
                    await self.send(last)
                await self._wait_sent()
                await complete(self._bucket, self._key, await self._upload_id(), self._completed)
        except TimeoutError:
            raise self._bucket.unreachable(TransferError(f"not completed in {FINISH_TIMEOUT_S:.0f} s")) from None

    async def abort(self) -> None:
        """Stop sending and delete the parts. A cancellation of this task does not interrupt it."""
        aborting = asyncio.create_task(self._abort())
        while not aborting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([aborting])
        if not aborting.cancelled() and (error := aborting.exception()):
            log.warning("artifact store: an unfinished upload in %s was not removed: %s", self._bucket, error)

    async def _abort(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await _has_succeeded(self._sending)
        if self._creating is not None and await _has_succeeded(self._creating):
            await abort(self._bucket, self._key, self._creating.result())

    async def _upload_id(self) -> str:
        """Return the id, once the upload has begun. That call is never cancelled: aborting needs the id."""
        if self._creating is None:
            self._creating = asyncio.create_task(create(self._bucket, self._key))
        return await asyncio.shield(self._creating)

    async def _wait_sent(self) -> None:
        if self._sending is not None:
            self._completed.append(await self._sending)
            self._sending = None


async def _has_succeeded(task: "asyncio.Task[Any]") -> bool:
    """Wait for the task's end. Its exception is dropped: the first failure is the one that is reported."""
    await asyncio.wait([task])
    return not task.cancelled() and task.exception() is None


async def _send_part(bucket: Bucket, key: str, upload_id: str, number: int, part: Part) -> CompletedPart:
    query = (("partNumber", str(number)), ("uploadId", upload_id))
    try:
        response = await bucket.call("PUT", key, query, part.data, sha256=part.sha256)
    finally:
        part.release()
    return CompletedPart(number, response.headers.get("etag", ""))


async def create(bucket: Bucket, key: str) -> str:
    """Begin a multipart upload and return its id."""
    response = await bucket.call("POST", key, (("uploads", ""),), headers=bucket.upload_headers)
    root = parse(response.body)
    upload_id = text_of(root, "UploadId") if root is not None else ""
    if not upload_id:
        raise bucket.unreachable(S3Error(response.status, "NoUploadId", "the store began no multipart upload"))
    return upload_id


async def complete(bucket: Bucket, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None:
    """Make the object out of its parts."""
    root = ElementTree.Element("CompleteMultipartUpload")
    for part in parts:
        element = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(element, "PartNumber").text = str(part.number)
        ElementTree.SubElement(element, "ETag").text = part.etag
    response = await bucket.call("POST", key, (("uploadId", upload_id),), ElementTree.tostring(root))
    if parse(response.body) is None:
        raise bucket.unreachable(TransferError("the store did not confirm that the upload was completed"))


async def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Delete an unfinished upload and its parts. Ignore a missing one."""
    try:
        await bucket.call("DELETE", key, (("uploadId", upload_id),))
    except S3Error as error:
        if error.status != 404:
            raise
