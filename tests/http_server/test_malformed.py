"""The cases that Http11Probe and HTTP Garden collect, each with the status and the rule of the RFC behind it.

Both collect what HTTP servers and proxies were seen to read differently. The requests are written here from their
descriptions. Each is followed by another request, which gets a response only if the first one's end is certain.
"""

from typing import NamedTuple

import pytest
from tests.http_server.served import Served, error_of, mirror, play

from railtrack.http_server.limits import HEAD_LIMIT, HEADER_LIMIT, HEADERS_LIMIT

NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Case(NamedTuple):
    data: bytes
    status: int
    rule: str


def get(line: bytes = b"GET / HTTP/1.1", *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: x", *headers, b"", b""])


def post(*headers: bytes, body: bytes = b"hello") -> bytes:
    return get(b"POST / HTTP/1.1", *headers) + body


def chunked(chunks: bytes, *headers: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *headers, body=chunks)


RFC_9110_5_5 = "RFC 9110, 5.5: CR, LF and NUL in a value are invalid"
RFC_9110_6_5 = "RFC 9110, 6.5: a trailer must not be used as a header"
RFC_9110_7_2 = "RFC 9112, 3.2: exactly one valid Host, else 400"
RFC_9110_7_8 = "RFC 9110, 7.8: a server may ignore Upgrade"
RFC_9110_8_6 = "RFC 9110, 8.6: Content-Length is digits"
RFC_9112_2_2 = "RFC 9112, 2.2: lines end in CRLF, and a lone CR is invalid"
RFC_9112_2_3 = "RFC 9112, 2.3: a version is HTTP/, a digit, a point and a digit"
RFC_9112_3 = "RFC 9112, 3: a request line is a method, a target and a version, with single spaces"
RFC_9112_3_2 = "RFC 9112, 3.2: a target is a path, an absolute URL, or * for OPTIONS"
RFC_9112_5 = "RFC 9112, 5: a header is a token, a colon and a value"
RFC_9112_5_1 = "RFC 9112, 5.1: whitespace before the colon gets 400"
RFC_9112_5_2 = "RFC 9112, 5.2: a folded line gets 400"
RFC_9112_6_1 = "RFC 9112, 6.1: Transfer-Encoding beside Content-Length, or in HTTP/1.0, is faulty framing"
RFC_9112_6_3 = "RFC 9112, 6.3: a body whose length is uncertain gets 400 and the end of the connection"
RFC_9112_7 = "RFC 9112, 6.1: an unknown transfer coding gets 501"
RFC_9112_7_1 = "RFC 9112, 7.1: a chunk is a size in hexadecimal digits, CRLF, the data and CRLF"
RFC_9112_7_1_1 = "RFC 9112, 7.1.1: an extension is a semicolon, a name, and an optional value"

REJECTED = {
    # Request line
    "no target": Case(get(b"GET HTTP/1.1"), 400, RFC_9112_3),
    "no target, two spaces": Case(get(b"GET  HTTP/1.1"), 400, RFC_9112_3),
    "no version": Case(b"GET /\r\n\r\n", 505, RFC_9112_2_3),
    "several spaces": Case(get(b"GET  /  HTTP/1.1"), 400, RFC_9112_3),
    "tabs for spaces": Case(get(b"GET\t/\tHTTP/1.1"), 400, RFC_9112_3),
    "a line feed for a space": Case(get(b"GET /\nHTTP/1.1"), 400, RFC_9112_3),
    "a vertical tab for a space": Case(get(b"GET\x0b/ HTTP/1.1"), 400, RFC_9112_3),
    "space before the method": Case(get(b" GET / HTTP/1.1"), 400, RFC_9112_3),
    "space after the version": Case(get(b"GET / HTTP/1.1 "), 400, RFC_9112_3),
    "a line of spaces": Case(b"   \r\n\r\n", 400, RFC_9112_3),
    "an empty method": Case(get(b" / HTTP/1.1"), 400, RFC_9112_3),
    "a method in lower case": Case(get(b"get / HTTP/1.1"), 400, "RFC 9110, 9.1: methods are case-sensitive"),
    "a method with other characters": Case(get(b'G=":<>(e),[T];?" / HTTP/1.1'), 400, RFC_9112_3),
    "a long method": Case(get(b"A" * 10_000 + b" / HTTP/1.1"), 400, RFC_9112_3),
    "CONNECT": Case(get(b"CONNECT x:443 HTTP/1.1"), 400, "RFC 9110, 9.3.6: it is for proxies"),
    "version HTTP/1": Case(get(b"GET / HTTP/1"), 400, RFC_9112_2_3),
    "version HTTP/01.1": Case(get(b"GET / HTTP/01.1"), 400, RFC_9112_2_3),
    "version HTTP/1.01": Case(get(b"GET / HTTP/1.01"), 400, RFC_9112_2_3),
    "version HTTP/1.32": Case(get(b"GET / HTTP/1.32"), 505, RFC_9112_2_3),
    "version HTTP/ 1.1": Case(get(b"GET / HTTP/ 1.1"), 400, RFC_9112_2_3),
    "version HTTP/1.2": Case(get(b"GET / HTTP/1.2"), 505, "RFC 9110, 15.6.6: the version is not supported"),
    "version HTTP/9.9": Case(get(b"GET / HTTP/9.9"), 505, "RFC 9110, 15.6.6: the version is not supported"),
    "version http/1.1": Case(get(b"GET / http/1.1"), 400, RFC_9112_2_3),
    "version HTTP/CR CR 1.1": Case(get(b"GET / HTTP/\r\r1.1"), 400, RFC_9112_2_3),
    "version FTP/1.1": Case(get(b"GET / FTP/1.1"), 400, RFC_9112_2_3),
    "the preface of HTTP/2": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "RFC 9113, 3.4"),
    "binary data": Case(bytes(range(128, 256)) + b"\r\n\r\n", 400, RFC_9112_3),
    # Target
    "* for GET": Case(get(b"GET * HTTP/1.1"), 400, RFC_9112_3_2),
    "a target without a slash": Case(get(b"GET ! HTTP/1.1"), 400, RFC_9112_3_2),
    "a fragment": Case(get(b"GET /a#b HTTP/1.1"), 400, RFC_9112_3_2),
    "a NUL in the target": Case(get(b"GET /\0 HTTP/1.1"), 400, RFC_9112_3_2),
    "a control character in the target": Case(get(b"GET /\x7f HTTP/1.1"), 400, RFC_9112_3_2),
    "bytes above ASCII in the target": Case(get(b"GET /\xc3\xa9 HTTP/1.1"), 400, RFC_9112_3_2),
    "overlong UTF-8 in the target": Case(get(b"GET /%c0%af HTTP/1.1"), 400, "RFC 3629, 3: overlong forms are invalid"),
    "a user in an absolute target": Case(get(b"GET http://a@x/ HTTP/1.1"), 400, "RFC 9110, 4.2.4"),
    "an absolute target without a host": Case(get(b"GET http:///a HTTP/1.1"), 400, "RFC 9110, 4.2.1"),
    "a long target": Case(get(b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1"), 414, "RFC 9112, 3: 414 above the limit"),
    # Line ends
    "line feeds only": Case(b"GET / HTTP/1.1\nHost: x\n\n", 400, RFC_9112_2_2),
    "a lone line feed after the request line": Case(b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, RFC_9112_2_2),
    "a lone line feed after a header": Case(get(b"GET / HTTP/1.1", b"X: a\nY: b"), 400, RFC_9112_2_2),
    "a lone CR after the request line": Case(b"GET / HTTP/1.1\rHost: x\r\n\r\n", 400, RFC_9112_2_2),
    "a lone CR after a header": Case(get(b"GET / HTTP/1.1", b"X: :/\rSmuggled: :)"), 400, RFC_9112_2_2),
    "a lone CR before the request line": Case(b"\r" + get(), 400, RFC_9112_2_2),
    "CR CR LF after the head": Case(b"GET / HTTP/1.1\r\nHost: x\r\n\r\r\n", 400, RFC_9112_2_2),
    # Headers
    "space before the first header": Case(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, RFC_9112_2_2),
    "tab before the first header": Case(
        b"GET / HTTP/1.1\r\n\tContent-Length: 1\r\nHost: x\r\n\r\nX", 400, RFC_9112_2_2
    ),
    "a folded line": Case(get(b"GET / HTTP/1.1", b"X: a", b" b"), 400, RFC_9112_5_2),
    "a header without a name": Case(get(b"GET / HTTP/1.1", b": a"), 400, RFC_9112_5),
    "a header without a colon": Case(get(b"GET / HTTP/1.1", b"X"), 400, RFC_9112_5),
    "brackets in a name": Case(get(b"GET / HTTP/1.1", b"X[0]: a"), 400, RFC_9112_5),
    "bytes above ASCII in a name": Case(get(b"GET / HTTP/1.1", b"\xefoo: a"), 400, RFC_9112_5),
    "control characters in a name": Case(get(b"GET / HTTP/1.1", b"\x01\x0b\x1f: a"), 400, RFC_9112_5),
    "a tab in a name": Case(get(b"GET / HTTP/1.1", b"X\tY: a"), 400, RFC_9112_5),
    "space before the colon": Case(get(b"GET / HTTP/1.1", b"X : a"), 400, RFC_9112_5_1),
    "a NUL in a value": Case(get(b"GET / HTTP/1.1", b"X: a\0b"), 400, RFC_9110_5_5),
    "NUL and CR in a value": Case(get(b"GET / HTTP/1.1", b"X: v\0\ralue"), 400, RFC_9110_5_5),
    "control characters in a value": Case(get(b"GET / HTTP/1.1", b"X: \x01\x08"), 400, RFC_9110_5_5),
    "a long value": Case(get(b"GET / HTTP/1.1", b"X: " + b"a" * HEADER_LIMIT), 431, "RFC 6585, 5"),
    "a long name": Case(get(b"GET / HTTP/1.1", b"X" * HEADER_LIMIT + b": a"), 431, "RFC 6585, 5"),
    "many headers": Case(get(b"GET / HTTP/1.1", *[b"X: a"] * HEADERS_LIMIT), 431, "RFC 6585, 5"),
    # Host
    "no Host": Case(b"GET / HTTP/1.1\r\n\r\n", 400, RFC_9110_7_2),
    "two Hosts": Case(get(b"GET / HTTP/1.1", b"Host: y"), 400, RFC_9110_7_2),
    "two equal Hosts": Case(get(b"GET / HTTP/1.1", b"Host: x"), 400, RFC_9110_7_2),
    "two Hosts in one": Case(b"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400, RFC_9110_7_2),
    "two Hosts in one without a space": Case(b"GET / HTTP/1.1\r\nHost: x,y\r\n\r\n", 400, RFC_9110_7_2),
    "an empty Host": Case(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, RFC_9110_7_2),
    "a user in Host": Case(b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", 400, RFC_9110_7_2),
    "a path in Host": Case(b"GET / HTTP/1.1\r\nHost: x/a\r\n\r\n", 400, RFC_9110_7_2),
    "a port in Host that is not a number": Case(b"GET / HTTP/1.1\r\nHost: x:http\r\n\r\n", 400, RFC_9110_7_2),
    "a large port in Host": Case(b"GET / HTTP/1.1\r\nHost: x:99999\r\n\r\n", 400, RFC_9110_7_2),
    "space before Host's colon": Case(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, RFC_9112_5_1),
    # Content-Length
    "length abc": Case(post(b"Content-Length: abc"), 400, RFC_9110_8_6),
    "length +5": Case(post(b"Content-Length: +5"), 400, RFC_9110_8_6),
    "length -5": Case(post(b"Content-Length: -5"), 400, RFC_9110_8_6),
    "length -0": Case(post(b"Content-Length: -0"), 400, RFC_9110_8_6),
    "length 0x5": Case(post(b"Content-Length: 0x5"), 400, RFC_9110_8_6),
    "length 0o5": Case(post(b"Content-Length: 0o5"), 400, RFC_9110_8_6),
    "length 1_0": Case(post(b"Content-Length: 1_0"), 400, RFC_9110_8_6),
    "length 5.0": Case(post(b"Content-Length: 5.0"), 400, RFC_9110_8_6),
    "length 1 0": Case(post(b"Content-Length: 1 0"), 400, RFC_9110_8_6),
    "an empty length": Case(post(b"Content-Length:"), 400, RFC_9110_8_6),
    "a length in superscript": Case(post(b"Content-Length: \xb2"), 400, RFC_9110_8_6),
    "a length in fullwidth digits": Case(post(b"Content-Length: \xef\xbc\x95"), 400, RFC_9110_8_6),
    "a length with a no-break space": Case(post(b"Content-Length: \xa05"), 400, RFC_9110_8_6),
    "a length with a form feed": Case(post(b"Content-Length: \x0c5"), 400, RFC_9110_8_6),
    "a length with NUL": Case(post(b"Content-Length: 5\0"), 400, RFC_9110_5_5),
    "a folded length": Case(post(b"Content-Length:", b" 5"), 400, RFC_9112_5_2),
    "a length beyond 64 bits": Case(post(b"Content-Length: 18446744073709551621"), 400, RFC_9110_8_6),
    "a length of 5,000 digits": Case(post(b"Content-Length: " + b"0" * 4999 + b"5"), 400, RFC_9110_8_6),
    "two lengths": Case(post(b"Content-Length: 5", b"Content-Length: 6"), 400, RFC_9112_6_3),
    "two equal lengths": Case(post(b"Content-Length: 5", b"Content-Length: 5"), 400, RFC_9112_6_3),
    "a list of lengths": Case(post(b"Content-Length: 5, 6"), 400, RFC_9112_6_3),
    "a list of equal lengths": Case(post(b"Content-Length: 5, 5"), 400, RFC_9112_6_3),
    "space before the length's colon": Case(post(b"Content-Length : 5"), 400, RFC_9112_5_1),
    # Transfer-Encoding
    "a length and chunks": Case(chunked(b"0\r\n\r\n", b"Content-Length: 5"), 400, RFC_9112_6_1),
    "chunks in HTTP/1.0": Case(chunked(b"0\r\n\r\n").replace(b"1.1", b"1.0", 1), 400, RFC_9112_6_1),
    "space before the coding's colon": Case(post(b"Transfer-Encoding : chunked"), 400, RFC_9112_5_1),
    "two codings": Case(chunked(b"0\r\n\r\n", b"Transfer-Encoding: identity"), 400, RFC_9112_6_3),
    "chunked twice": Case(chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), 400, RFC_9112_6_3),
    "chunked twice in a list": Case(post(b"Transfer-Encoding: chunked, chunked"), 400, RFC_9112_6_3),
    "chunked before another coding": Case(post(b"Transfer-Encoding: chunked, gzip"), 400, RFC_9112_6_3),
    "an empty coding": Case(post(b"Transfer-Encoding:"), 400, RFC_9112_6_3),
    "a folded coding": Case(post(b"Transfer-Encoding:", b" chunked"), 400, RFC_9112_5_2),
    "a coding with a vertical tab": Case(post(b"Transfer-Encoding: \x0bchunked"), 400, RFC_9110_5_5),
    "a coding with a form feed": Case(post(b"Transfer-Encoding: chunked\x0c"), 400, RFC_9110_5_5),
    "a coding with NUL": Case(post(b"Transfer-Encoding: chunked\0"), 400, RFC_9110_5_5),
    "a coding with no-break spaces": Case(post(b"Transfer-Encoding: \xa0chunked\xa0"), 501, RFC_9112_7),
    "a coding in quotes": Case(post(b'Transfer-Encoding: "chunked"'), 501, RFC_9112_7),
    "a coding with a leading comma": Case(post(b"Transfer-Encoding: ,chunked"), 501, RFC_9112_7),
    "a coding with parameters": Case(post(b"Transfer-Encoding: chunked;a=b"), 501, RFC_9112_7),
    "coding identity": Case(post(b"Transfer-Encoding: identity"), 501, RFC_9112_7),
    "coding xchunked": Case(post(b"Transfer-Encoding: xchunked"), 501, RFC_9112_7),
    "coding gzip": Case(post(b"Transfer-Encoding: gzip"), 501, RFC_9112_7),
    "coding gzip, chunked": Case(post(b"Transfer-Encoding: gzip, chunked"), 501, RFC_9112_7),
    # Chunks
    "an empty size": Case(chunked(b"\r\n\r\n"), 400, RFC_9112_7_1),
    "size 0x5": Case(chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "size +5": Case(chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "size -5": Case(chunked(b"-5\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "size 0_5": Case(chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "size g": Case(chunked(b"g\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "space before the size": Case(chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "space after the size": Case(chunked(b"5 \r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "a size beyond 64 bits": Case(chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "a size with NUL": Case(chunked(b"5\0\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "a line feed after the size": Case(chunked(b"5\nhello\r\n0\r\n\r\n"), 400, RFC_9112_2_2),
    "a lone CR after the size": Case(chunked(b"5\rhello\r\n0\r\n\r\n"), 400, RFC_9112_2_2),
    "data without CRLF": Case(chunked(b"5\r\nhello0\r\n\r\n"), 400, RFC_9112_7_1),
    "data longer than its size": Case(chunked(b"5\r\nhellooo\r\n0\r\n\r\n"), 400, RFC_9112_7_1),
    "two other bytes for data's CRLF": Case(chunked(b"5\r\nhelloXX0\r\n\r\n"), 400, RFC_9112_7_1),
    "a line feed after data": Case(chunked(b"5\r\nhello\n0\r\n\r\n"), 400, RFC_9112_2_2),
    "a line feed after the last chunk": Case(chunked(b"5\r\nhello\r\n0\n\n"), 400, RFC_9112_2_2),
    "a line feed after the trailers": Case(chunked(b"0\r\nX: a\r\n\n"), 400, RFC_9112_2_2),
    "an extension without a name": Case(chunked(b"5;\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1_1),
    "an extension with a value only": Case(chunked(b"5;=a\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1_1),
    "an extension without its value": Case(chunked(b"5;a=\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1_1),
    "an extension with NUL": Case(chunked(b"5;a\0\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1_1),
    "an extension with a lone CR": Case(chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_2_2),
    "an extension with a line feed": Case(chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_2_2),
    "an extension of 64 KiB": Case(chunked(b"5;" + b"a" * 65_536 + b"\r\nhello\r\n0\r\n\r\n"), 400, RFC_9112_7_1_1),
    "a trailer without a colon": Case(chunked(b"0\r\nX\r\n\r\n"), 400, RFC_9112_5),
    "space before a trailer's colon": Case(chunked(b"0\r\nX : a\r\n\r\n"), 400, RFC_9112_5_1),
    "a folded trailer": Case(chunked(b"0\r\nX: a\r\n b\r\n\r\n"), 400, RFC_9112_5_2),
}

ACCEPTED = {
    "a request": (get(), b""),
    "an empty line before a request": (b"\r\n" + get(), b""),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b""),
    "an absolute target": (get(b"GET http://x/ HTTP/1.1"), b""),
    "an absolute target with another host": (get(b"GET http://y/ HTTP/1.1"), b""),
    "OPTIONS for the server": (get(b"OPTIONS * HTTP/1.1"), b""),
    "POST without a body": (get(b"POST / HTTP/1.1"), b""),
    "POST with an empty body": (post(b"Content-Length: 0", body=b""), b""),
    "POST with a length": (post(b"Content-Length: 5"), b"hello"),
    "a length between spaces": (post(b"Content-Length:  5 "), b"hello"),
    "a length after a tab": (post(b"Content-Length:\t5"), b"hello"),
    "a length with leading zeros": (post(b"Content-Length: 005"), b"hello"),
    "GET with a body": (get(b"GET / HTTP/1.1", b"Content-Length: 5") + b"hello", b"hello"),
    "OPTIONS with a body": (get(b"OPTIONS / HTTP/1.1", b"Content-Length: 5") + b"hello", b"hello"),
    "chunks": (chunked(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), b"hello"),
    "no chunks": (chunked(b"0\r\n\r\n"), b""),
    "a size in upper case with leading zeros": (chunked(b"000A\r\nhellohello\r\n0\r\n\r\n"), b"hellohello"),
    "an extension": (chunked(b"5;a=b\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "a trailer": (chunked(b"5\r\nhello\r\n0\r\nX: a\r\n\r\n"), b"hello"),
    "a coding in another case": (post(b"TRANSFER-ENCODING: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "a coding between blanks": (post(b"Transfer-Encoding:\tchunked ", body=b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "a length as a trailer": (chunked(b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"), b"hello"),
    "a coding as a trailer": (chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n"), b"hello"),
    "a Host as a trailer": (chunked(b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n"), b"hello"),
    "underscores in names": (get(b"GET / HTTP/1.1", b"Content_Length: 50", b"Transfer_Encoding: chunked"), b""),
    "an unknown expectation": (post(b"Content-Length: 5", b"Expect: 200-ok"), b"hello"),
    "an upgrade to WebSocket": (get(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"), b""),
    "an upgrade without the option": (get(b"GET / HTTP/1.1", b"Upgrade: h2c"), b""),
    "escaped CR and LF in the target": (get(b"GET /%0d%0aX:%20a HTTP/1.1"), b""),
    "a backslash in the target": (get(b"GET /a\\b HTTP/1.1"), b""),
    "a slash twice": (get(b"GET //a HTTP/1.1"), b""),
}
"""Requests and their bodies. RFC 9110 and 9112 require or allow servers to accept them."""


def exchanged(data: bytes) -> bytes:
    """Return all responses to `data` and the request after it."""
    responses: list[bytes] = []

    async def scene(served: Served) -> None:
        responses.append(await served.exchange(data + NEXT))

    play(mirror, scene)
    return responses[0]


@pytest.mark.parametrize("name", REJECTED)
def test_a_malformed_request_is_rejected_and_ends_the_connection(name: str) -> None:
    data, status, rule = REJECTED[name]
    response = exchanged(data)
    assert error_of(response) == (status, "BAD_REQUEST"), rule
    assert response.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in response


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_unusual_request_is_served_and_so_is_the_next(name: str) -> None:
    data, body = ACCEPTED[name]
    first, second = exchanged(data).split(b"HTTP/1.1 200 OK")[1:]
    assert first.rstrip().endswith(b", %b]" % repr(body).encode())
    assert b"'/next'" in second
    assert b"evil" not in first


def test_an_incomplete_body_gets_no_response() -> None:
    """RFC 9112, 8: a request whose body is cut off is incomplete."""

    async def scene(served: Served) -> None:
        for data in (post(b"Content-Length: 6"), chunked(b"5\r\nhello\r\n"), chunked(b"5\r\nhello\r\n0\r\n")):
            client = await served.client()
            client.writer.write(data)
            client.writer.write_eof()
            assert await client.rest() == b""
            client.close()

    play(mirror, scene)
