"""The program that tests/servers/s3.py runs for large objects and large numbers of them: an S3 that is fast.

It prints "ready" when it listens. Objects are lists of blocks in memory. Equal blocks are stored once, so that a load
that repeats a block needs little memory. It verifies neither signatures nor digests; moto does.
"""

import re
import socket
import socketserver
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

BLOCK = 8 * 1024 * 1024
KNOWN_BLOCKS = 4
HEAD_BYTES = 64 * 1024
LAST = "\U0010ffff"
"""Sorts after every continuation of a name."""
PAGE = 1000
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Blob(NamedTuple):
    """Bytes, in the blocks in which they were received."""

    blocks: tuple[bytes, ...]
    size: int
    etag: str
    modified: float

    def between(self, start: int, stop: int) -> Iterator[memoryview]:
        at = 0
        for block in self.blocks:
            low, high = max(start - at, 0), min(stop - at, len(block))
            if low < high:
                yield memoryview(block)[low:high]
            at += len(block)


class Request(NamedTuple):
    method: str
    key: str
    """Bucket and key, "bucket/a/b"; "bucket" alone for the bucket itself."""
    query: dict[str, str]
    headers: dict[str, str]


class Reply(NamedTuple):
    status: int
    content: Blob
    headers: dict[str, str] = {}
    part: tuple[int, int] | None = None


class Store:
    """All objects and uploads. Its methods run in the threads of the connections."""

    def __init__(self) -> None:
        self._objects: dict[str, Blob] = {}
        self._sorted: list[str] | None = None
        """All keys in order, or None after a key was added or deleted."""
        self._uploads: dict[str, dict[int, Blob]] = {}
        self._known: list[bytes] = []
        self._lock = threading.Lock()
        self._made = 0

    def blob(self, blocks: Sequence[bytes], parts: int = 0) -> Blob:
        with self._lock:
            self._made += 1
            etag = f'"{self._made:032x}{f"-{parts}" if parts else ""}"'
        return Blob(tuple(self._kept(block) for block in blocks), sum(map(len, blocks)), etag, time.time())

    def answer(self, request: Request, body: Blob) -> Reply:
        match request.method:
            case "GET" | "HEAD" if "/" in request.key:
                return self._get(request)
            case "GET" | "HEAD":
                return self._list(request)
            case "PUT":
                return self._put(request, body)
            case "POST":
                return self._post(request, body)
            case "DELETE":
                if upload := request.query.get("uploadId"):
                    self._uploads.pop(upload, None)
                else:
                    self._forget(request.key)
                return self._xml("", 204)
        return self._error(501, "NotImplemented")

    def _store(self, key: str, content: Blob) -> None:
        self._objects[key] = content
        self._sorted = None

    def _forget(self, key: str) -> None:
        self._objects.pop(key, None)
        self._sorted = None

    def _kept(self, block: bytes) -> bytes:
        """Return the stored copy of an equal block, or this one."""
        for known in self._known:
            if known == block:
                return known
        if len(block) == BLOCK and len(self._known) < KNOWN_BLOCKS:
            self._known.append(block)
        return block

    def _xml(self, text: str, status: int = 200) -> Reply:
        return Reply(status, self.blob([text.encode()]))

    def _error(self, status: int, code: str) -> Reply:
        return self._xml(f"<Error><Code>{code}</Code></Error>", status)

    def _get(self, request: Request) -> Reply:
        found = self._objects.get(request.key)
        if found is None:
            return self._error(404, "NoSuchKey")
        headers = {"etag": found.etag, "last-modified": formatdate(found.modified, usegmt=True)}
        wanted = RANGE.fullmatch(request.headers.get("range", ""))
        if not wanted:
            return Reply(200, found, headers)
        start, stop = int(wanted[1]), min(int(wanted[2] or found.size) + 1, found.size)
        headers["content-range"] = f"bytes {start}-{stop - 1}/{found.size}"
        return Reply(206, found, headers, (start, stop))

    def _put(self, request: Request, body: Blob) -> Reply:
        if "aws-chunked" in request.headers.get("content-encoding", ""):
            return self._error(501, "NotImplemented")
        if upload := request.query.get("uploadId"):
            self._uploads[upload][int(request.query["partNumber"])] = body
        elif "/" in request.key:
            self._store(request.key, body)
        elif count := request.query.get("fill"):
            for number in range(int(count)):
                self._store(f"{request.key}/{request.query['prefix']}{number:06}", body)
        return Reply(200, self.blob([]), {"etag": body.etag})

    def _post(self, request: Request, body: Blob) -> Reply:
        if "delete" in request.query:
            keys = [key.text for key in ElementTree.fromstring(b"".join(body.blocks)).iterfind(".//{*}Key")]
            assert len(keys) <= PAGE
            for key in keys:
                self._forget(f"{request.key}/{key}")
            return self._xml("<DeleteResult/>")
        if "uploads" in request.query:
            upload = self.blob([]).etag.strip('"')
            self._uploads[upload] = {}
            return self._xml(f"<R><Bucket/><Key/><UploadId>{upload}</UploadId></R>")
        parts = self._uploads.pop(request.query["uploadId"])
        made = self.blob([block for number in sorted(parts) for block in parts[number].blocks], len(parts))
        self._store(request.key, made)
        return self._xml(f"<R><ETag>{escape(made.etag)}</ETag></R>")

    def _list(self, request: Request) -> Reply:
        if "uploads" in request.query:
            lines = [f"<Upload><UploadId>{upload}</UploadId><Key>?</Key></Upload>" for upload in self._uploads]
            return self._xml(f"<ListMultipartUploadsResult>{''.join(lines)}</ListMultipartUploadsResult>")
        names = self._listed(request)
        limit = min(int(request.query.get("max-keys", PAGE)), PAGE)
        shown = list(islice(names, limit))
        lines = [line for _, line in shown]
        cut = next(names, None) is not None
        token = f"<NextContinuationToken>{quote(shown[-1][0])}</NextContinuationToken>" if cut else ""
        return self._xml(
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(cut).lower()}</IsTruncated>{token}"
            f"{''.join(lines)}</ListBucketResult>"
        )

    def _listed(self, request: Request) -> Iterator[tuple[str, str]]:
        """Yield the names to list in order, each with its XML."""
        keys = self._sorted = self._sorted or sorted(self._objects)
        start = f"{request.key}/{request.query.get('prefix', '')}"
        delimiter, after = request.query.get("delimiter"), request.query.get("continuation-token", "")
        at = bisect_left(keys, start)
        if after:
            at = bisect_right(keys, f"{request.key}/{after}" + (LAST if delimiter and after.endswith("/") else ""))
        while at < len(keys) and keys[at].startswith(start):
            key = keys[at]
            folder, found, _ = key[len(start) :].partition(delimiter or "\0")
            name = f"{start}{folder}{found}"[len(request.key) + 1 :]
            shown = quote(name, safe="/").replace("%20", "+")
            if found:
                yield name, f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
                at = bisect_right(keys, f"{start}{folder}{found}{LAST}")
            else:
                yield name, f"<Contents><Key>{shown}</Key><Size>{self._objects[key].size}</Size></Contents>"
                at += 1


