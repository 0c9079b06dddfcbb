"""Requests that a proxy could read in another way, or that exceed a limit: rejected, or read as h11 reads them."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Any

import h11
import pytest
from tests.http_server.served import (
    CHUNKS,
    GET,
    POST,
    Disconnected,
    Receive,
    Send,
    Served,
    error_of,
    mirror,
    play,
    read,
    reply,
    upload,
)

from railtrack.http_server.limits import HEAD_LIMIT, HEADER_LIMIT, HEADERS_LIMIT

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
MUTATIONS = 1500


def head(*lines: str, first: str = "POST /a?b=c HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: x", *lines, "", ""]).encode("latin-1")


def exchanged(data: bytes, following: bytes = NEXT) -> bytes:
    """Return all responses to `data` and a request after it."""
    responses: list[bytes] = []

    async def scene(served: Served) -> None:
        responses.append(await served.exchange(data + following))

    play(mirror, scene)
    return responses[0]


def assert_rejected(data: bytes, status: int) -> None:
    response = exchanged(data)
    assert error_of(response) == (status, "BAD_REQUEST")
    assert response.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: \xb2",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: h2c",
        "Host: y",
        "Content-Type: a/b\r\nContent-Type: c/d",
        "Expect: 100-continue\r\nExpect: 100-continue",
        "X: a\nTransfer-Encoding: chunked",
        "X: a\rb",
        "X: a\0b",
        "X: a\x7fb",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        " X: a",
        "X : a",
        "X\t: a",
        ": a",
        "X",
        "X(y): a",
        "\xe9: a",
    ],
)
def test_an_ambiguous_header_is_rejected(line: str) -> None:
    assert_rejected(head(line) + b"hello", 400)


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked;q=1", "xchunked"])
def test_a_transfer_encoding_other_than_chunked_is_not_implemented(coding: str) -> None:
    assert_rejected(head(f"Transfer-Encoding: {coding}") + b"0\r\n\r\n", 501)


def test_http_1_0_has_no_chunks() -> None:
    assert_rejected(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0") + b"0\r\n\r\n", 400)


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET /", 505),
        ("PRI * HTTP/2.0", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("CONNECT x:443 HTTP/1.1", 400),
        ("GET http://x/ HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET /\xe9 HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("FOO / HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("DESCRIBE / HTTP/1.1", 400),
    ],
)
def test_an_invalid_request_line_is_rejected(first: str, status: int) -> None:
    assert_rejected(head(first=first), status)


@pytest.mark.parametrize("first", ["SOURCE / ICE/1.0", "DESCRIBE / RTSP/1.0"])
def test_another_protocol_gets_one_response_and_the_end(first: str) -> None:
    """llhttp reads its request line; no body and no further request can follow."""
    response = exchanged(head(first=first))
    assert response.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in response


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1\na\r\n",
        b"1;a\nb\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"1;" + b"x" * 10_000,
        b"a" * 1026,
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: " + b"y" * 10_000,
        b"0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    ],
)
def test_invalid_chunks_are_rejected(chunks: bytes) -> None:
    assert_rejected(head("Transfer-Encoding: chunked") + chunks, 400)


def test_a_trailer_does_not_pass_for_a_header() -> None:
    response = exchanged(head("Transfer-Encoding: chunked") + b"0\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert b"forwarded" not in response


def test_header_names_are_lowered_and_values_stripped() -> None:
    response = exchanged(head("ACCEPT:*/*", "X-Odd: \t a b\t ", "X-Empty:", "X-Latin: \xe9"))
    expected = [(b"host", b"x"), (b"accept", b"*/*"), (b"x-odd", b"a b"), (b"x-empty", b""), (b"x-latin", b"\xe9")]
    assert repr(expected).encode() in response


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(first=f"GET /{'a' * (HEAD_LIMIT - 100)} HTTP/1.1"), 200),
        (head(first=f"GET /{'a' * HEAD_LIMIT} HTTP/1.1"), 414),
        (head(*["X: y"] * (HEADERS_LIMIT - 1)), 200),
        (head(*["X: y"] * HEADERS_LIMIT), 431),
        (head(f"X: {'y' * (HEADER_LIMIT - 3)}"), 200),
        (head(f"X: {'y' * HEADER_LIMIT}"), 431),
        (head(f"X: {'y' * HEAD_LIMIT}"), 431),
        (b"GET /" + b"a" * HEAD_LIMIT + b"a", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, 431),
    ],
)
def test_the_limits_of_a_head_complete_or_not(data: bytes, status: int) -> None:
    following = NEXT if status == 200 else b""
    assert exchanged(data, following).startswith(b"HTTP/1.1 %d " % status)


LENIENT = ("Missing mandatory Host", "no request line received", "illegal request line")
"""What h11 rejects and llhttp reads: no Host, line breaks before a request, more than one space in its first line."""


def test_requests_are_read_as_h11_reads_them_or_rejected() -> None:
    """Mutated requests, each followed by another: nothing of one may pass for a part or for the whole of another."""
    read_by_us: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        with contextlib.suppress(Disconnected):
            body = await read(receive)
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            read_by_us.append((scope["method"].encode(), target, scope["headers"], body))
            await reply(send, b"")

    async def scene(served: Served) -> None:
        total = 0
        for data in _mutated_requests():
            read_by_us.clear()
            client = await served.client()
            client.writer.write(data)
            with contextlib.suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(client.reader.read(), 0.05)  # forever, where a request is incomplete
            client.close()
            read_by_h11, end = _read_by_h11(data)
            both = min(len(read_by_us), len(read_by_h11))
            assert read_by_us[:both] == read_by_h11[:both], data
            assert len(read_by_us) <= len(read_by_h11) or end.startswith(LENIENT), data
            total += both
        assert total > MUTATIONS / 10

    play(app, scene)


def _mutated_requests() -> Iterator[bytes]:
    chance = random.Random(7)
    seeds = [upload(5, "Accept: */*", "X-Odd: \t a b") + b"hello", CHUNKS, GET, POST, POST.replace(b"1.1", b"1.0")]
    odd = [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b";", b"\0", b"\x7f", b"\xff", b"5", b"a", b"chunked"]
    odd += [b"Host: y\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 7\r\n", b"0\r\n\r\n"]
    for _ in range(MUTATIONS):
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice(odd) + data[at + chance.randint(0, 2) :]
        yield data + NEXT


def _read_by_h11(data: bytes) -> tuple[list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]], str]:
    """Return the requests that h11 reads in `data`, and why it reads no more."""
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
                requests.append((request.method, request.target, list(request.headers), body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return requests, "incomplete"
    except h11.ProtocolError as error:
        return requests, str(error)
