"""Artifacts in a bucket of an S3-compatible store, below a prefix. A folder is what the names of objects make it.

How requests are signed, sent and repeated is in s3_bucket.py, how a stream becomes an object in s3_upload.py.
"""

import asyncio
import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote_plus

from railtrack.artifacts.s3.client import Bucket, S3Refusal, parse, refused, text_of
from railtrack.artifacts.s3.signing import Query
from railtrack.artifacts.s3.upload import abort, complete, create, upload
from railtrack.artifacts.s3.upload_memory import PartMemory
from railtrack.artifacts.store import CompletedPart, Entry, Page, is_folder, no_such
from railtrack.errors import invalid
from railtrack.http_client.client import HttpResponse, TransferError

PAGE = 1000
"""Keys that S3 lists or deletes at a time."""
DELETED_AT_ONCE = 4
"""Pages of keys. Amazon takes most of a second for one: 100,000 objects are to be gone in the client's 120 s."""
RESUMES = 3
"""How often a download goes on after the store broke it off, without a byte in between."""
ETAG = re.compile(r'(W/)?"[!#-~]+"')
MISSING = frozenset(("NoSuchKey", "HTTP 404"))


class _Listed(NamedTuple):
    keys: list[tuple[str, int]]
    """Whole keys, with their sizes in bytes."""
    folders: list[str]
    next_token: str | None


class S3Store:
    """The store below `prefix` in a bucket."""

    def __init__(self, bucket: Bucket, prefix: str, memory: PartMemory) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._memory = memory

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        with self._calling(key):
            await upload(self.bucket, self._full(key), chunks, self._memory)

    async def open(self, key: str, *, whole: bool = True) -> "S3Artifact":
        if not key:
            raise is_folder(key)
        with self._calling(key):
            try:
                return await self._opened(self._full(key), whole)
            except S3Refusal as error:
                if error.code not in MISSING:
                    raise
            within = await self._listed(f"{self._full(key)}/", None, 1)
        raise is_folder(key) if within.keys else no_such(key)

    async def _opened(self, key: str, whole: bool) -> "S3Artifact":
        if not whole:
            try:
                return S3Artifact(self.bucket, key, (await self.bucket.call("HEAD", key)).headers)
            except S3Refusal as error:
                if error.code in MISSING:
                    raise
                # Any other refusal has no body to say why: GET's has.
        answer = await self.bucket.open(key, {})
        return S3Artifact(self.bucket, key, answer.headers, answer)

    async def list(self, folder: str, token: str | None, limit: int) -> Page:
        prefix = f"{self._full(folder)}/".lstrip("/")
        entries: list[Entry] = []
        with self._calling(folder):
            while True:
                listed = await self._listed(prefix, token, min(PAGE, limit - len(entries)), delimiter="/")
                entries += _entries(listed, len(prefix))
                token = listed.next_token
                if token is None or len(entries) >= limit:
                    return Page(entries, token)

    async def delete(self, key: str) -> None:
        if not key:
            raise invalid("Invalid path")
        with self._calling(key):
            await self._delete_one(self._full(key))
            before: Sequence[Sequence[str]] = ()
            while pages := await self._pages(f"{self._full(key)}/"):
                if pages == before:
                    raise TransferError("it lists what it said it had deleted")
                for error in await asyncio.gather(*map(self._delete_many, pages), return_exceptions=True):
                    if error is not None:
                        raise error
                before = pages

    async def probe(self) -> None:
        with self._calling("a probe"):
            await self._listed(f"{self.prefix}/".lstrip("/"), None, 1)

    async def presign(self, method: str, key: str, seconds: int, query: Query = ()) -> str:
        return await self.bucket.presign(method, self._full(key), seconds, query)

    async def create_multipart(self, key: str) -> str:
        with self._calling(key):
            return await create(self.bucket, self._full(key))

    async def presign_part(self, key: str, upload_id: str, number: int, seconds: int) -> str:
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        return await self.bucket.presign("PUT", self._full(key), seconds, query)

    async def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> CompletedPart:
        """One part by the server itself. Uploads have their own way (s3_upload.py), which streams."""
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        with self._calling(key):
            answer = await self.bucket.call("PUT", self._full(key), query, content)
        return CompletedPart(number, answer.headers.get("etag", ""))

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None:
        with self._calling(key):
            await complete(self.bucket, self._full(key), upload_id, parts)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        with self._calling(key):
            await abort(self.bucket, self._full(key), upload_id)

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/")

    @contextmanager
    def _calling(self, key: str) -> Iterator[None]:
        """The store's refusals as the client is to see them."""
        try:
            yield
        except S3Refusal as error:
            raise refused(self.bucket, error, key) from error
        except TransferError as error:
            raise self.bucket.unreachable(error) from error

    async def _listed(self, prefix: str, token: str | None, limit: int, delimiter: str = "") -> _Listed:
        query = [("list-type", "2"), ("prefix", prefix), ("max-keys", str(limit)), ("encoding-type", "url")]
        if delimiter:
            query.append(("delimiter", delimiter))
        if token:
            query.append(("continuation-token", token))
        found = parse((await self.bucket.call("GET", "", query)).body)
        if found is None or not found.tag.endswith("ListBucketResult"):
            raise TransferError("what it lists is no ListBucketResult")
        listed = _listing_of(found)
        if token and listed.next_token == token:
            raise TransferError("it lists the same page again and again")
        return listed

    async def _pages(self, prefix: str) -> Sequence[Sequence[str]]:
        """The first keys below `prefix`, in pages as they may be deleted."""
        pages: list[list[str]] = []
        token: str | None = None
        while len(pages) < DELETED_AT_ONCE:
            listed = await self._listed(prefix, token, PAGE)
            if listed.keys:
                pages.append([key for key, _ in listed.keys])
            token = listed.next_token
            if token is None:
                break
        return pages

    async def _delete_one(self, key: str) -> None:
        try:
            await self.bucket.call("DELETE", key)
        except S3Refusal as error:
            if error.code not in MISSING:
                raise

    async def _delete_many(self, keys: Sequence[str]) -> None:
        """At most PAGE keys. With Content-MD5, which every store takes, instead of a checksum header."""
        named = [key for key in keys if key.isprintable()]
        for key in keys:
            if not key.isprintable():  # XML cannot name it
                await self._delete_one(key)
        if not named:
            return
        body = _deletion(named)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        try:
            answer = await self.bucket.call("POST", "", (("delete", ""),), body, {"content-md5": digest})
        except S3Refusal as error:
            if error.code != "NotImplemented":
                raise
            for key in named:
                await self._delete_one(key)
            return
        found = parse(answer.body)
        failed = found.find("{*}Error") if found is not None else None
        if failed is not None:
            raise S3Refusal(403, text_of(failed, "Code"), text_of(failed, "Message"))


