"""Which connections are admitted when there are many: eviction, the reserve for probes, the limit for a client."""

import asyncio

import pytest
from tests.http_server.served import GET, LAST, Client, Receive, Send, Served, error_of, mirror, play, reply

from railtrack.byte_budget import BUDGET
from railtrack.http_server import limits

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LIMIT = 20


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_LIMIT", LIMIT)
    monkeypatch.setattr(limits, "PROBES_RESERVE", 2)
    monkeypatch.setattr(limits, "REJECTED_RESERVE", 2)


async def connect(served: Served, count: int) -> list[Client]:
    """Open connections of different ages; the event loop's clock has milliseconds."""
    clients = []
    for _ in range(count):
        clients.append(await served.client())
        await asyncio.sleep(0.002)
    await served.until(lambda: len(served.connections) >= count)
    return clients


async def stay_busy(served: Served, count: int) -> list[Client]:
    clients = await connect(served, count)
    for client in clients:
        await client.send(GET)
    await served.until(lambda: sum(one.cycle is not None for one in served.connections) == count)
    return clients


async def busy(scope: dict[str, object], receive: Receive, send: Send) -> None:
    if scope["path"] != "/health":
        await asyncio.Event().wait()
    await reply(send, b"OK")


def test_the_silent_connection_that_waited_longest_gives_way_and_is_answered() -> None:
    async def scene(served: Served) -> None:
        evicted = BUDGET.evicted_connections
        silent = await connect(served, LIMIT)
        assert (await served.exchange(LAST)).startswith(b"HTTP/1.1 200 OK")
        assert error_of(await silent[0].rest()) == (503, "TEMPORARILY_UNAVAILABLE")
        assert BUDGET.evicted_connections == evicted + 1
        await silent[1].send(GET)
        assert (await silent[1].response())[0] == 200

    play(mirror, scene)


def test_an_idle_connection_gives_way_without_a_response_after_those_that_had_no_request() -> None:
    async def scene(served: Served) -> None:
        clients = await connect(served, LIMIT)
        for client in clients[:-1]:
            await client.send(GET)
            await client.response()
            await asyncio.sleep(0.002)
        for connection in served.connections:
            connection._deadline -= 10
        newcomers = []  # kept: a client without references closes its connection
        for expected in (clients[-1], clients[0], clients[1]):
            newcomers.append(await served.client())
            await newcomers[-1].send(GET)
            assert (await newcomers[-1].response())[0] == 200
            rest = await expected.rest()
            assert rest == b"" if expected is not clients[-1] else error_of(rest)[0] == 503

    play(mirror, scene)


def test_an_idle_connection_gives_way_after_all_that_waited_before_are_in_use() -> None:
    async def scene(served: Served) -> None:
        evicted = BUDGET.evicted_connections
        silent = await connect(served, LIMIT)
        idle = await served.client()
        await idle.send(HEALTH)
        assert (await idle.response())[0] == 200
        for client in silent[1:]:
            await client.send(GET)
        await served.until(lambda: sum(one.cycle is not None for one in served.connections) == LIMIT - 1)
        for connection in served.connections:
            connection._deadline -= 10
        newcomer = await served.client()
        assert await idle.rest() == b""
        assert BUDGET.evicted_connections == evicted + 2
        await newcomer.send(GET)
        await served.until(lambda: sum(one.cycle is not None for one in served.connections) == LIMIT)

    play(busy, scene)


def test_probes_are_answered_while_all_connections_are_busy_and_the_rest_gets_429_or_503() -> None:
    async def scene(served: Served) -> None:
        await stay_busy(served, LIMIT)
        for _ in range(3):
            client = await served.client()
            await client.send(HEALTH)
            assert (await client.response())[0] == 200
            assert await client.rest() == b""
        await served.until(lambda: len(served.connections) == LIMIT)
        answer = await served.exchange(GET)
        assert error_of(answer) == (429, "REQUEST_LIMIT_EXCEEDED")
        assert b"retry-after" not in answer.lower()
        await served.until(lambda: len(served.connections) == LIMIT)
        reserve = [await stay_reading(served) for _ in range(2)]
        assert error_of(await served.exchange(b"")) == (503, "TEMPORARILY_UNAVAILABLE")
        for client in reserve:
            client.close()

    play(busy, scene)


def test_a_connection_of_the_reserve_is_served_if_another_gives_way_before_its_request_comes() -> None:
    async def scene(served: Served) -> None:
        await stay_busy(served, LIMIT - 1)
        idle = await served.client()
        await idle.send(HEALTH)
        assert (await idle.response())[0] == 200  # it is not old enough to give way yet
        newcomer = await served.client()
        await served.until(lambda: len(served.connections) == LIMIT + 1)
        for connection in served.connections:
            connection._deadline -= 10
        await newcomer.send(GET)
        assert await idle.rest() == b""
        await served.until(lambda: sum(one.cycle is not None for one in served.connections) == LIMIT)

    play(busy, scene)


async def stay_reading(served: Served) -> Client:
    """Open a connection with a head that is incomplete but not old enough to give way."""
    client = await served.client()
    await client.send(HEALTH[:10])
    count = len(served.connections)
    await served.until(lambda: any(one._is_reading_head for one in served.connections) and count > LIMIT)
    return client


def test_a_client_has_a_limit_of_its_own_and_gives_way_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_CONNECTIONS_LIMIT", 5)

    async def scene(served: Served) -> None:
        clients = await connect(served, 5)
        newcomer = await served.client()
        assert error_of(await clients[0].rest())[0] == 503
        await newcomer.send(GET)
        assert (await newcomer.response())[0] == 200
        await served.until(lambda: len(served.connections) == 5)

    play(mirror, scene)


def test_a_trusted_proxy_is_not_limited_as_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_CONNECTIONS_LIMIT", 5)

    async def scene(served: Served) -> None:
        served.state.client_of = lambda address: ""
        await connect(served, 10)
        assert len(served.connections) == 10

    play(mirror, scene)
