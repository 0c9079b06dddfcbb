"""Many requests, one commit: a bounded queue in front of one transaction that serves all that wait.

Knows nothing of what is written; the writing function comes from the resource (api/runs/log_group.py).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from railtrack.db import Db
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import ApiError, not_processed

GROUP_WEIGHT = 4_000
"""Rows of one transaction, about: a few requests of 1,000 metrics, or all single metrics that wait."""
QUEUE_WEIGHT = 40_000
"""Rows that may wait in one worker (some 20 MB at the worst); beyond it requests are told to come again."""
SIZES = 12
"""Groups are counted by the power of two that their size doesn't exceed: 1, 2, 4 ... 2,048; larger ones together."""


class Weighed(Protocol):
    @property
    def weight(self) -> int:
        """How much of a group this takes, in rows."""


E = TypeVar("E", bound=Weighed)
Write = Callable[[Db, Sequence[E]], Awaitable[Sequence[ApiError | None]]]
"""Commits the entries at once, all but those it refuses, of which it leaves nothing; returns each's refusal or None.

It is called again with the same entries when it raises Conflict or a violation: nothing was committed then."""


class _Waiting(NamedTuple, Generic[E]):
    entry: E
    weight: int
    done: asyncio.Future[None]


class GroupCommit(Generic[E]):
    """Entries in, each answered after the commit that holds it. One transaction at a time per worker."""

    def __init__(self, db: Db, write: Write[E]) -> None:
        self._db = db
        self._write = write
        self._waiting: deque[_Waiting[E]] = deque()
        self._weight = 0
        self._writer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.refused = 0
        self.grouped = 0
        self.groups = [0] * (SIZES + 1)

    @property
    def waiting(self) -> tuple[int, int]:
        """The requests that wait, and their rows."""
        return len(self._waiting), self._weight

    async def submit(self, entry: E) -> None:
        """Return once the entry is committed.

        Raise the entry's own error, 429 if it was certainly not stored (full queue, no database), or 503 if the
        connection was lost during COMMIT.
        """
        weight = entry.weight
        if self._weight + weight > QUEUE_WEIGHT and self._waiting:
            self.refused += 1
            raise not_processed("Too many writes are waiting for the database. Nothing was stored. Please retry.")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call, before Python 3.12
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(_Waiting(entry, weight, done))
        self._weight += weight
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        await done

    async def _write_all(self) -> None:
        """Groups, one after the other, until nobody waits."""
        try:
            while self._waiting:
                group = self._next_group()
                self.grouped += len(group)
                self.groups[min((len(group) - 1).bit_length(), SIZES)] += 1
                await self._write_group(group)
        finally:
            self._writer = None

    def _next_group(self) -> list[_Waiting[E]]:
        group = [self._waiting.popleft()]
        weight = group[0].weight
        while self._waiting and weight + self._waiting[0].weight <= GROUP_WEIGHT:
            group.append(self._waiting.popleft())
            weight += group[-1].weight
        self._weight -= weight
        return group

    async def _write_group(self, group: list[_Waiting[E]]) -> None:
        try:
            refusals = await retry_on_conflict(self._write, self._db, [waiting.entry for waiting in group])
        except ApiError as error:
            if len(group) > 1 and not error.is_transient:
                # One of them holds what the database does not take; alone, each fails or succeeds for itself.
                for one in group:
                    await self._write_group([one])
                return
            _answer(group, [error] * len(group))
        except Exception as error:
            _answer(group, [error] * len(group))
        else:
            _answer(group, refusals)


def _answer(group: Sequence[_Waiting[E]], refusals: Sequence[Exception | None]) -> None:
    for (_, _, done), refusal in zip(group, refusals, strict=True):
        if done.done():  # the client has gone meanwhile
            continue
        if refusal is None:
            done.set_result(None)
        else:
            done.set_exception(refusal)
