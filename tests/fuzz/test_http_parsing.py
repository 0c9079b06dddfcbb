"""Mutated HTTP requests are read as h11 and llhttp read them, or rejected: nothing of one passes for another.

`make fuzz` runs this for minutes with a new seed.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import h11
import httptools
from tests.http_server.served import CHUNKS, GET, HEAD, POST, Disconnected, Receive, Send, Served, play, read, reply

SECONDS = float(os.environ.get("RAILTRACK_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("RAILTRACK_FUZZ_SEED", "7"))
MIN_COMPARED = 100

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SEEDS = [
    GET,
    HEAD,
    POST,
    CHUNKS,
    POST.replace(b"1.1", b"1.0"),
    POST.replace(b"POST /b", b"POST http://y:80/b?c=d"),
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nAccept: */*\r\nX-Odd: \t a b\r\n\r\nhello",
    b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    b'PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a;b="c;d"\r\nhello\r\n0;e=f\r\n\r\n',
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
]
# fmt: off
INSERTED = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"=", b'"', b"\\", b"/", b"#", b"?", b"@",
    b"\0", b"\x0b", b"\x7f", b"\x85", b"\xa0", b"\xff", b"-", b"+", b"_", b"%", b"%00", b"%ff", b"x", b"a", b"0", b"5",
    b"0" * 20, b"f" * 17, b"[::1]", b"HTTP/1.0", b"HTTP/1.1", b"chunked", b"gzip, chunked", b"identity", b"close",
    b"Host: y\r\n", b"Host:\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 7\r\n", b"\r\n folded",
    b"Content-Length: 5\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"keep-alive", GET, POST,
]
# fmt: on

BLANKS_IN_EXTENSION = rb"[ \t][;=]|[;=][ \t]"
TRAILER = rb"(?i)\r\n0[^\r\n]*\r\n([^\r\n]+\r\n)*(content-length|transfer-encoding|connection)"
ONLY_WE_READ = [
    ("h11", "no request line received", rb"\r\n"),  # RFC 9112 (2.2) has servers skip an empty line before a request
    ("h11", "can't reuse", rb"HTTP/1.0"),  # h11 has no keep-alive for HTTP/1.0
    ("h11", "illegal chunk header", BLANKS_IN_EXTENSION),  # RFC 9112 (7.1.1) has recipients accept them
    ("llhttp", "Invalid character in chunk", BLANKS_IN_EXTENSION),
    ("llhttp", "Content-Length can't be present", TRAILER),  # RFC 9110 (6.5.1) lets us ignore trailers
    ("llhttp", "Transfer-Encoding can't be present", TRAILER),
    ("llhttp", "Data after `Connection: close`", TRAILER),
    ("llhttp", "Invalid `Transfer-Encoding` header value", TRAILER),
    ("llhttp", "upgrade", rb"Upgrade"),  # httptools ends there; RFC 9110 (7.8) lets us ignore an upgrade
]
"""Parser, the reason for which it ends before us, and a pattern of what it then has read."""


class Request(NamedTuple):
    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Reading(NamedTuple):
    """What a parser reads in some bytes, and why it reads no more."""

    requests: list[Request]
    end: str


def mutated_requests(chance: random.Random) -> Iterator[bytes]:
    while True:
        data = chance.choice(SEEDS) if chance.random() < 0.8 else chance.choice(SEEDS) + chance.choice(SEEDS)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice(INSERTED) + data[at + chance.randint(0, 2) :]
        yield data + NEXT


def read_by_h11(data: bytes) -> Reading:
    requests = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests.append(in_origin_form(Request(request.method, request.target, list(request.headers), body)))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return Reading(requests, "can't reuse the connection")
                connection.start_next_cycle()
            else:
                return Reading(requests, "incomplete")
    except h11.ProtocolError as error:
        return Reading(requests, str(error))


class LlhttpReader:
    """Callbacks of httptools."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.url, self.body = b"", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_head = True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_head:  # else it is a trailer
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.is_head = False
        self.method = self.parser.get_method()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests.append(in_origin_form(Request(self.method, self.url, self.headers, self.body)))


def read_by_llhttp(data: bytes) -> Reading:
    reader = LlhttpReader()
    try:
        reader.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        if reader.requests:
            reader.requests.pop()  # httptools omits its body
        return Reading(reader.requests, "upgrade")
    except httptools.HttpParserError as error:
        return Reading(reader.requests, str(error))
    return Reading(reader.requests, "incomplete")


def in_origin_form(request: Request) -> Request:
    """Return the request with a path for its target; the host of an absolute target is its Host (RFC 9112, 3.2.2)."""
    if request.target[:1] == b"/" or request.target == b"*":
        return request
    _, _, rest = request.target.partition(b"://")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    path = rest[end:] if rest[end : end + 1] == b"/" else b"/" + rest[end:]
    headers = [(name, value) for name, value in request.headers if name != b"host"]
    return request._replace(target=path, headers=[*headers, (b"host", rest[:end])])


def test_requests_are_read_as_h11_and_llhttp_read_them_or_rejected() -> None:
    read_by_us: list[Request] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        with contextlib.suppress(Disconnected):
            body = await read(receive)
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            read_by_us.append(Request(scope["method"].encode(), target, scope["headers"], body))
            await reply(send, b"")

    async def scene(served: Served) -> None:
        compared = {"h11": 0, "llhttp": 0}
        end = time.monotonic() + SECONDS
        for data in mutated_requests(random.Random(SEED)):
            read_by_us.clear()
            client = await served.client()
            client.writer.write(data)
            client.writer.write_eof()
            await client.rest()
            client.close()
            for name, reading in (("h11", read_by_h11(data)), ("llhttp", read_by_llhttp(data))):
                both = min(len(read_by_us), len(reading.requests))
                assert [normalized(one) for one in read_by_us[:both]] == [
                    normalized(one) for one in reading.requests[:both]
                ], (name, data)
                if len(read_by_us) > both:
                    assert any(
                        name == parser and reading.end.startswith(reason) and re.search(pattern, data)
                        for parser, reason, pattern in ONLY_WE_READ
                    ), (name, reading.end, data)
                compared[name] += both
            if time.monotonic() > end and min(compared.values()) > MIN_COMPARED:
                return

    play(app, scene)


def normalized(request: Request) -> Request:
    """Return the request without an empty query, which `raw_path` and `query_string` don't show."""
    return request._replace(target=request.target.removesuffix(b"?"))
