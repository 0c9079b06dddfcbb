"""A small S3 store in memory with the quirks of real ones, which tests switch on: what it rejects, when it is busy,
where it cuts responses off. It runs on the event loop of the test and does not verify signatures; moto does.
"""

import asyncio
import contextlib
import hashlib
import re
import ssl
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote

BUCKET = "quirky"
PAGE = 1000


@dataclass
class Call:
    bucket: str
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def error(status: int, code: str, message: str = "") -> Reply:
    return Reply(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


@dataclass
class QuirkyS3:
    """A store. Set its quirks before or between calls; `calls` are the calls so far, in order."""

    port: int = 0
    busy: int = 0
    """The number of next calls that get SlowDown."""
    delay: float = 0.0
    """Seconds before each response."""
    busy_every: int = 0
    """Every n-th call gets SlowDown."""
    breaks_off: bool = False
    """Every response with an object is cut off half-way."""
    hang_ups: int = 0
    """The number of next calls that get no response."""
    break_off: list[int] = field(default_factory=list)
    """The number of bytes after which each of the next responses with an object is cut off."""
    region: str = "auto"
    reported_region: str = ""
    """The region that it reports for the bucket, if that is a wrong one."""
    style: str = ""
    """"path" or "virtual" if the store accepts the bucket only there; either otherwise."""
    scheme: str = "http"
    no_bulk_delete: bool = False
    ranges: int | None = 206
    """The status of a requested range, None if the store sends the whole object instead."""
    path: str = ""
    """The path of the endpoint."""
    is_file_system: bool = False
    """A folder that is not empty can't be deleted."""
    clock_ahead_s: int | None = None
    """By how many seconds the header Date is ahead of our clock; None: no such header."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """The replies to "METHOD kind" ("PUT part", "POST complete") in bucket_and_key of doing it."""
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": f"{self.scheme}://127.0.0.1:{self.port}{self.path}",
            "AWS_REGION": self.region,
        }

    @property
    def virtual(self) -> dict[str, str]:
        """Like `environment`, with the bucket in the host name, below localhost."""
        return {
            **self.environment,
            "AWS_ENDPOINT_URL": f"{self.scheme}://localhost:{self.port}{self.path}",
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual",
        }

    def kinds(self) -> list[str]:
        return [f"{call.method} {kind_of(call)}".strip() for call in self.calls]

    def answer(self, call: Call) -> Reply | None:
        """Return the reply, or None to close the connection without one."""
        self.calls.append(call)
        if self.hang_ups:
            self.hang_ups -= 1
            return None
        if self.busy_every and len(self.calls) % self.busy_every == 0:
            return error(503, "SlowDown", "Please reduce your request rate.")
        if self.busy:
            self.busy -= 1
            return error(503, "SlowDown", "Please reduce your request rate.")
        return self._rejection(call) or getattr(self, f"_{call.method.lower()}")(call)

    def _rejection(self, call: Call) -> Reply | None:
        if call.bucket != BUCKET and "authorization" in call.headers:
            return error(404, "NoSuchBucket", "The specified bucket does not exist")
        if any("checksum" in name for name in call.headers) or "aws-chunked" in call.headers.get(
            "content-encoding", ""
        ):
            return error(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        signed = call.headers.get("authorization") or call.query.get("X-Amz-Credential", "")
        if f"/{self.region}/s3/aws4_request" not in signed:
            reply = error(400, "AuthorizationHeaderMalformed", f"the region is wrong; expecting '{self.region}'")
            return replace(reply, headers={"x-amz-bucket-region": self.reported_region or self.region})
        digest = call.headers.get("x-amz-content-sha256")
        may_be_unsigned = self.scheme == "https" and digest == "UNSIGNED-PAYLOAD"
        is_presigned = "X-Amz-Signature" in call.query
        if not (is_presigned or may_be_unsigned or digest == hashlib.sha256(call.body).hexdigest()):
            return error(400, "XAmzContentSHA256Mismatch")
        return self.replies.get(f"{call.method} {kind_of(call)}".strip())

    def _get(self, call: Call) -> Reply:
        if not call.key:
            return self._list(call.query)
        if call.key not in self.objects:
            return error(404, "NoSuchKey")
        content = self.objects[call.key]
        headers = {"etag": etag(content), "last-modified": formatdate(1_700_000_000, usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", call.headers.get("range", ""))
        if wanted and self.ranges:
            headers["content-range"] = f"bytes {wanted[1]}-{wanted[2]}/{len(content)}"
            return Reply(self.ranges, content[int(wanted[1]) : int(wanted[2]) + 1], headers)
        return Reply(200, content, headers)

    def _head(self, call: Call) -> Reply:
        return self._get(call) if call.key else error(403, "AccessDenied", "HeadBucket is not for every key")

    def _put(self, call: Call) -> Reply:
        if upload := call.query.get("uploadId"):
            self.uploads[upload][int(call.query["partNumber"])] = call.body
        else:
            self.objects[call.key] = call.body
        return Reply(200, b"", {"etag": etag(call.body)})

    def _post(self, call: Call) -> Reply:
        if "delete" in call.query:
            return self._delete_many(call)
        if "uploads" in call.query:
            upload = f"upload-{len(self.calls)}"
            self.uploads[upload] = {}
            return Reply(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
        parts = self.uploads[call.query["uploadId"]]
        sizes = {len(part) for number, part in parts.items() if number < len(parts)}
        if len(sizes) > 1:
            return error(400, "InvalidPart", "All non-trailing parts must have the same length.")
        self.objects[call.key] = b"".join(parts[number] for number in sorted(parts))
        del self.uploads[call.query["uploadId"]]
        return Reply(200, b"<R><ETag>x</ETag></R>")

    def _delete(self, call: Call) -> Reply:
        if upload := call.query.get("uploadId"):
            return Reply(204) if self.uploads.pop(upload, None) is not None else error(404, "NoSuchUpload")
        if self.is_file_system and any(key.startswith(f"{call.key}/") for key in self.objects):
            return error(500, "InternalError", "Directory not empty")
        self.objects.pop(call.key, None)
        return Reply(204)

    def _delete_many(self, call: Call) -> Reply:
        if self.no_bulk_delete:
            return error(501, "NotImplemented")
        if "content-md5" not in call.headers:
            return error(400, "InvalidRequest", "Missing required header for this request: Content-MD5")
        keys = [key.text or "" for key in ElementTree.fromstring(call.body).iter("Key")]
        assert len(keys) <= PAGE
        for key in keys:
            self.objects.pop(key, None)
        return Reply(200, b"<DeleteResult/>")

    def _list(self, query: dict[str, str]) -> Reply:
        prefix, delimiter = query["prefix"], query.get("delimiter")
        limit, after = min(int(query["max-keys"]), PAGE), query.get("continuation-token", "")
        shown: dict[str, int | None] = {}
        for key in sorted(self.objects):
            folder, slash, _ = key[len(prefix) :].partition("/")
            if key.startswith(prefix):
                shown.setdefault(f"{prefix}{folder}/", None) if delimiter and slash else shown.setdefault(
                    key, len(self.objects[key])
                )
        rest = [name for name in sorted(shown) if name > after]
        lines = [_listed(name, shown[name]) for name in rest[:limit]]
        if len(rest) > limit:
            token = quote(rest[limit - 1])
            lines.append(f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        body = f"<ListBucketResult><EncodingType>url</EncodingType>{''.join(lines)}</ListBucketResult>"
        return Reply(200, body.encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (reply := self.answer(call := await _read(reader, self.style, self.path))) is not None:
                await asyncio.sleep(self.delay)
                head = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
                head += [f"{name}: {value}" for name, value in reply.headers.items()]
                if self.clock_ahead_s is not None:
                    head.append(f"Date: {formatdate(time.time() + self.clock_ahead_s, usegmt=True)}")
                head += [f"Content-Length: {len(reply.body)}", "", ""]
                cut = self.break_off.pop(0) if self.break_off and reply.status in (200, 206) else None
                if self.breaks_off and call.key and call.method == "GET" and len(reply.body) > 1000:
                    cut = len(reply.body) // 2
                body = b"" if call.method == "HEAD" else reply.body[:cut]
                writer.write("\r\n".join(head).encode() + body)
                await writer.drain()
                if cut is not None:
                    break
        writer.close()
        self.writers.discard(writer)


def _listed(name: str, size: int | None) -> str:
    shown = quote(name, safe="/").replace("%20", "+")  # as Amazon encodes it
    if size is None:
        return f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
    return f"<Contents><Key>{shown}</Key><Size>{size}</Size></Contents>"


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def kind_of(call: Call) -> str:
    if not call.key:
        return "delete" if "delete" in call.query else "list"
    if "partNumber" in call.query:
        return "part"
    return "upload" if "uploads" in call.query else "complete" if "uploadId" in call.query else ""


async def _read(reader: asyncio.StreamReader, style: str, base: str) -> Call:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    assert path.startswith(f"{base}/"), path
    bucket_and_key = unquote(path.removeprefix(f"{base}/"))
    if headers["host"].startswith(f"{BUCKET}.") and style != "path":
        bucket, key = BUCKET, bucket_and_key
    else:
        bucket, _, key = bucket_and_key.partition("/") if style != "virtual" else ("", "", bucket_and_key)
    return Call(bucket, method, key, dict(parse_qsl(query, keep_blank_values=True)), headers, body)


@contextlib.asynccontextmanager
async def quirky_s3(tls: ssl.SSLContext | None = None) -> AsyncIterator[QuirkyS3]:
    store = QuirkyS3(scheme="https" if tls else "http")
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0, ssl=tls)
    store.port = server.sockets[0].getsockname()[1]
    try:
        yield store
    finally:
        server.close()
        for writer in list(store.writers):
            writer.transport.abort()
        await asyncio.sleep(0)  # let their tasks end
