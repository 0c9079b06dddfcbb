"""Turns of the event loop: long steps run one at a time, and the loop serves what else is ready in between."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_turn = asyncio.Lock()


async def in_turn(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `step` returns. Of all steps that wait, one runs in each iteration of the event loop.

    If 200 requests each ran a step of 30 ms as soon as they can, all would run in one iteration: for 6 s the worker
    would answer no health check and send no heartbeat. A cancelled request leaves the queue.
    """
    async with _turn:
        await asyncio.sleep(0)
        return step(*args, **kwargs)
