"""How connections end: refused, out of time, with their worker; and what garbage does to them."""

import asyncio
import random
import time
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
    refuse,
    reply,
    upload,
)

from railtrack.http_server import connection
from railtrack.http_server.connection import (
    FIRST_REQUEST_LIMIT_S,
    HEAD_LIMIT_S,
    KEEP_ALIVE_S,
    LINGER_S,
)


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"\x16\x03\x01\x00\xb3", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
        (b"GET /" + b"a" * 1_100_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc" + GET, 400),
    ],
)
def test_what_is_no_request_is_refused_in_mlflows_form_and_ends_the_connection(ask: bytes, status: int) -> None:
    async def scene(served: Served) -> None:
        answer = await served.exchange(ask)
        assert error_of(answer) == (status, "BAD_REQUEST")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer

    play(mirror, scene)


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
def test_an_upgrade_is_not_taken_up_and_its_body_is_a_body(upgrade: str) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk")
        await client.send(upload(len(GET), *headers) + GET)
        status, _, body = await client.answer()
        assert (status, repr(GET).encode() in body) == (200, True)
        await client.send(POST)
        assert (await client.answer())[0] == 200

    play(mirror, scene)


def test_garbage_ends_its_own_connection_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
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
        await served.until(lambda: served.worker.nr_conns == 0)
        assert await served.exchange(LAST)

    play(mirror, scene)
    assert caplog.records == []


async def _passes(served: Served, seconds: float) -> None:
    """What the worker does every second, at a later time."""
    for one in list(served.worker.connections):
        one.check(time.monotonic() + seconds)


@pytest.mark.parametrize(
    ("sent", "limit", "status"),
    [
        (b"", FIRST_REQUEST_LIMIT_S, 0),
        (b"GET / HT", FIRST_REQUEST_LIMIT_S, 408),
        (GET, KEEP_ALIVE_S, 200),
        (GET + b"\r\n", KEEP_ALIVE_S, 200),
        (GET + b"GET / HT", HEAD_LIMIT_S, 408),
    ],
)
def test_a_request_that_does_not_come_in_time_ends_the_connection(sent: bytes, limit: float, status: int) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(sent)
        half = sent.endswith(b"HT")
        await served.until(lambda: [bool(one._kept) for one in served.worker.connections] == [half])
        await served.until(lambda: served.worker.requests == sent.startswith(GET))
        await _passes(served, limit / 2)
        assert served.worker.nr_conns == 1
        await _passes(served, limit + 1)
        answers = (await client.rest()).split(b"HTTP/1.1 ")
        assert answers[-1].startswith(b"%d" % status if status else b"")

    play(mirror, scene)


def test_who_takes_neither_its_answer_nor_the_end_is_cut_off() -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(1000))
        await client.answer()
        await _passes(served, LINGER_S / 2)
        assert served.worker.nr_conns == 1
        await _passes(served, LINGER_S + 1)
        await served.until(lambda: served.worker.nr_conns == 0)

    play(refuse, scene)


def test_a_worker_that_ends_closes_what_is_idle_and_finishes_what_is_not() -> None:
    going_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await going_on.wait()
        await reply(send, b"done")

    async def scene(served: Served) -> None:
        idle = [await served.client() for _ in range(3)]
        await idle[1].send(GET)
        await idle[1].answer()
        await idle[2].send(GET[:-3])
        busy = await served.client()
        await busy.send(b"GET /slow HTTP/1.1\r\n\r\n" + GET)
        await served.until(lambda: any(one._exchange for one in served.worker.connections))
        served.worker.alive = False
        for one in list(served.worker.connections):
            one.close_if_idle()
        assert [await one.rest() for one in idle] == [b"", b"", b""]
        going_on.set()
        status, head, body = await busy.answer()
        assert (status, b"connection: close" in head, body) == (200, True, b"done")
        assert await busy.rest() == b""
        await served.until(lambda: served.worker.nr_conns == 0)

    play(app, scene)


def test_one_connection_too_many_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_LIMIT", 20)

    async def scene(served: Served) -> None:
        full = [await served.client() for _ in range(20)]
        await served.until(lambda: served.worker.nr_conns == 20)
        assert await served.exchange(GET) == b""
        full.pop().close()
        await served.until(lambda: served.worker.nr_conns == 19)
        assert (await served.exchange(LAST)).startswith(b"HTTP/1.1 200 OK")

    play(mirror, scene)
