"""From a stream of any length to an object: one PUT when it is small, else a multipart upload in parts that are all of
one size (R2 wants them so). Holds two parts in memory at the most, and leaves nothing behind when it fails.
"""

import asyncio
import hashlib
import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from railtrack.artifacts.s3_bucket import Bucket, S3Refusal, parse, text_of
from railtrack.artifacts.store import CompletedPart
from railtrack.errors import invalid, unavailable

log = logging.getLogger("railtrack")

PART_BYTES = 8 * 1024 * 1024
PARTS_LIMIT = 10_000
"""S3's own."""
PART_BUFFERS = 8
"""Parts that one process holds in memory, over all its uploads: 64 MB."""
UNCOUNTED_BYTES = 64 * 1024
"""An upload up to this long needs no part buffer."""
BUFFER_WAIT_S = 45.0
"""How long an upload waits for a part buffer: less than the client's patience (120 s), with a put after it."""
TYPE = {"content-type": "application/octet-stream"}


class PartBuffers:
    """Hands out the right to hold a part in memory."""

    def __init__(self, count: int = PART_BUFFERS) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self) -> None:
        try:
            async with asyncio.timeout(BUFFER_WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise unavailable("Too many uploads at once. Please retry.", retry_after=10) from None

    def give_back(self) -> None:
        self._free.release()


class Part:
    """Bytes that grow up to PART_BYTES, and their digest; free() gives the right to them back."""

    def __init__(self, buffers: PartBuffers) -> None:
        self.data = bytearray()
        self._digest = hashlib.sha256()
        self._buffers = buffers
        self._counted = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def is_full(self) -> bool:
        return len(self.data) == PART_BYTES

    async def add(self, piece: bytes) -> bytes:
        """Take in what there is room for, and return the rest."""
        taken = piece[: PART_BYTES - len(self.data)]
        if not self._counted and len(self.data) + len(taken) > UNCOUNTED_BYTES:
            await self._buffers.take()
            self._counted = True
        self.data += taken
        self._digest.update(taken)
        return piece[len(taken) :]

    def free(self) -> None:
        self.data = bytearray()
        if self._counted:
            self._counted = False
            self._buffers.give_back()


class Parts:
    """A stream cut into parts: all full but the last, which may be empty."""

    def __init__(self, chunks: AsyncIterator[bytes], buffers: PartBuffers) -> None:
        self._chunks = chunks
        self._buffers = buffers
        self._rest = b""

    async def next(self) -> Part:
        part = Part(self._buffers)
        try:
            while not part.is_full:
                if not self._rest:
                    self._rest = await anext(self._chunks)
                self._rest = await part.add(self._rest)
        except StopAsyncIteration:
            pass
        except BaseException:
            part.free()
            raise
        return part


async def upload(bucket: Bucket, key: str, chunks: AsyncIterator[bytes], buffers: PartBuffers) -> None:
    """Store all of `chunks` under `key`, or nothing. Raises S3Refusal, ApiError, and what the source raises."""
    parts = Parts(chunks, buffers)
    first = await parts.next()
    if first.is_full:
        await _upload_parts(bucket, key, first, parts)
        return
    try:
        await bucket.call("PUT", key, (), first.data, TYPE, sha256=first.sha256)
    finally:
        first.free()


async def _upload_parts(bucket: Bucket, key: str, part: Part, parts: Parts) -> None:
    sending: asyncio.Task[CompletedPart] | None = None
    upload_id = ""
    done: list[CompletedPart] = []
    try:
        upload_id = await create(bucket, key)
        while part.data:
            number = len(done) + (sending is not None) + 1
            if number > PARTS_LIMIT:
                raise invalid(f"An artifact may be {PARTS_LIMIT * PART_BYTES >> 30} GiB long when it is sent this way.")
            if sending is not None:
                done.append(await sending)
            sending = asyncio.create_task(_send_part(bucket, key, upload_id, number, part))
            part = await parts.next()
        if sending is not None:
            done.append(await sending)
        await complete(bucket, key, upload_id, done)
    except S3Refusal as error:
        await _undo(bucket, key, upload_id, sending)
        if error.code == "NoSuchUpload":  # also when it was completed and the answer got lost; storing it anew is safe
            raise unavailable("The artifact store lost the upload. Please retry.") from error
        raise
    except BaseException:
        await _undo(bucket, key, upload_id, sending)
        raise
    finally:
        part.free()


async def _send_part(bucket: Bucket, key: str, upload_id: str, number: int, part: Part) -> CompletedPart:
    query = (("partNumber", str(number)), ("uploadId", upload_id))
    try:
        answer = await bucket.call("PUT", key, query, part.data, sha256=part.sha256)
    finally:
        part.free()
    return CompletedPart(number, answer.headers.get("etag", ""))


async def _undo(bucket: Bucket, key: str, upload_id: str, sending: "asyncio.Task[CompletedPart] | None") -> None:
    """Stop the part under way, then delete the parts; to the end even when this task is being cancelled."""
    if sending is not None:
        sending.cancel()
        await asyncio.wait([sending])
        if not sending.cancelled():
            sending.exception()  # seen: the first failure is the one that is told
    if not upload_id:
        return
    aborting = asyncio.create_task(abort(bucket, key, upload_id))
    while not aborting.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([aborting])
    if error := aborting.exception():
        log.warning("artifact store: the unfinished upload of '%s' in %s was not removed: %s", key, bucket, error)


async def create(bucket: Bucket, key: str) -> str:
    """Begin a multipart upload; its id."""
    answer = await bucket.call("POST", key, (("uploads", ""),), headers=TYPE)
    found = parse(answer.body)
    upload_id = text_of(found, "UploadId") if found is not None else ""
    if not upload_id:
        raise bucket.unreachable(S3Refusal(answer.status, "NoUploadId", "the store began no multipart upload"))
    return upload_id


async def complete(bucket: Bucket, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None:
    """Make the object out of its parts."""
    root = ElementTree.Element("CompleteMultipartUpload")
    for part in parts:
        element = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(element, "PartNumber").text = str(part.number)
        ElementTree.SubElement(element, "ETag").text = part.etag
    await bucket.call("POST", key, (("uploadId", upload_id),), ElementTree.tostring(root))


async def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Delete an unfinished upload with all its parts; one that is not there is fine."""
    try:
        await bucket.call("DELETE", key, (("uploadId", upload_id),))
    except S3Refusal as error:
        if error.status != 404:
            raise
