"""Clients that read or send slowly, or not at all: when they are disconnected, and what they occupy until then."""

import asyncio
import socket
import struct
from typing import Any

import pytest
from tests.http_server.served import GET, Receive, Send, Served, error_of, mirror, play, read, reply, upload
from tests.servers.processes import TIMEOUT_S

from railtrack.byte_budget import BUDGET
from railtrack.http_server.limits import WRITE_AT_ONCE, WRITE_BUFFER
from railtrack.http_server.pace import BODY_PATIENCE_S, MIN_BYTES_PER_S, RESPONSE_PATIENCE_S, Pace

SIZE = 50_000_000


async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await reply(send, bytes(SIZE))


def test_a_response_that_nobody_reads_is_written_in_parts_and_ends_after_a_minute() -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        served.check(0)
        assert served.held().unsent <= WRITE_AT_ONCE + WRITE_BUFFER
        served.check(RESPONSE_PATIENCE_S - 1)
        assert len(served.connections) == 1
        await client.head()
        assert await client.reader.readexactly(SIZE // 2)  # progress
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        served.check(RESPONSE_PATIENCE_S + 1)
        assert len(served.connections) == 1
        served.check(2 * RESPONSE_PATIENCE_S + 3)
        await served.until(lambda: not served.connections)

    play(large, scene)


def test_a_slow_reader_is_kept_until_others_wait_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(GET)
        await served.until(lambda: any(one.flow.write_paused for one in served.connections))
        for seconds in range(5):
            served.check(seconds)
        assert len(served.connections) == 1
        monkeypatch.setattr(BUDGET.responses, "used", BUDGET.responses.limit + 1)
        served.check(5)
        await served.until(lambda: not served.connections)

    play(large, scene)


@pytest.mark.parametrize("sent", [b"", bytes(100_000)])
def test_a_body_that_stops_is_rejected_after_half_a_minute(sent: bytes) -> None:
    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(200_000) + sent)
        await served.until(lambda: any(one._received >= len(sent) and one.cycle for one in served.connections))
        served.check(0)
        served.check(BODY_PATIENCE_S - 1)
        assert served.is_any_busy()
        served.check(BODY_PATIENCE_S + 1)
        assert error_of(await client.rest()) == (408, "BAD_REQUEST")

    play(mirror, scene)


def test_a_body_that_the_server_does_not_read_yet_is_not_late() -> None:
    taking = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await taking.wait()
        await reply(send, b"%d" % len(await read(receive)))

    async def scene(served: Served) -> None:
        client = await served.client()
        client.writer.write(upload(5_000_000) + bytes(5_000_000))
        await served.until(lambda: any(one.flow.read_paused for one in served.connections))
        for seconds in (0, 100, 200):
            served.check(seconds)
        assert served.is_any_busy()
        taking.set()
        assert (await client.response())[2] == b"5000000"

    play(app, scene)


def test_a_slow_body_is_kept_until_others_wait_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope["body_client"] = "127.0.0.1"
        await mirror(scope, receive, send)

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(200_000) + b"x")
        await served.until(served.is_any_busy)
        for seconds in range(5):
            served.check(seconds)
        assert served.is_any_busy()
        monkeypatch.setattr(BUDGET.bodies, "used", BUDGET.bodies.limit + 1)
        served.check(5)
        assert error_of(await client.rest()) == (408, "BAD_REQUEST")

    play(app, scene)


def test_a_steady_client_at_the_minimum_rate_is_never_too_slow_and_its_credit_is_bounded() -> None:
    pace = Pace(0, BODY_PATIENCE_S)
    for second in range(1, 1000):
        pace.advance(MIN_BYTES_PER_S, second)
    pace.advance(10**9, 1000)
    assert not pace.is_too_slow
    pace.advance(0, 1000 + BODY_PATIENCE_S - 1)
    assert not pace.is_too_slow
    pace.advance(0, 1000 + BODY_PATIENCE_S + 1)
    assert pace.is_too_slow


def test_a_trickle_below_the_minimum_rate_is_too_slow_in_the_end() -> None:
    pace, seconds = Pace(0, BODY_PATIENCE_S), 0
    while not pace.is_too_slow:
        seconds += 1
        pace.advance(MIN_BYTES_PER_S // 2, seconds)
    assert BODY_PATIENCE_S < seconds < 3 * BODY_PATIENCE_S
    assert pace.is_slow


@pytest.mark.parametrize("data", [GET + b"GET /?" + bytes(20_000).replace(b"\0", b"x"), upload(30_000) + bytes(20_000)])
def test_a_client_that_is_gone_leaves_nothing_reserved(data: bytes) -> None:
    ended = asyncio.Event()

    async def app(_scope: dict[str, Any], receive: Receive, _send: Send) -> None:
        try:
            await disconnected.wait()
            await receive()
        finally:
            ended.set()

    disconnected = asyncio.Event()

    async def scene(served: Served) -> None:
        before = BUDGET.unread.used
        client = await served.client()
        await client.send(data)
        await served.until(lambda: BUDGET.unread.used > before)
        connection = client.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        client.close()
        await served.until(lambda: not served.connections)
        disconnected.set()
        await asyncio.wait_for(ended.wait(), TIMEOUT_S)
        assert BUDGET.unread.used == before

    play(app, scene)