class S3Artifact:
    """An object whose bytes are on their way. Where they break off, or another range is wanted, it is asked again,
    and must still be the same version.
    """

    def __init__(
        self, bucket: Bucket, key: str, headers: Mapping[str, str], answer: HttpResponse | None = None
    ) -> None:
        self._answer = answer
        length, modified = headers.get("content-length", ""), headers.get("last-modified", "")
        try:
            self.size = int(length)
            self.modified = parsedate_to_datetime(modified).timestamp()
        except ValueError:
            self.close()
            raise TransferError("an object came without its length or date") from None
        self._etag_sent = headers.get("etag")
        self.etag = _validator(self._etag_sent or "") or f'"{self.modified:.0f}-{self.size:x}"'
        self._bucket = bucket
        self._key = key

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        failures = 0
        try:
            while start < stop:
                answer = await self._from(start, stop)
                try:
                    async with aclosing(answer.chunks()) as pieces:
                        async for piece in pieces:
                            start += len(piece)
                            failures = 0
                            yield piece
                except TransferError:
                    failures += 1
                    if failures > RESUMES:
                        raise
        finally:
            self.close()

    def close(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def __del__(self) -> None:
        self.close()

    async def _from(self, start: int, stop: int) -> HttpResponse:
        answer, self._answer = self._answer, None
        if answer is not None:
            if (start, stop) == (0, self.size):
                return answer
            answer.close()
        answer = await self._bucket.open(self._key, {"range": f"bytes={start}-{stop - 1}"})
        is_same = answer.status == 206 and answer.headers.get("etag") == self._etag_sent
        if not is_same or answer.headers.get("content-length", str(stop - start)) != str(stop - start):
            answer.close()
            raise OSError("the object was replaced while it was being sent, or the store knows no ranges")
        return answer


def _validator(etag: str) -> str:
    """As HTTP has it; some stores leave the quotes out. "" for what is none."""
    if ETAG.fullmatch(etag):
        return etag
    return f'"{etag}"' if ETAG.fullmatch(f'"{etag}"') else ""


def _listing_of(found: ElementTree.Element) -> _Listed:
    """The listing with its names decoded, where the store did encode them (encoding-type=url)."""
    is_encoded = text_of(found, "EncodingType") == "url"

    def name(element: ElementTree.Element, tag: str) -> str:
        text = text_of(element, tag)
        return unquote_plus(text) if is_encoded else text

    keys = [(name(one, "Key"), int(text_of(one, "Size") or 0)) for one in found.findall("{*}Contents")]
    folders = [name(one, "Prefix") for one in found.findall("{*}CommonPrefixes")]
    token = text_of(found, "NextContinuationToken") or None
    if text_of(found, "IsTruncated") != "true":
        token = None
    elif token is None:
        raise TransferError("its listing is cut off, and it does not say how to go on")
    return _Listed(keys, folders, token)


def _entries(listed: _Listed, prefix: int) -> list[Entry]:
    """Names relative to the folder, whose own placeholder object is left out, in the order of their keys."""
    files = [(key, Entry(key[prefix:], False, size)) for key, size in listed.keys if key[prefix:]]
    folders = [(key, Entry(key[prefix:-1], True, 0)) for key in listed.folders if key[prefix:-1]]
    return [entry for _, entry in sorted(files + folders)]


def _deletion(keys: Sequence[str]) -> bytes:
    root = ElementTree.Element("Delete")
    ElementTree.SubElement(root, "Quiet").text = "true"
    for key in keys:
        ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = key
    body: bytes = ElementTree.tostring(root, encoding="utf-8")
    return body
