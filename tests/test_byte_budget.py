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
    for total in (40 * MB, 160 * MB, 320 * MB):
        budget.resize(total)
        assert total - 4 <= budget.limit <= total
        assert min(one.limit for one in budget.shares) >= total // 10


async def test_a_reservation_waits_for_room_and_the_newest_comes_first() -> None:
    memory = share(8 * MB)
    await memory.reserve(5 * MB)
    order: list[int] = []

    async def reserve(number: int, size: int) -> None:
        await memory.reserve(size)
        order.append(number)

    waiting = [asyncio.create_task(reserve(number, 2 * MB)) for number in range(3)]
    await asyncio.sleep(0)
    assert (order, memory.is_contended) == ([], True)
    memory.release(5 * MB)
    await asyncio.wait(waiting)
    assert order == [2, 1, 0]
    assert (memory.used, memory.is_contended) == (6 * MB, False)


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
