"""The head of a request: what is read of it, what is refused, and that llhttp reads the same."""

import random

import httptools
import pytest

from railtrack.http_server.request_head import (
    CHUNKED,
    END,
    FIELD_LIMIT,
    FIELDS_LIMIT,
    HEAD_LIMIT,
    Head,
    Refused,
    check_beginning,
    read_head,
)

MUTATED = 4000


def head(*lines: str, first: str = "POST /a?b=c HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: x", *lines, "", ""]).encode("latin-1")


def parsed(data: bytes) -> Head:
    return read_head(data, data.index(END))


def status_of(data: bytes) -> int:
    with pytest.raises(Refused) as caught:
        parsed(data)
    return caught.value.status


def test_names_are_lowered_and_values_stripped() -> None:
    found = parsed(head("ACCEPT:*/*", "X-Odd: \t a b\t ", "X-Empty:", "X-Latin: \xe9"))
    assert (found.method, found.target) == ("POST", b"/a?b=c")
    assert found.fields == [
        (b"host", b"x"),
        (b"accept", b"*/*"),
        (b"x-odd", b"a b"),
        (b"x-empty", b""),
        (b"x-latin", b"\xe9"),
    ]


@pytest.mark.parametrize(
    ("lines", "length"),
    [([], 0), (["Content-Length: 12"], 12), (["Content-Length: 0"], 0), (["Transfer-Encoding: Chunked"], CHUNKED)],
)
def test_the_length_of_the_body_is_told(lines: list[str], length: int) -> None:
    assert parsed(head(*lines)).length == length


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", [], True),
        ("1.1", ["close"], False),
        ("1.1", ["Keep-Alive"], True),
        ("1.1", ["upgrade , Close"], False),
        ("1.1", ["upgrade", "close"], False),
        ("1.0", [], False),
        ("1.0", ["keep-alive"], True),
        ("1.0", ["keep-alive, close"], False),
    ],
)
def test_the_connection_is_kept_as_version_and_header_say(version: str, connection: list[str], keeps: bool) -> None:
    data = head(*(f"Connection: {one}" for one in connection), first=f"GET / HTTP/{version}")
    assert parsed(data).keeps is keeps


def test_only_http_1_1_expects_a_continue() -> None:
    assert parsed(head("Expect: 100-Continue")).expects
    assert not parsed(head("Expect: 100-continue", first="GET / HTTP/1.0")).expects
    assert not parsed(head()).expects


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
        "Content-Length: 9999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Host: y",
        "Content-Type: a/b\r\nContent-Type: c/d",
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
def test_what_may_be_read_in_two_ways_is_refused(line: str) -> None:
    assert status_of(head(line)) == 400


@pytest.mark.parametrize(
    "coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", "", "xchunked"]
)
def test_another_transfer_encoding_than_chunked_is_not_implemented(coding: str) -> None:
    assert status_of(head(f"Transfer-Encoding: {coding}")) == 501


def test_http_1_0_knows_no_chunks() -> None:
    assert status_of(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0")) == 400


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("CONNECT x:443 HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET /\xe9 HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("SOURCE / ICE/1.0", 400),
        ("DESCRIBE / RTSP/1.0", 400),
    ],
)
def test_another_first_line_is_refused(first: str, status: int) -> None:
    assert status_of(head(first=first)) == status


def test_what_is_too_long_is_told_by_its_status() -> None:
    assert len(parsed(head(first=f"GET /{'a' * (HEAD_LIMIT - 100)} HTTP/1.1")).target) == HEAD_LIMIT - 99
    assert status_of(head(first=f"GET /{'a' * HEAD_LIMIT} HTTP/1.1")) == 414
    assert status_of(head(*["X: y"] * FIELDS_LIMIT)) == 431
    assert len(parsed(head(*["X: y"] * (FIELDS_LIMIT - 1))).fields) == FIELDS_LIMIT
    assert status_of(head(f"X: {'y' * FIELD_LIMIT}")) == 431
    assert len(parsed(head(f"X: {'y' * (FIELD_LIMIT - 3)}")).fields) == 2
    assert status_of(head(f"X: {'y' * HEAD_LIMIT}")) == 431


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"/ GET", 400),
        (b"A" * 21, 400),
        (b"GET  /", 400),
        (b"GET /" + b"a" * HEAD_LIMIT, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT, 431),
    ],
)
def test_what_can_become_no_request_is_refused_before_its_end(beginning: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        check_beginning(beginning)
    assert caught.value.status == status


def test_every_beginning_of_a_request_may_still_become_one() -> None:
    whole = head("Content-Length: 5", "X: y")
    for length in range(1, len(whole)):
        check_beginning(whole[:length])


class _Llhttp:
    """What llhttp makes of a head."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.method = ""
        self.keeps = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))  # which llhttp leaves there at times

    def on_headers_complete(self) -> None:
        self.method = self._parser.get_method().decode()
        self.keeps = self._parser.should_keep_alive()


def test_llhttp_reads_what_we_read_and_the_same() -> None:
    """The other way round it need not be: we refuse more."""
    chance = random.Random(7)
    seeds = [
        head("Content-Length: 12", "Accept: */*", "Connection: keep-alive"),
        head("Transfer-Encoding: chunked", "X-Some: thing", "Connection: close"),
        head("Content-Type: a/b", "Content-Length: 0", first="PUT /%20/x HTTP/1.0"),
    ]
    taken = 0
    for _ in range(MUTATED):
        data = _mutated(chance, chance.choice(seeds))
        try:
            ours = parsed(data)
        except (Refused, ValueError):
            continue
        if ours.method not in ("POST", "PUT"):
            continue  # llhttp knows a list of methods; we answer 405 to others
        taken += 1
        theirs = _Llhttp(data[: data.index(END) + len(END)])
        assert (theirs.method, theirs.target, theirs.fields) == (ours.method, ours.target, ours.fields), data
        assert theirs.keeps == ours.keeps, data
    assert taken > MUTATED / 10


def _mutated(chance: random.Random, data: bytes) -> bytes:
    odd = [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b"\0",
        b"\x7f",
        b"\xff",
        b"5",
        b"a",
        b"Host: y\r\n",
        b"chunked",
    ]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data))
        data = data[:at] + chance.choice(odd) + data[at + chance.randint(0, 2) :]
    return data
