"""Connections over real sockets: order, keep-alive, backpressure, failing applications. Their ends: test_ends.py."""

import asyncio
import socket
import time
from typing import Any

import pytest
from tests.http_server.served import (
    ALL,
    CHUNKS,
    GET,
    HEAD,
    POST,
    Receive,
    Send,
    Served,
    error_of,
    mirror,
    play,
    read,
    reject,
    reply,
    undated,
    upload,
)

from railtrack.http_server import governed_cycle, limits
from railtrack.http_server.limits import HELD_LIMIT

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_split_requests_get_their_responses_in_order() -> None:
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


def test_thousands_of_pipelined_requests_get_their_responses_in_order() -> None:
    count = 16_000

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await reply(send, scope["query_string"])

    async def scene(served: Served) -> None:
        client = await served.client()
        ask = b"".join(b"GET /?%06d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count))
        client.writer.write(ask)
        assert len(ask) > 2 * HELD_LIMIT
        assert [(await client.response())[2] for _ in range(count)] == [b"%06d" % number for number in range(count)]

    play(app, scene)


def test_the_application_gets_the_decoded_and_the_raw_path() -> None:
    async def scene(served: Served) -> None:
        answer = await served.exchange(
            GET.replace(b"/a%20b", b"/%C3%BC%zz").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        seen = [
            "GET",
            "/ü%zz",
            b"/%C3%BC%zz",
            b"c=d",
            [(b"host", b"x"), (b"connection", b"close")],
            b"",
        ]
        assert answer.endswith(repr(seen).encode())

    play(mirror, scene)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.0\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"connection: keep-alive"),
    ],
)
def test_a_connection_is_kept_alive_or_closed_as_requested(first: bytes, expected: bytes) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(first)
        status, head, _ = await client.response()
        assert status == 200
        assert expected in head
        if expected == b"connection: close":
            assert await client.rest() == b""
        else:
            assert b"close" not in head
            await client.send(POST)
            assert (await client.response())[0] == 200

    play(mirror, scene)


def test_head_and_304_have_no_body() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        status, body = (304, b"") if scope["path"] == "/same" else (200, b"not seen after HEAD")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def scene(served: Served) -> None:
        client = await served.client()
        for ask in (HEAD, GET.replace(b"/a%20b", b"/same")):
            await client.send(ask)
            assert b"chunked" not in await client.head()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"not seen after HEAD" in await client.rest()

    play(app, scene)


def test_a_response_without_a_length_is_chunked() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"x" * 100_000):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async def scene(served: Served) -> None:
        ask = b"GET / HTTP/1.%d\r\nHost: x\r\nConnection: close\r\n\r\n"
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
        assert (await client.response())[2] == b"hello"
        await client.send(upload(5, "Expect: 100-continue") + b"hello")
        assert (await client.response())[2] == b"hello"

    play(app, scene)


def test_a_response_without_a_continue_ends_the_connection() -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(5, "Expect: 100-continue"))
        status, head, _ = await client.response()
        assert (status, b"connection: close" in head) == (403, True)
        assert await client.rest() == b""

    play(reject, scene)


def test_a_client_that_is_still_uploading_reads_an_early_response() -> None:
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
        await served.until(lambda: len(served.connections) == 0)

    play(app, scene)


def test_a_body_that_the_application_does_not_receive_is_not_read() -> None:
    taking = asyncio.Event()
    size = 40_000_000

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taking.wait()
        await reply(send, b"%d" % len(await read(receive)))

    async def scene(served: Served) -> None:
        for head, body in (
            (upload(size), bytes(size)),
            (
                b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size)),
            ),
        ):
            taking.clear()
            client = await served.client()
            client.writer.write(head + body)
            await served.until(lambda: any(one.flow.read_paused for one in served.connections))
            left = client.writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.1)
            assert client.writer.transport.get_write_buffer_size() > size / 2, left
            taking.set()
            assert (await client.response())[2] == b"%d" % size
            client.close()

    play(app, scene)


