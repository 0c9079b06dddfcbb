"""Connections over real sockets: order, keeping, backpressure, applications that fail. Their ends: test_ends.py."""

import asyncio
import socket
import time
from typing import Any

import pytest
from tests.http_server.served import (
    ALL,
    GET,
    POST,
    Receive,
    Send,
    Served,
    error_of,
    mirror,
    play,
    read,
    refuse,
    reply,
    undated,
    upload,
)

from railtrack.http_server.connection import HELD_LIMIT
from railtrack.http_server.exchange import CONTINUE


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
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(5, "Expect: 100-continue"))
        status, head, _ = await client.answer()
        assert (status, b"connection: close" in head) == (403, True)
        assert await client.rest() == b""

    play(refuse, scene)


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
