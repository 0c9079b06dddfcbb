"""From a stream of any length to an object: one PUT when it is small, else a multipart upload in parts that are all of
one size (R2 wants them so). Holds two parts in memory at the most, and leaves nothing behind when it fails. How much
all uploads hold together is in s3_memory.py.
"""

import asyncio
import hashlib
import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from railtrack.artifacts.s3.client import Bucket, S3Refusal, parse, text_of
from railtrack.artifacts.s3.signing import UNSIGNED_PAYLOAD
from railtrack.artifacts.s3.upload_memory import PART_BYTES, PartMemory, Share, Source
from railtrack.artifacts.store import CompletedPart
from railtrack.errors import invalid, unavailable
from railtrack.http_client.client import TransferError

log = logging.getLogger("railtrack")

PARTS_LIMIT = 10_000
"""S3's own."""
FINISH_LIMIT_S = 90.0
"""How long the store may take after the client's last byte: less than the client's patience (120 s)."""
CRUMB_BYTES = 16 * 1024
TYPE = {"content-type": "application/octet-stream"}


class Part:
    """Bytes that grow up to PART_BYTES, in the pieces they come in, and their digest; free() gives the memory back."""

    def __init__(self, share: Share, *, signed: bool) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._crumbs = bytearray()
        self._digest = hashlib.sha256() if signed else None
        self._share = share

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest() if self._digest else UNSIGNED_PAYLOAD

    @property
    def is_full(self) -> bool:
        return self.size == PART_BYTES

    @property
    def data(self) -> list[bytes]:
        return [*self._pieces, bytes(self._crumbs)]

    async def fill(self, rest: bytes) -> bytes:
        """Take in `rest` and what comes after it, until the part is full or the stream ends; what did not fit."""
        with suppress(StopAsyncIteration):
            while not self.is_full:
                rest = await self._add(rest or await self._share.next())
        return rest

    async def _add(self, piece: bytes) -> bytes:
        taken = piece[: PART_BYTES - self.size]
        await self._share.hold(self.size + len(taken))
        self.size += len(taken)
        if self._digest:
            self._digest.update(taken)
        self._keep(taken)
        return piece[len(taken) :]

    def _keep(self, piece: bytes) -> None:
        """As it is, without copying; small ones together, since a `bytes` of its own has its price."""
        if self._crumbs or len(piece) < CRUMB_BYTES:
            self._crumbs += piece
            if len(self._crumbs) < CRUMB_BYTES:
                return
            piece = bytes(self._crumbs)
            self._crumbs.clear()
        self._pieces.append(piece)

    def free(self) -> None:
        self.size = 0
        self._pieces, self._crumbs = [], bytearray()
        self._share.free()


class Parts:
    """A stream cut into parts: all full but the last, which may be empty."""

    def __init__(self, chunks: AsyncIterator[bytes], memory: PartMemory, *, signed: bool) -> None:
        self._source = Source(chunks)
        self._signed = signed
        self._memory = memory
        self._rest = b""

    async def next(self) -> Part:
        part = Part(self._memory.share(self._source), signed=self._signed)
        try:
            self._rest = await part.fill(self._rest)
        except BaseException:
            part.free()
            raise
        return part


async def upload(bucket: Bucket, key: str, chunks: AsyncIterator[bytes], memory: PartMemory) -> None:
    """Store all of `chunks` under `key`, or nothing. Raises S3Refusal, ApiError, and what the source raises."""
    parts = Parts(chunks, memory, signed=bucket.signs_bodies)
    part = await parts.next()
    if part.is_full:
        await _upload_parts(_Multipart(bucket, key), part, parts)
        return
    try:
        await bucket.call("PUT", key, (), part.data, TYPE, sha256=part.sha256)
    finally:
        part.free()


async def _upload_parts(multipart: "_Multipart", part: Part, parts: Parts) -> None:
    try:
        while part.is_full:
            await multipart.send(part)
            part = await parts.next()
        await multipart.finish(part)
    except S3Refusal as error:
        await multipart.undo()
        if error.code == "NoSuchUpload":  # also when it was completed and the answer got lost; storing it anew is safe
            raise unavailable("The artifact store lost the upload. Please retry.") from error
        raise
    except BaseException:
        await multipart.undo()
        raise
    finally:
        part.free()


class _Multipart:
    """A multipart upload of which one part is being sent while the next one fills."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._creating: asyncio.Task[str] | None = None
        self._sending: asyncio.Task[CompletedPart] | None = None
        self._done: list[CompletedPart] = []

    async def send(self, part: Part) -> None:
        """Begin to send the part, once the one before has been sent."""
        upload_id = await self._upload_id()
        await self._sent()
        number = len(self._done) + 1
        if number > PARTS_LIMIT:
            raise invalid(f"An artifact may be {PARTS_LIMIT * PART_BYTES >> 30} GiB long when it is sent this way.")
        self._sending = asyncio.create_task(_send_part(self._bucket, self._key, upload_id, number, part))

    async def finish(self, last: Part) -> None:
        """Send what may be left, and make the object."""
        try:
            async with asyncio.timeout(FINISH_LIMIT_S):
                if last.size:
                    await self.send(last)
                await self._sent()
                await complete(self._bucket, self._key, await self._upload_id(), self._done)
        except TimeoutError:
            raise self._bucket.unreachable(TransferError(f"not done in {FINISH_LIMIT_S:.0f} s")) from None

    async def undo(self) -> None:
        """Stop the part under way, then delete the parts; to the end even when this task is being cancelled."""
        undoing = asyncio.create_task(self._undo())
        while not undoing.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([undoing])
        if not undoing.cancelled() and (error := undoing.exception()):
            log.warning("artifact store: an unfinished upload in %s was not removed: %s", self._bucket, error)

    async def _undo(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await _ended(self._sending)
        if self._creating is not None and await _ended(self._creating):
            await abort(self._bucket, self._key, self._creating.result())

    async def _upload_id(self) -> str:
        """Cancelling does not stop the call that begins the upload: its id is needed to take the upload back."""
        if self._creating is None:
            self._creating = asyncio.create_task(create(self._bucket, self._key))
        return await asyncio.shield(self._creating)

    async def _sent(self) -> None:
        if self._sending is not None:
            self._done.append(await self._sending)
            self._sending = None


async def _ended(task: "asyncio.Task[Any]") -> bool:
    """Whether it ended well. How it failed is of no interest any more: the first failure is the one that is told."""
    await asyncio.wait([task])
    return not task.cancelled() and task.exception() is None


async def _send_part(bucket: Bucket, key: str, upload_id: str, number: int, part: Part) -> CompletedPart:
    query = (("partNumber", str(number)), ("uploadId", upload_id))
    try:
        answer = await bucket.call("PUT", key, query, part.data, sha256=part.sha256)
    finally:
        part.free()
    return CompletedPart(number, answer.headers.get("etag", ""))


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
    answer = await bucket.call("POST", key, (("uploadId", upload_id),), ElementTree.tostring(root))
    if parse(answer.body) is None:
        raise bucket.unreachable(TransferError("it did not say that the upload was completed"))


async def abort(bucket: Bucket, key: str, upload_id: str) -> None:
    """Delete an unfinished upload with all its parts; one that is not there is fine."""
    try:
        await bucket.call("DELETE", key, (("uploadId", upload_id),))
    except S3Refusal as error:
        if error.status != 404:
            raise
