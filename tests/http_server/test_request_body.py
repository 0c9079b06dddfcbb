"""Where the body of a request ends, in whatever pieces it comes."""

import pytest

from railtrack.http_server.request_body import LINE_LIMIT, Chunked, Counted
from railtrack.http_server.request_head import FIELD_LIMIT, Refused

NEXT = b"GET / HTTP/1.1\r\n"
CHUNKS = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n01\r\n\r\r\n0\r\nX-Trailer: z\r\n\r\n"
PLAIN = b"abc0123456789\r"


def taken(reader: Counted | Chunked, *pieces: bytes) -> tuple[bytes, bytes | None]:
    """The body, and what comes after it; None: its end has not come."""
    body: list[bytes] = []
    for at, piece in enumerate(pieces):
        rest = reader.take(piece, body.append)
        if rest is not None:
            return b"".join(body), rest + b"".join(pieces[at + 1 :])
    return b"".join(body), None


@pytest.mark.parametrize("split", range(len(CHUNKS + NEXT)))
def test_chunks_are_put_together_wherever_they_are_split(split: int) -> None:
    whole = CHUNKS + NEXT
    assert taken(Chunked(), whole[:split], whole[split:]) == (PLAIN, NEXT)


def test_chunks_may_come_byte_by_byte() -> None:
    whole = CHUNKS + NEXT
    assert taken(Chunked(), *(bytes([byte]) for byte in whole)) == (PLAIN, NEXT)


def test_a_counted_body_ends_after_its_bytes() -> None:
    assert taken(Counted(5), b"abcdeGET") == (b"abcde", b"GET")
    assert taken(Counted(5), b"abc", b"de", b"GET") == (b"abcde", b"GET")
    assert taken(Counted(5), b"abc") == (b"abc", None)


def test_a_piece_from_the_midst_of_a_body_is_not_copied() -> None:
    for reader in (Counted(1_000_000), Chunked()):
        body: list[bytes] = []
        if isinstance(reader, Chunked):
            reader.take(b"f0000\r\n", body.append)
        piece = bytes(1000)
        reader.take(piece, body.append)
        assert body[-1] is piece


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
        b"1;" + b"x" * LINE_LIMIT,
        b"a" * (LINE_LIMIT + 2),
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: " + b"y" * (FIELD_LIMIT + 1),
        b"0\r\n" + b"X: y\r\n" * FIELD_LIMIT + b"\r\n",
    ],
)
def test_chunks_that_are_none_are_refused(chunks: bytes) -> None:
    with pytest.raises(Refused):
        taken(Chunked(), chunks)
