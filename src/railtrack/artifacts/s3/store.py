"""Artifacts in a bucket of an S3-compatible store, below a prefix. Folders exist only in the keys of objects.

Requests are signed and retried in client.py. Streams become objects in upload.py.
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

from railtrack.artifacts.s3.client import Bucket, S3Error, api_error, parse, text_of
from railtrack.artifacts.s3.signing import Query
from railtrack.artifacts.s3.upload import abort, complete, create, upload
from railtrack.artifacts.s3.upload_memory import UploadMemory
from railtrack.artifacts.store import CompletedPart, Entry, Page, is_folder, no_such
from railtrack.errors import invalid
from railtrack.http_client.client import HttpResponse, TransferError

PAGE = 1000
"""Keys that S3 lists or deletes at a time."""
CONCURRENT_DELETES = 4
"""Pages of keys. Amazon takes most of a second per page, and the client waits 120 s for 100,000 objects."""
MAX_RESUMES = 3
"""How often a download is resumed after the store closed the connection, without a byte in between."""
ETAG = re.compile(r'(W/)?"[!#-~]+"')
PARTIAL_CONTENT = 206
MISSING = frozenset(("NoSuchKey", "HTTP 404"))


class _Listing(NamedTuple):
    keys: list[tuple[str, int]]
    """Whole keys, with their sizes in bytes."""
    folders: list[str]
    next_token: str | None


class _RangeResponse(NamedTuple):
    response: HttpResponse
    position: int
    """Where in the object its first byte is."""


class S3Store:
    """The artifacts below `prefix` in a bucket."""

    def __init__(self, bucket: Bucket, prefix: str, memory: UploadMemory) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._memory = memory

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}".rstrip("/")

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        with self._translate_errors(key):
            await upload(self.bucket, self._full_key(key), chunks, self._memory)

    async def open(self, key: str, *, whole: bool = True) -> "S3Artifact":
        if not key:
            raise is_folder(key)
        with self._translate_errors(key):
            try:
                return await self._open_object(self._full_key(key), whole)
            except S3Error as error:
                if error.code not in MISSING:
                    raise
            listing = await self._list_page(f"{self._full_key(key)}/", None, 1)
        raise is_folder(key) if listing.keys else no_such(key)

    async def _open_object(self, key: str, whole: bool) -> "S3Artifact":
        if not whole:
            try:
                return S3Artifact(self.bucket, key, (await self.bucket.call("HEAD", key)).headers)
            except S3Error as error:
                if error.code in MISSING:
                    raise
                # Another error: the response to HEAD has no body with the reason, the one to GET has.
        response = await self.bucket.open(key, {})
        return S3Artifact(self.bucket, key, response.headers, response)

    async def list(self, folder: str, token: str | None, limit: int) -> Page:
        prefix = f"{self._full_key(folder)}/".lstrip("/")
        entries: list[Entry] = []
        with self._translate_errors(folder):
            while True:
                listing = await self._list_page(prefix, token, min(PAGE, limit - len(entries)), delimiter="/")
                entries += _entries(listing, len(prefix))
                token = listing.next_token
                if token is None or len(entries) >= limit:
                    return Page(entries, token)

    async def delete(self, key: str) -> None:
        if not key:
            raise invalid("Invalid path")
        with self._translate_errors(key):
            previous: Sequence[Sequence[str]] = ()
            while pages := await self._pages(f"{self._full_key(key)}/"):
                if pages == previous:
                    raise TransferError("the store lists objects that it has confirmed as deleted")
                for error in await asyncio.gather(*map(self._delete_many, pages), return_exceptions=True):
                    if error is not None:
                        raise error
                previous = pages
            # Last, since a store on a file system rejects it for a folder that is not empty.
            await self._delete_one(self._full_key(key))

    async def probe(self) -> None:
        with self._translate_errors("a probe"):
            await self._list_page(f"{self.prefix}/".lstrip("/"), None, 1)

    async def presign(self, method: str, key: str, seconds: int, query: Query = ()) -> str:
        return await self.bucket.presign(method, self._full_key(key), seconds, query)

    async def create_multipart(self, key: str) -> str:
        with self._translate_errors(key):
            return await create(self.bucket, self._full_key(key))

    async def presign_part(self, key: str, upload_id: str, number: int, seconds: int) -> str:
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        return await self.bucket.presign("PUT", self._full_key(key), seconds, query)

    async def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> CompletedPart:
        """Send one part from memory. Uploads of artifacts stream (upload.py)."""
        query = (("partNumber", str(number)), ("uploadId", upload_id))
        with self._translate_errors(key):
            response = await self.bucket.call("PUT", self._full_key(key), query, content)
        return CompletedPart(number, response.headers.get("etag", ""))

    async def complete_multipart(self, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None:
        with self._translate_errors(key):
            await complete(self.bucket, self._full_key(key), upload_id, parts)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        with self._translate_errors(key):
            await abort(self.bucket, self._full_key(key), upload_id)

    def _full_key(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/")

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        """Raise the store's errors as ApiErrors."""
        try:
            yield
        except S3Error as error:
            raise api_error(self.bucket, error, key) from error
        except TransferError as error:
            raise self.bucket.unreachable(error) from error

    async def _list_page(self, prefix: str, token: str | None, limit: int, delimiter: str = "") -> _Listing:
        query = [("list-type", "2"), ("prefix", prefix), ("max-keys", str(limit)), ("encoding-type", "url")]
        if delimiter:
            query.append(("delimiter", delimiter))
        if token:
            query.append(("continuation-token", token))
        root = parse((await self.bucket.call("GET", "", query)).body)
        if root is None or not root.tag.endswith("ListBucketResult"):
            raise TransferError("the response to a listing is not a ListBucketResult")
        listing = _parse_listing(root)
        if token and listing.next_token == token:
            raise TransferError("the store lists the same page again and again")
        return listing

    async def _pages(self, prefix: str) -> Sequence[Sequence[str]]:
        """Return the first keys below `prefix`, in pages that can be deleted with one request each."""
        pages: list[list[str]] = []
        token: str | None = None
        while len(pages) < CONCURRENT_DELETES:
            listing = await self._list_page(prefix, token, PAGE)
            if listing.keys:
                pages.append([key for key, _ in listing.keys])
            token = listing.next_token
            if token is None:
                break
        return pages

    async def _delete_one(self, key: str) -> None:
        try:
            await self.bucket.call("DELETE", key)
        except S3Error as error:
            if error.code not in MISSING:
                raise

    async def _delete_many(self, keys: Sequence[str]) -> None:
        """Delete at most PAGE keys. Send Content-MD5, which every store accepts, instead of a checksum header."""
        in_xml = [key for key in keys if key.isprintable()]
        for key in keys:
            if not key.isprintable():  # XML can't contain it
                await self._delete_one(key)
        if not in_xml:
            return
        body = _delete_request(in_xml)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        try:
            response = await self.bucket.call("POST", "", (("delete", ""),), body, {"content-md5": digest})
        except S3Error as error:
            if error.code != "NotImplemented":
                raise
            for key in in_xml:
                await self._delete_one(key)
            return
        root = parse(response.body)
        failed = root.find("{*}Error") if root is not None else None
        if failed is not None:
            raise S3Error(403, text_of(failed, "Code"), text_of(failed, "Message"))