class Connection(socketserver.BaseRequestHandler):
    """Serve the requests of one connection, one after the other."""

    server: "Server"
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while head := self._head(rest):
            request, rest = head
            length = int(request.headers.get("content-length", "0"))
            if request.headers.get("expect"):
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self.server.store.blob(list(self._blocks(rest[:length], length)))
            rest = rest[length:]
            self._send(self.server.store.answer(request, body), bare=request.method == "HEAD")

    def _head(self, received: bytes) -> tuple[Request, bytes] | None:
        while b"\r\n\r\n" not in received:
            some = self.request.recv(HEAD_BYTES)
            if not some:
                return None
            received += some
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        key = unquote(path).strip("/")
        return Request(method, key, dict(parse_qsl(query, keep_blank_values=True)), headers), rest

    def _blocks(self, begun: bytes, length: int) -> Iterator[bytes]:
        while length:
            block = bytearray(min(BLOCK, length))
            block[: len(begun)] = begun
            view, filled = memoryview(block), len(begun)
            while filled < len(block):
                count = self.request.recv_into(view[filled:])
                if not count:
                    raise ConnectionError("the body was cut short")
                filled += count
            length, begun = length - len(block), b""
            yield bytes(block)

    def _send(self, reply: Reply, *, bare: bool) -> None:
        start, stop = reply.part or (0, reply.content.size)
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", f"content-length: {stop - start}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        self.request.sendall("\r\n".join([*lines, "\r\n"]).encode())
        if not bare:
            for piece in reply.content.between(start, stop):
                self.request.sendall(piece)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        self.store = Store()
        super().__init__(("127.0.0.1", port), Connection)

    def handle_error(self, _request: object, _address: object) -> None:
        """Ignore clients that close their connection."""


def main(port: int) -> None:
    server = Server(port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
