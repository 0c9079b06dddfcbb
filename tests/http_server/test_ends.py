"""How connections end: rejections, timeouts, shutdown of the worker, garbage; and the bytes that they hold."""

import asyncio
import random
from typing import Any

import pytest
from tests.http_server.served import (
    ALL,
    CHUNKS,
    GET,
    LAST,
    POST,
    Receive,
    Send,
    Served,
    error_of,
    mirror,
    play,
    reject,
    reply,
    upload,
)

from railtrack.byte_budget import BUDGET
from railtrack.http_server.limits import (
    HEAD_TIMEOUT_S,
    KEEP_ALIVE_S,
    LINGER_S,
)


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"\r\n\r\n\r\n / \r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xb3", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc" + GET, 400),
    ],
)
def test_a_rejection_has_mlflows_form_and_ends_the_connection(ask: bytes, status: int) -> None:
    async def scene(served: Served) -> None:
        answer = await served.exchange(ask)
        assert error_of(answer) == (status, "BAD_REQUEST")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer

    play(mirror, scene)


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
def test_an_upgrade_is_ignored_and_its_body_is_a_body(upgrade: str) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk")
        await client.send(upload(len(GET), *headers) + GET)
        status, _, body = await client.response()
        assert (status, repr(GET).encode() in body) == (200, True)
        await client.send(POST)
        assert (await client.response())[0] == 200

    play(mirror, scene)


def test_garbage_ends_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(11)

    def garbage() -> bytes:
        if chance.random() < 0.2:
            return chance.randbytes(chance.randint(1, 3000))
        data = chance.choice([GET, POST, CHUNKS, ALL])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            odd = chance.choice([b"\r\n", b"\n", b"\0", b"\xff", b" ", b"9", b":", chance.randbytes(3), data[:at]])
            data = data[:at] + odd + data[at + chance.randint(0, 3) :]
        return data

    async def scene(served: Served) -> None:
        for _ in range(600):
            client = await served.client()
            await client.send(garbage())
            client.writer.write_eof()
            answer = await client.rest()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
            client.close()
        await served.until(lambda: len(served.connections) == 0)
        assert await served.exchange(LAST)

    play(mirror, scene)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("sent", "limit", "status"),
    [
        (b"", HEAD_TIMEOUT_S, 0),
        (b"GET / HT", HEAD_TIMEOUT_S, 408),
        (GET, KEEP_ALIVE_S, 200),
        (GET + b"\r\n", KEEP_ALIVE_S, 200),
        (GET + b"GET / HT", HEAD_TIMEOUT_S, 408),
    ],
)
def test_a_request_that_times_out_ends_the_connection(sent: bytes, limit: float, status: int) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(sent)
        half = sent.endswith(b"HT")
        await served.until(lambda: [one._is_reading_head for one in served.connections] == [half])
        await served.until(lambda: served.state.total_requests == sent.startswith(GET))
        served.check(limit / 2)
        assert len(served.connections) == 1
        served.check(limit + 1)
        answers = (await client.rest()).split(b"HTTP/1.1 ")
        assert answers[-1].startswith(b"%d" % status if status else b"")

    play(mirror, scene)


def test_a_client_that_keeps_its_side_open_is_disconnected() -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(1000))
        await client.response()
        served.check(LINGER_S / 2)
        assert len(served.connections) == 1
        served.check(LINGER_S + 1)
        await served.until(lambda: len(served.connections) == 0)

    play(reject, scene)


def test_a_worker_that_ends_closes_idle_connections_and_finishes_requests() -> None:
    going_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await going_on.wait()
        await reply(send, b"done")

    async def scene(served: Served) -> None:
        idle = [await served.client() for _ in range(3)]
        await idle[1].send(GET)
        await idle[1].response()
        await idle[2].send(GET[:-3])
        busy = await served.client()
        await busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        await served.until(served.is_any_busy)
        for one in served.connections:
            one.shutdown()
        assert [await one.rest() for one in idle] == [b"", b"", b""]
        going_on.set()
        status, head, body = await busy.response()
        assert (status, b"connection: close" in head, body) == (200, True, b"done")
        assert await busy.rest() == b""
        await served.until(lambda: len(served.connections) == 0)

    play(app, scene)


def test_the_bytes_that_a_connection_holds_are_counted() -> None:
    taking = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taking.wait()
        await reply(send, b"")

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET[:10])
        await served.until(lambda: served.held() == (10, 0, 0))
        await client.send(GET[10:] + POST)
        await served.until(lambda: served.held() == (len(POST), 0, 0))
        taking.set()
        await client.response()
        await client.response()
        assert served.held() == (0, 0, 0)
        taking.clear()
        await client.send(upload(100_000) + bytes(30_000))
        await served.until(lambda: served.held() == (0, 30_000, 0))
        assert BUDGET.unread.used == 30_000
        taking.set()
        client.close()
        await served.until(lambda: BUDGET.unread.used == 0)

    play(app, scene)
