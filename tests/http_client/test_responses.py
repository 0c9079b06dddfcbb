"""Invalid, hostile and unusual responses: each is read within limits, or is a TransferError and ends the connection."""

import asyncio
import contextlib
import gzip
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from tests.servers.processes import TIMEOUT_S

from railtrack.http_client import connection as connection_module
from railtrack.http_client.client import HttpClient, Origin, TransferError

BODY_LIMIT = 100_000
OK = b"HTTP/1.1 200 OK\r\n"
Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that sends the same bytes to every request. `closed` is set once the client has closed."""

    def __init__(self, port: int, closed: asyncio.Event) -> None:
        self.closed = closed
        self.client = HttpClient(Origin(False, "127.0.0.1", port))

    async def get(self, method: str = "GET") -> tuple[int, bytes]:
        response = await self.client.send(method, "/", {"host": "x"})
        return response.status, await response.read(BODY_LIMIT)


@contextlib.asynccontextmanager
async def peer(serve: Serve) -> AsyncIterator[Peer]:
    closed = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(writer)
            await writer.drain()
            await reader.read()
        closed.set()
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    peer = Peer(server.sockets[0].getsockname()[1], closed)
    try:
        yield peer
    finally:
        peer.client.close()
        server.close()


def sends(data: bytes, *, then_ends: bool = False, pieces: int = 1 << 30) -> Serve:
    async def serve(writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(data), pieces):
            writer.write(data[at : at + pieces])
            await asyncio.sleep(0)
        if then_ends:
            writer.write_eof()

    return serve


def sends_forever(start: bytes, repeated: bytes) -> Serve:
    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(repeated * 1000)
            await writer.drain()

    return serve


async def assert_fails(serve: Serve, message: str | None = None) -> None:
    async with peer(serve) as server:
        with pytest.raises(TransferError, match=message):
            await asyncio.wait_for(server.get(), TIMEOUT_S)
        await asyncio.wait_for(server.closed.wait(), TIMEOUT_S)


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 \r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 2_0 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb9\xb3 OK\r\n\r\n",
        b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n",
        OK + b"Content-Length: \xb2\r\n\r\n",
        OK + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +1\r\n\r\n",
        OK + b"Content-Length: 1_0\r\n\r\n",
        OK + b"Content-Length: 0x5\r\n\r\n",
        OK + b"Content-Length: 5, 5\r\n\r\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        OK + b"Transfer-Encoding:\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        OK + b"Server\r\n\r\n",
        OK + b": x\r\n\r\n",
        OK + b"X : x\r\n\r\n",
        OK + b"X: x\r\n folded\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 11 + OK + b"\r\n",
        OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_an_invalid_head_is_an_error(head: bytes) -> None:
    await assert_fails(sends(head))


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b"zz\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b"\xb2\r\n",
        b" 1\r\na\r\n0\r\n\r\n",
        b"1\na\n0\n\n" + b"x" * 70_000,
        b"f" * 17 + b"\r\n",
        b"1;" + b"x" * 70_000 + b"\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\nabcdef\r\n0\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
async def test_invalid_chunks_are_an_error(chunks: bytes) -> None:
    await assert_fails(sends(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        OK + b"Content-Length: 10\r\n\r\nhello",
        OK + b"Content-Length: 999999999999999999\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
    ],
)
async def test_a_truncated_response_is_an_error(cut: bytes) -> None:
    await assert_fails(sends(cut, then_ends=True))


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (b"", b"x"),
        (OK, b"X: y\r\n"),
        (OK + b"X: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (OK + b"\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (OK + b"Content-Length: 999999999999999999\r\n\r\n", b"x"),
    ],
)
async def test_an_endless_response_is_an_error_soon(start: bytes, repeated: bytes) -> None:
    began = time.process_time()
    await assert_fails(sends_forever(start, repeated))
    assert time.process_time() - began < 20  # of both ends, on a busy machine


@pytest.mark.parametrize("start", [b"", OK, OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_a_trickling_response_times_out(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "WAITING_LIMIT_S", 0.2)

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(b"1")
            await writer.drain()
            await asyncio.sleep(0.01)

    await assert_fails(serve, "timed out")


async def test_a_slow_but_steady_response_does_not_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "WAITING_LIMIT_S", 0.0)

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100000\r\n\r\n" + bytes(80_000))
        for _ in range(20):
            await asyncio.sleep(0.01)
            writer.write(bytes(1000))

    async with peer(serve) as server:
        assert await server.get() == (200, bytes(100_000))


@pytest.mark.parametrize("pieces", [1, 2, 3, 1 << 30])
@pytest.mark.parametrize(
    ("data", "body", "is_kept"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
        (OK + b"content-length: 5\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 10 + OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3 ;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n", b"hello", True),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", False),
        (OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (OK + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    ],
)
async def test_a_valid_response_is_read_and_its_connection_kept_if_possible(
    data: bytes, body: bytes, is_kept: bool, pieces: int
) -> None:
    async with peer(sends(data, pieces=pieces)) as server:
        assert await server.get() == (200, body)
        assert len(server.client._idle) == is_kept


async def test_bytes_after_a_response_end_its_connection() -> None:
    async with peer(sends(OK + b"Content-Length: 5\r\n\r\nhello" + OK)) as server:
        assert await server.get() == (200, b"hello")
        await asyncio.wait_for(server.closed.wait(), TIMEOUT_S)


async def test_a_response_without_a_length_ends_with_its_connection() -> None:
    async with peer(sends(OK + b"\r\nhello", then_ends=True)) as server:
        assert await server.get() == (200, b"hello")


async def test_a_compressed_body_is_not_decompressed() -> None:
    bomb = gzip.compress(bytes(10 * BODY_LIMIT))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with peer(sends(head + bomb)) as server:
        assert await server.get() == (200, bomb)


async def test_many_tiny_chunks_take_time_in_proportion_to_their_number() -> None:
    count = BODY_LIMIT
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    async with peer(sends(data)) as server:
        began = time.process_time()
        assert await server.get() == (200, b"x" * count)
        assert time.process_time() - began < 20


def mutations() -> Iterator[bytes]:
    chance = random.Random(5)
    seeds = [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nhello",
    ]
    for _ in range(400):
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            odd = chance.choice([b"\r\n", b"\n", b"\0", b"\xb2", b" ", b"9" * 50, b":", b"-", chance.randbytes(3)])
            data = data[:at] + odd + data[at + chance.randint(0, 3) :]
        yield data


async def test_a_mutated_response_is_read_or_an_error() -> None:
    for data in mutations():
        async with peer(sends(data, then_ends=True)) as server:
            with contextlib.suppress(TransferError):
                status, body = await asyncio.wait_for(server.get(), TIMEOUT_S)
                assert 200 <= status <= 999
                assert len(body) <= len(data)