def test_the_application_waits_for_a_client_that_does_not_read() -> None:
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
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        await asyncio.sleep(0.1)
        assert len(made) < pieces / 2
        await client.head()
        assert len(await client.reader.readexactly(pieces * size)) == pieces * size
        await served.until(lambda: len(made) == pieces)

    play(app, scene)


def test_a_disconnect_reaches_the_application_which_is_cancelled_later() -> None:
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
            await served.until(served.is_any_busy)
            client.close()
            await served.until(lambda: served.check(0) or seen == ["told", "cancelled"])
        assert len(served.connections) == 0

    play(app, scene)


@pytest.mark.parametrize("ends_only_its_side", [False, True])
def test_a_read_is_cancelled_as_soon_as_its_client_disconnects(
    ends_only_its_side: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of each second, and without the time that a change has to finish."""
    monkeypatch.setattr(limits, "DISCONNECT_GRACE_S", 3600)
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope["is_read"] = True
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(served.is_any_busy)
        if ends_only_its_side:
            client.writer.close()  # the system resets the connection when the server sends
        else:
            client.close()
        await served.until(lambda: seen == ["cancelled"])
        await served.until(lambda: not served.connections)

    play(app, scene)


@pytest.mark.parametrize("checks", [0, 1, 2, 3])
def test_a_client_that_ends_its_side_gets_the_responses_to_all_complete_requests(checks: int) -> None:
    going_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await going_on.wait()
        await mirror(scope, receive, send)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET + POST + CHUNKS + POST[:-1])
        client.writer.write_eof()
        await served.until(lambda: [one._is_half_closed for one in served.connections] == [True])
        for _ in range(checks):
            served.check(0)
            await asyncio.sleep(0)
        going_on.set()
        responses = await client.rest()
        assert responses.startswith(CONTINUE) == (checks >= 2)
        assert responses.count(CONTINUE) == (checks >= 2)
        assert responses.count(b"HTTP/1.1 200 OK") == 3
        await served.until(lambda: not served.connections)

    play(app, scene)


def test_no_interim_response_is_sent_to_http_1_0() -> None:
    going_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await going_on.wait()
        await reply(send, b"late")

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.writer.write_eof()
        await served.until(lambda: [one._is_half_closed for one in served.connections] == [True])
        for _ in range(3):
            served.check(0)
        going_on.set()
        responses = await client.rest()
        assert responses.startswith(b"HTTP/1.1 200 OK")
        assert responses.endswith(b"late")

    play(app, scene)


def test_a_failed_response_to_a_client_that_ended_its_side_ends_the_connection() -> None:
    going_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await going_on.wait()
        raise ValueError

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        client.writer.write_eof()
        await served.until(lambda: [one._is_half_closed for one in served.connections] == [True])
        going_on.set()
        assert error_of(await client.rest()) == (500, "INTERNAL_ERROR")
        await served.until(lambda: not served.connections)

    play(app, scene)


def test_send_returns_when_the_client_has_taken_the_last_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governed_cycle, "WRITE_AT_ONCE", 10_000_000)  # what the kernel buffers is smaller
    ended: list[bool] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, bytes(8_000_000))
        ended.append(True)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        assert not ended
        assert len(await client.rest()) > 8_000_000
        await served.until(lambda: bool(ended))

    play(app, scene)


def test_a_disconnect_ends_the_wait_of_send() -> None:
    ended: list[bool] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": bytes(2_000_000), "more_body": True})
        ended.append(True)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        client.close()
        await served.until(lambda: bool(ended))

    play(app, scene)


@pytest.mark.parametrize("what", ["raises", "ends", "sends twice", "has a line end in a header", "is too long"])
def test_a_failing_application_yields_a_500_and_one_log_line(what: str, caplog: pytest.LogCaptureFixture) -> None:
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


def test_a_truncated_response_without_a_length_ends_with_a_reset() -> None:
    """HTTP/1.0, which nginx speaks with its upstreams by default, has no chunks: an orderly end means a whole body."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.reader.read()

    play(app, scene)


@pytest.mark.parametrize("what", ["raises", "ends", "is too short"])
def test_a_client_can_detect_a_truncated_response(what: str, caplog: pytest.LogCaptureFixture) -> None:
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
