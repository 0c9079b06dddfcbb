"""Connections: order, keeping, limits, backpressure and ends, over real sockets."""

import asyncio
import random
import socket
import time
from typing import Any

import pytest
from tests.serving.served import Receive, Send, Served, error_of, mirror, play, read, reply, undated

from railtrack.serving import connection
from railtrack.serving.connection import (
    FIRST_REQUEST_LIMIT_S,
    HEAD_LIMIT_S,
    HELD_LIMIT,
    KEEP_ALIVE_S,
    LINGER_S,
)
from railtrack.serving.exchange import CONTINUE

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"
HEAD = b"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ALL = GET + POST + CHUNKS + HEAD + b"\r\n" + LAST


def upload(length: int, *headers: str) -> bytes:
    lines = ["PUT / HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def test_requests_are_answered_in_order_wherever_they_are_split() -> None:
    async def scene(served: Served) -> None:
        whole = undated(await served.exchange(ALL))
        assert whole.count(b"HTTP/1.1 200 OK") == 5
        assert [path in whole for path in (b"'/a b'", b"'/b'", b"'/c'", b"'/e'")] == [True] * 4
        assert whole.count(b"b'hello'") == 2
        for split in range(1, len(ALL)):
            client = await served.client()
            await client.send(ALL[:split])
            await client.send(ALL[split:])
            assert undated(await client.rest()) == whole, split
            client.close()
        client = await served.client()
        for byte in ALL:
            await client.send(bytes([byte]))
        assert undated(await client.rest()) == whole

    play(mirror, scene)


def test_thousands_of_requests_that_came_early_are_answered_in_order() -> None:
    count = 16_000

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await reply(send, scope["query_string"])

    async def scene(served: Served) -> None:
        client = await served.client()
        ask = b"".join(b"GET /?%06d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count))
        client.writer.write(ask)
        assert len(ask) > 2 * HELD_LIMIT
        assert [(await client.answer())[2] for _ in range(count)] == [b"%06d" % number for number in range(count)]

    play(app, scene)


def test_the_application_gets_what_was_asked() -> None:
    async def scene(served: Served) -> None:
        answer = await served.exchange(
            GET.replace(b"/a%20b", b"/%C3%BC%ff").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        seen = [
            "GET",
            "/ü\N{REPLACEMENT CHARACTER}",
            b"/%C3%BC%ff",
            b"c=d",
            [(b"host", b"x"), (b"connection", b"close")],
            b"",
        ]
        assert answer.endswith(repr(seen).encode())

    play(mirror, scene)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.0\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"connection: keep-alive"),
    ],
)
def test_a_connection_is_kept_or_closed_as_is_told(first: bytes, told: bytes) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(first)
        status, head, _ = await client.answer()
        assert status == 200
        assert told in head
        if told == b"connection: close":
            assert await client.rest() == b""
        else:
            assert b"close" not in head
            await client.send(POST)
            assert (await client.answer())[0] == 200

    play(mirror, scene)


def test_head_and_304_have_no_body() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        status = 304 if scope["path"] == "/same" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"never seen"})

    async def scene(served: Served) -> None:
        client = await served.client()
        for ask in (b"HEAD / HTTP/1.1\r\n\r\n", b"GET /same HTTP/1.1\r\n\r\n"):
            await client.send(ask)
            assert b"chunked" not in await client.head()
        await client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\nnever seen")

    play(app, scene)


def test_an_answer_without_a_length_is_sent_in_chunks() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"x" * 100_000):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async def scene(served: Served) -> None:
        ask = b"GET / HTTP/1.%d\r\nConnection: close\r\n\r\n"
        head, _, body = (await served.exchange(ask % 1)).partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert body == b"3\r\none\r\n186a0\r\n" + b"x" * 100_000 + b"\r\n3\r\ntwo\r\n0\r\n\r\n"
        head, _, body = (await served.exchange(ask % 0)).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"one" + b"x" * 100_000 + b"two"

    play(app, scene)


def test_a_continue_is_sent_when_the_application_asks_for_the_body() -> None:
    asked = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await asked.wait()
        await reply(send, await read(receive))

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(5, "Expect: 100-continue"))
        asked.set()
        assert await client.head() == CONTINUE
        await client.send(b"hello")
        assert (await client.answer())[2] == b"hello"
        await client.send(upload(5, "Expect: 100-continue") + b"hello")
        assert (await client.answer())[2] == b"hello"

    play(app, scene)


