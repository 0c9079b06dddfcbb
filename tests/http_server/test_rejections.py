"""Requests that a proxy could read in another way, or that exceed a limit, are rejected.

test_malformed.py has further ones, from collections; tests/fuzz/test_http_parsing.py generates more.
"""

import pytest
from tests.http_server.served import (
    GET,
    LAST,
    POST,
    Served,
    error_of,
    mirror,
    play,
)

from railtrack.http_server.limits import HEAD_LIMIT, HEADER_LIMIT, HEADERS_LIMIT

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


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
        ("GET * HTTP/1.1", 400),
        ("GET http:// HTTP/1.1", 400),
        ("GET http://u@x/ HTTP/1.1", 400),
        ("GET http://x:y/ HTTP/1.1", 400),
        ("GET ftp://x/ HTTP/1.1", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET /#a HTTP/1.1", 400),
        ("GET /?a#b HTTP/1.1", 400),
        ("GET http://x/#a HTTP/1.1", 400),
        ("GET /%81 HTTP/1.1", 400),
        ("GET /%ed%a0%80 HTTP/1.1", 400),
        ("GET / RTSP/1.0", 505),
        ("GET / RTSP/1.1", 505),
        ("DESCRIBE / RTSP/1.0", 505),
        ("SOURCE / ICE/1.0", 505),
        ("GET / http/1.1", 400),
        ("GET /\xe9 HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("FOO / HTTP/1.1", 501),
        ("GETX / HTTP/1.1", 501),
        ("GE\tT / HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("DESCRIBE / HTTP/1.1", 400),
    ],
)
def test_an_invalid_request_line_is_rejected(first: str, status: int) -> None:
    assert_rejected(head(first=first), status)


@pytest.mark.parametrize(
    "start",
    [b"\r", b"\n", b"\r\r\n", b"\n\r\n", b"\r\n\n", b"\r\n\r", b"\r\n\r\n\n\r"],
)
def test_a_lone_cr_or_lf_before_a_request_is_rejected(start: bytes) -> None:
    assert_rejected(start + GET, 400)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_empty_lines_before_a_request_are_skipped(size: int) -> None:
    data = b"\r\n\r\n" + POST + b"\r\n" + LAST

    async def scene(served: Served) -> None:
        client = await served.client()
        for at in range(0, len(data), size):
            await client.send(data[at : at + size])
        assert (await client.rest()).count(b"HTTP/1.1 200 OK") == 2

    play(mirror, scene)


def test_endless_empty_lines_are_rejected() -> None:
    assert exchanged(b"\r\n" * HEAD_LIMIT, b"").startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize(
    ("host", "is_valid"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("localhost:", True),
        ("a_b.example", True),
        ("xn--bcher-kva.example:65535", True),
        ("127.0.0.1:80", True),
        ("[::1]", True),
        ("[2001:db8::7]:5000", True),
        ("[fe80::1%25eth0]:5000", True),
        ("", False),
        (" ", False),
        (":80", False),
        ("x:65536", False),
        ("x:-1", False),
        ("x:8o", False),
        ("x:1:2", False),
        ("::1", False),
        ("[::1", False),
        ("[::1]x", False),
        ("[x]", False),
        ("[:::]", False),
        ("[]", False),
        ("a b", False),
        ("a,b c", False),
        ("x/path", False),
        ("http://x", False),
        ("u@x", False),
        ("x,y", False),
        ("x?y", False),
        ("x#y", False),
        ("x\\y", False),
        ("%zz", False),
        ("\xe9", False),
    ],
)
def test_a_host_that_is_empty_or_malformed_is_rejected(host: str, is_valid: bool, version: str) -> None:
    data = f"GET / {version}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    response = exchanged(data, b"")
    if is_valid:
        assert response.startswith(b"HTTP/1.1 200 OK")
        assert host.encode() in response
    else:
        assert error_of(response) == (400, "BAD_REQUEST")


def test_only_http_1_0_may_omit_the_host() -> None:
    assert_rejected(b"GET / HTTP/1.1\r\n\r\n", 400)
    assert exchanged(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://y", "y", "/", ""),
        ("http://y?a=b", "y", "/", "a=b"),
        ("HTTPS://y:443/a%20b?c", "y:443", "/a b", "c"),
        ("http://[::1]:80//a", "[::1]:80", "//a", ""),
    ],
)
def test_the_host_of_an_absolute_target_replaces_the_header(target: str, host: str, path: str, query: str) -> None:
    response = exchanged(head("Connection: close", first=f"GET {target} HTTP/1.1"), b"")
    seen = [(b"connection", b"close"), (b"host", host.encode())]
    assert f"'{path}'".encode() in response
    assert f"b'{query}', {seen}".encode() in response


def test_the_server_itself_is_the_target_of_options() -> None:
    assert b"['OPTIONS', '*', b'*', b''" in exchanged(head(first="OPTIONS * HTTP/1.1"))


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
        b"1;\r\na\r\n",
        b"1;;a\r\na\r\n",
        b"1;=b\r\na\r\n",
        b"1;a=\r\na\r\n",
        b"1;a=;b\r\na\r\n",
        b"1;a=b;\r\na\r\n",
        b"1;a b\r\na\r\n",
        b"1;a=b c\r\na\r\n",
        b'1;a="b\r\na\r\n',
        b'1;a="b"c\r\na\r\n',
        b'1;a="\0"\r\na\r\n',
        b"1;a\rb\r\na\r\n",
        b"1,a\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"1;" + b"x" * 10_000,
        b"a" * 1026,
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nX: y\0\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: y\rz\r\n\r\n",
        b"0\r\nX: " + b"y" * 10_000,
        b"0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    ],
)
def test_invalid_chunks_are_rejected(chunks: bytes) -> None:
    assert_rejected(head("Transfer-Encoding: chunked") + chunks, 400)


@pytest.mark.parametrize(
    "extension",
    [b";a", b";a=b", b";a;b=c", b' ; a = "b"', b'\t;a="b;c\\"="', b';a=""', b";a=" + b"b" * 8000],
)
def test_a_valid_extension_of_a_chunk_is_ignored(extension: bytes) -> None:
    chunks = b"5%b\r\nhello\r\n0%b\r\n\r\n" % (extension, extension)
    response = exchanged(head("Transfer-Encoding: chunked") + chunks)
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert b"b'hello'" in response


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
