"""Turns of the event loop: what runs between two long steps."""

import asyncio
from itertools import pairwise

import pytest

from railtrack.wire.turns import in_turn


async def test_the_loop_serves_others_between_two_steps() -> None:
    events: list[str] = []
    is_over = False

    async def other() -> None:
        while not is_over:
            events.append("other")
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    await asyncio.gather(*(in_turn(events.append, f"step {number}") for number in range(200)))
    is_over = True
    await others
    steps = [at for at, event in enumerate(events) if event != "other"]
    assert [events[at] for at in steps] == [f"step {number}" for number in range(200)]
    assert all(after - before > 1 for before, after in pairwise(steps)), events


async def test_a_step_that_fails_or_is_cancelled_ends_its_turn() -> None:
    def fail() -> None:
        raise KeyError("step")

    first = asyncio.create_task(in_turn(list, "a"))
    failing = asyncio.create_task(in_turn(fail))
    cancelled = asyncio.create_task(in_turn(list, "b"))
    last = asyncio.create_task(in_turn(list, "c"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(KeyError, match="step"):
        await failing
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (await first, await last) == (["a"], ["c"])