class S3Artifact:
    """An object that is being downloaded. For another range, or after a lost connection, it is requested again and must
    still be the same version.
    """

    def __init__(
        self, bucket: Bucket, key: str, headers: Mapping[str, str], response: HttpResponse | None = None
    ) -> None:
        self._response = response
        length, modified = headers.get("content-length", ""), headers.get("last-modified", "")
        try:
            self.size = int(length)
            self.modified = parsedate_to_datetime(modified).timestamp()
        except ValueError:
            self.close()
            raise TransferError("an object came without its length or date") from None
        self._etag_sent = headers.get("etag")
        self.etag = _entity_tag(self._etag_sent or "") or f'"{self.modified:.0f}-{self.size:x}"'
        self._bucket = bucket
        self._key = key

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        failures = 0
        try:
            while start < stop:
                response, position = await self._response_from(start, stop)
                try:
                    async with aclosing(response.chunks()) as pieces:
                        async for piece in pieces:
                            wanted = piece[start - position : stop - position]
                            position += len(piece)
                            if wanted:
                                start += len(wanted)
                                failures = 0
                                yield wanted
                            if position > stop:  # the store sends the whole object
                                break
                except TransferError:
                    failures += 1
                    if failures > MAX_RESUMES:
                        raise
        finally:
            self.close()

    def close(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def __del__(self) -> None:
        self.close()

    async def _response_from(self, start: int, stop: int) -> "_RangeResponse":
        response, self._response = self._response, None
        if response is not None:
            if (start, stop) == (0, self.size):
                return _RangeResponse(response, 0)
            response.close()
        response = await self._bucket.open(self._key, {"range": f"bytes={start}-{stop - 1}"})
        if response.headers.get("etag") != self._etag_sent:
            response.close()
            raise OSError("the object was replaced during the download")
        position = self._position(response, start, stop)
        if position is None:
            response.close()
            described = response.headers.get("content-range", "without Content-Range")
            raise OSError(f"the store sent another range than bytes {start}-{stop - 1}: {response.status} {described}")
        return _RangeResponse(response, position)

    def _position(self, response: HttpResponse, start: int, stop: int) -> int | None:
        """Return where in the object the response begins, None if it is not the range.

        A store without ranges sends the whole object. Some send the range with status 200.
        """
        length = response.headers.get("content-length")
        if response.status == PARTIAL_CONTENT:
            return start if length in (None, str(stop - start)) else None
        self._bucket.has_ranges = False
        is_range = response.headers.get("content-range", "").startswith(f"bytes {start}-{stop - 1}/")
        if is_range and length == str(stop - start):
            return start
        return 0 if length in (None, str(self.size)) else None


def _entity_tag(etag: str) -> str:
    """Return the ETag in HTTP's form, since some stores omit the quotes; "" for an invalid one."""
    if ETAG.fullmatch(etag):
        return etag
    return f'"{etag}"' if ETAG.fullmatch(f'"{etag}"') else ""


def _parse_listing(root: ElementTree.Element) -> _Listing:
    """Return the listing, its names decoded if the store encoded them (encoding-type=url)."""
    is_encoded = text_of(root, "EncodingType") == "url"

    def name(element: ElementTree.Element, tag: str) -> str:
        text = text_of(element, tag)
        return unquote_plus(text) if is_encoded else text

    try:
        keys = [(name(one, "Key"), int(text_of(one, "Size") or 0)) for one in root.findall("{*}Contents")]
    except ValueError:
        raise TransferError("a listing has an object with an invalid size") from None
    folders = [name(one, "Prefix") for one in root.findall("{*}CommonPrefixes")]
    token = text_of(root, "NextContinuationToken") or None
    if text_of(root, "IsTruncated") != "true":
        token = None
    elif token is None:
        raise TransferError("a listing is truncated, but has no continuation token")
    return _Listing(keys, folders, token)


def _entries(listing: _Listing, prefix: int) -> list[Entry]:
    """Return the entries in the order of their keys, names relative to the folder, without its placeholder object."""
    files = [(key, Entry(key[prefix:], False, size)) for key, size in listing.keys if key[prefix:]]
    folders = [(key, Entry(key[prefix:-1], True, 0)) for key in listing.folders if key[prefix:-1]]
    return [entry for _, entry in sorted(files + folders)]


def _delete_request(keys: Sequence[str]) -> bytes:
    root = ElementTree.Element("Delete")
    ElementTree.SubElement(root, "Quiet").text = "true"
    for key in keys:
        ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = key
    body: bytes = ElementTree.tostring(root, encoding="utf-8")
    return body
