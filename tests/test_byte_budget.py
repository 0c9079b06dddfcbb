"""The budget of memory for requests: shares, who waits, and who comes first."""

import asyncio

import pytest

from railtrack import byte_budget
from railtrack.byte_budget import MB, SMALL, ByteBudget, Share
from railtrack.errors import ApiError


def share(limit: int) -> Share:
    made = Share()
    made.limit = limit
    return made


def test_the_shares_have_the_whole_budget_however_small_it_is() -> None:
    budget = ByteBudget()
    for total in (40 * MB, 128 * MB, 320 * MB):
        budget.resize(total)
        assert total - 4 <= budget.limit <= total
        assert min(one.limit for one in budget.shares) >= total // 10


async def test_a_small_reservation_waits_for_room_and_the_newest_comes_first() -> None:
    memory = share(2 * MB)
    assert memory.try_reserve(2 * MB, 2 * MB)
    order: list[int] = []

    async def reserve(number: int) -> None:
        await memory.reserve(SMALL)
        order.append(number)

    waiting = [asyncio.create_task(reserve(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert (order, memory.is_contended) == ([], True)
    memory.release(2 * MB)
    await asyncio.wait(waiting)
    assert order == [2, 1, 0]
    assert (memory.used, memory.is_contended) == (3 * SMALL, False)


async def test_clients_take_turns_with_large_reservations() -> None:
    """A client that comes later than a hundred reservations of two others has the next turn."""
    memory = share(5 * MB)
    await memory.reserve(3 * MB, "a")
    order: list[str] = []

    async def reserve(client: str) -> None:
        await memory.reserve(3 * MB, client)
        order.append(client)
        memory.release(3 * MB)

    waiting = [asyncio.create_task(reserve(client)) for client in [*"ab" * 50, "honest"]]
    await asyncio.sleep(0)
    memory.release(3 * MB)
    await asyncio.wait(waiting)
    assert order[:6] == ["b", "honest", "a", "b", "a", "b"]
    assert (len(order), memory.used) == (101, 0)


async def test_a_client_with_a_penalty_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = share(5 * MB)
    for client in ("honest", "stalled", "other"):
        await memory.reserve(3 * MB, client)
        memory.release(3 * MB)
    memory.penalize("stalled")
    await memory.reserve(3 * MB)
    order: list[str] = []

    async def reserve(client: str) -> None:
        await memory.reserve(3 * MB, client)
        order.append(client)
        memory.release(3 * MB)

    waiting = [asyncio.create_task(reserve(client)) for client in ("stalled", "stalled", "other", "honest")]
    await asyncio.sleep(0)
    memory.release(3 * MB)
    await asyncio.wait(waiting)
    assert order == ["honest", "other", "stalled", "stalled"]
    monkeypatch.setattr(byte_budget, "PENALTY_S", 0.0)
    memory.penalize("stalled")
    await memory.reserve(3 * MB, "new")
    waiting = [asyncio.create_task(reserve(client)) for client in ("new", "stalled")]
    await asyncio.sleep(0)
    memory.release(3 * MB)
    await asyncio.wait(waiting)
    assert order[4:] == ["stalled", "new"]


async def test_no_more_clients_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "CLIENTS_REMEMBERED", 10)
    memory = share(5 * MB)
    for number in range(50):
        await memory.reserve(MB, str(number))
        memory.release(MB)
        memory.penalize(str(number))
    assert (len(memory._last_turns), len(memory._penalties)) == (10, 10)


async def test_large_reservations_leave_room_for_small_ones_which_overtake_them() -> None:
    memory = share(16 * MB)
    await memory.reserve(memory.largest)
    large = asyncio.create_task(memory.reserve(SMALL + 1))
    await asyncio.sleep(0)
    while memory.try_reserve(SMALL):
        pass
    assert memory.limit - memory.used < SMALL
    small = asyncio.create_task(memory.reserve(SMALL))
    await asyncio.sleep(0)
    memory.release(SMALL)
    await small
    assert not large.done()
    memory.release(8 * MB)
    await large


async def test_a_reservation_that_gets_no_room_in_time_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "WAIT_TIMEOUT_S", 0.05)
    memory = share(2 * SMALL)
    await memory.reserve(SMALL)
    with pytest.raises(ApiError) as caught:
        await memory.reserve(2 * SMALL)
    assert (caught.value.status, caught.value.code) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert (memory.used, memory.rejected, memory.is_contended) == (SMALL, 1, False)


async def test_a_cancelled_reservation_holds_nothing_whenever_it_was_cancelled() -> None:
    memory = share(2 * SMALL)
    await memory.reserve(SMALL)
    await memory.reserve(SMALL)
    for release_first in (True, False):
        waiting = asyncio.create_task(memory.reserve(SMALL))
        following = asyncio.create_task(memory.reserve(SMALL))
        await asyncio.sleep(0)
        if release_first:
            memory.release(SMALL)  # granted, but the task has not continued yet
        waiting.cancel()
        if not release_first:
            memory.release(SMALL)
        await following
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert memory.used == memory.limit