def test_an_answer_without_a_continue_ends_the_connection() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, b"no", 403)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(5, "Expect: 100-continue"))
        status, head, _ = await client.answer()
        assert (status, b"connection: close" in head) == (403, True)
        assert await client.rest() == b""

    play(app, scene)


def test_who_sends_a_large_body_reads_the_answer_that_came_early() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, b"too much", 413)

    def send_all_then_read(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(upload(20_000_000) + bytes(20_000_000))
            time.sleep(0.2)
            return client.recv(10_000)

    async def scene(served: Served) -> None:
        answer = await asyncio.to_thread(send_all_then_read, served.port)
        assert answer.startswith(b"HTTP/1.1 413 ")
        await served.until(lambda: served.worker.nr_conns == 0)

    play(app, scene)


def test_a_body_that_nobody_takes_is_not_read() -> None:
    taking = asyncio.Event()
    size = 40_000_000

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taking.wait()
        await reply(send, b"%d" % len(await read(receive)))

    async def scene(served: Served) -> None:
        for head, body in (
            (upload(size), bytes(size)),
            (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))),
        ):
            taking.clear()
            client = await served.client()
            client.writer.write(head + body)
            await served.until(lambda: any(one._reading_paused for one in served.worker.connections))
            left = client.writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.1)
            assert client.writer.transport.get_write_buffer_size() > size / 2, left
            taking.set()
            assert (await client.answer())[2] == b"%d" % size
            client.close()

    play(app, scene)


def test_an_answer_that_nobody_reads_is_not_made() -> None:
    made: list[int] = []
    pieces, size = 100, 1_000_000

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % (pieces * size))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(pieces):
            await send({"type": "http.response.body", "body": bytes(size), "more_body": number < pieces - 1})
            made.append(number)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.writing_paused for one in served.worker.connections))
        await asyncio.sleep(0.1)
        assert len(made) < pieces / 2
        await client.head()
        assert len(await client.reader.readexactly(pieces * size)) == pieces * size
        await served.until(lambda: len(made) == pieces)

    play(app, scene)


def test_the_application_is_told_that_the_client_has_gone_and_cancelled_later() -> None:
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        seen.append("told")
        await reply(send, b"to nobody")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def scene(served: Served) -> None:
        for ask in (GET, upload(10) + b"half"):
            seen.clear()
            client = await served.client()
            await client.send(ask)
            await served.until(lambda: any(one._exchange for one in served.worker.connections))
            client.close()
            await served.until(lambda: seen == ["told", "cancelled"])
        assert served.worker.nr_conns == 0

    play(app, scene)


def test_a_client_that_goes_while_an_answer_waits_for_it_lets_the_application_end() -> None:
    ended: list[bool] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": bytes(2_000_000), "more_body": True})
        ended.append(True)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.writing_paused for one in served.worker.connections))
        client.close()
        await served.until(lambda: bool(ended))

    play(app, scene)


@pytest.mark.parametrize("what", ["raises", "ends", "sends twice", "has a line end in a header", "is too long"])
def test_an_application_that_fails_is_a_500_and_one_line_of_the_log(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2")]
        match what:
            case "raises":
                raise ValueError
            case "sends twice":
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            case "has a line end in a header":
                await reply(send, b"", 200, (b"location", b"/\r\nset-cookie: a=b"))
            case "is too long":
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b"abc"})

    async def scene(served: Served) -> None:
        answer = await served.exchange(GET)
        assert error_of(answer) == (500, "INTERNAL_ERROR")
        assert b"set-cookie" not in answer

    play(app, scene)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("what", ["raises", "ends", "is too short"])
def test_an_answer_that_breaks_off_is_seen_to_do_so(what: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"10")] if what == "is too short" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": what != "is too short"})
        if what == "raises":
            raise ValueError

    async def scene(served: Served) -> None:
        answer = await served.exchange(GET)
        assert not answer.endswith(b"0\r\n\r\n")
        assert b"200 OK" in answer or answer.startswith(b"HTTP/1.1 500")

    play(app, scene)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


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
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, b"no", 403)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(1000))
        await client.answer()
        await _passes(served, LINGER_S / 2)
        assert served.worker.nr_conns == 1
        await _passes(served, LINGER_S + 1)
        await served.until(lambda: served.worker.nr_conns == 0)

    play(app, scene)


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
