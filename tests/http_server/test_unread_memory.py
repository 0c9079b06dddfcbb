"""Requests that are incomplete while the share for unread bytes is full: whose are rejected, and what is freed then."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from tests.http_server.served import App, Client, Receive, Send, Served, error_of, play, read, reply, upload

from railtrack.byte_budget import BUDGET
from railtrack.http_server import limits
from railtrack.http_server.governed_protocol import GovernedProtocol
from railtrack.http_server.pace import BODY_PATIENCE_S

LENGTH = 100_000
PART = 60_000


def body_of(sender: str) -> bytes:
    """Return the head of a body of LENGTH bytes. For `body_app`, the path is the client that sends it."""
    return upload(LENGTH).replace(b"PUT / ", f"PUT /{sender} ".encode())


@pytest.fixture
def taking() -> Iterator[asyncio.Event]:
    """Return an event that lets applications take the bodies."""
    yield asyncio.Event()
    BUDGET.bodies._penalties.clear()


@pytest.fixture
def body_app(taking: asyncio.Event) -> App:
    """Return an application that reads as wire/request.py does: only JSON bodies have a client of the budget."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] != "/streamed":
            scope["body_client"] = scope["path"][1:]
        await taking.wait()
        await reply(send, b"%d" % len(await read(receive)))

    return app


async def holding(served: Served, sender: str) -> tuple[Client, GovernedProtocol]:
    """Return a client of which a part of its body is unread, and its connection."""
    others = served.connections
    client = await served.client()
    await client.send(body_of(sender) + bytes(PART))
    await served.until(lambda: any(one not in others and one.unread_bytes for one in served.connections))
    [connection] = [one for one in served.connections if one not in others]
    await served.until(lambda: sender == "streamed" or connection.sender == sender)
    return client, connection


def test_a_client_at_full_speed_is_served_while_stalled_bodies_of_another_give_way(
    monkeypatch: pytest.MonkeyPatch, body_app: App, taking: asyncio.Event
) -> None:
    async def scene(served: Served) -> None:
        stalled = [await holding(served, "attacker") for _ in range(8)]
        monkeypatch.setattr(BUDGET.unread, "limit", int(BUDGET.unread.used / limits.OVERDRAFT))
        honest = await served.client()
        honest.writer.write(body_of("honest") + bytes(LENGTH))
        await served.until(lambda: len(served.connections) < len(stalled) + 1 or any(map(is_draining, stalled)))
        rejected = [one for one in stalled if is_draining(one)]
        assert 0 < len(rejected) < len(stalled)
        assert BUDGET.unread.used <= limits.RELIEVED * BUDGET.unread.limit
        for client, _ in rejected:
            assert error_of(await client.rest()) == (429, "REQUEST_LIMIT_EXCEEDED")
        taking.set()
        assert (await honest.response())[::2] == (200, b"100000")

    play(body_app, scene)


def is_draining(holder: tuple[Client, GovernedProtocol]) -> bool:
    return holder[1]._draining


def test_clients_with_a_penalty_give_way_first_and_bodies_that_are_streamed_last(body_app: App) -> None:
    async def scene(served: Served) -> None:
        for sender in ("streamed", "streamed", "streamed", "few", "many", "many", "stopped"):
            await holding(served, sender)
        BUDGET.bodies.penalize("stopped")
        ranked = served.state.ranked_by_unread()
        assert [one.sender for one in ranked[:4]] == ["stopped", "many", "many", "few"]
        assert [one.is_streamed for one in ranked] == 4 * [False] + 3 * [True]

    play(body_app, scene)


def test_what_the_application_took_is_counted_until_it_takes_more(taking: asyncio.Event) -> None:
    taken: list[int] = []

    async def app(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            taken.append(len(message["body"]))
            more = message["more_body"]
            await taking.wait()
        await reply(send, b"%d" % sum(taken))

    async def scene(served: Served) -> None:
        client = await served.client()
        client.writer.write(upload(5_000_000) + bytes(5_000_000))
        await served.until(
            lambda: any(one.flow.read_paused and one.cycle.taken_bytes for one in served.connections if one.cycle)
        )
        [connection] = served.connections
        assert BUDGET.unread.used == connection.unread_bytes == sum(taken) + served.held().bodies
        taking.set()
        assert (await client.response())[2] == b"5000000"
        assert BUDGET.unread.used == 0

    play(app, scene)


def test_what_a_rejected_body_held_is_freed_at_once_and_without_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch, taking: asyncio.Event
) -> None:
    """Waiting for it, some thousand rejected bodies were 60 MB."""
    held: list[weakref.ref[Held]] = []

    async def app(scope: dict[str, Any], _receive: Receive, _send: Send) -> None:
        scope["body_client"] = "x"
        chunk = Held()
        held.append(weakref.ref(chunk))
        await taking.wait()

    async def scene(served: Served) -> None:
        client = await served.client()
        await client.send(upload(LENGTH) + b"x")
        await served.until(lambda: bool(held))
        gc.disable()
        try:
            for seconds in (0, BODY_PATIENCE_S + 1):
                served.check(seconds)
            assert error_of(await client.rest()) == (408, "BAD_REQUEST")
            await served.until(lambda: held[0]() is None)
        finally:
            gc.enable()

    monkeypatch.setattr(limits, "DISCONNECT_GRACE_S", 3600)
    play(app, scene)


class Held:
    """What a request has in memory."""
