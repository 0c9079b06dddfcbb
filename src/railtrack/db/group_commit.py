"""Group commit: a bounded queue of entries, and one writer that commits all waiting entries in one transaction.

The function that writes a group comes from the resource (api/runs/log.py, api/runs/create.py).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from railtrack.db import Db
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import ApiError, not_processed

GROUP_COST_LIMIT = 4_000
"""Approximate number of rows in one transaction: a few requests of 1,000 metrics, or all single metrics that wait."""
SMALL_COST = 200
"""Entries of at most so many rows do not wait behind larger ones: a group takes them first, up to half its limit."""
QUEUE_COST_LIMIT = 40_000
"""Approximate number of rows that may wait in one worker (at most about 20 MB). Beyond it requests get 429."""
FAILURES_LIMIT = 2
"""Groups that may fail in a row because of the database, before the entries that wait behind them get 429.

After the first one, the next waits for the database to be back (db/recovery.py).
"""
SIZE_CLASSES = 12
"""Groups are counted by size: 1, 2, up to 4, ... up to 2,048 entries, and larger ones together."""


class HasCost(Protocol):
    @property
    def cost(self) -> int:
        """Return the approximate number of rows to write."""


E = TypeVar("E", bound=HasCost)
WriteGroup = Callable[[Db, Sequence[E]], Awaitable[Sequence[ApiError | None]]]
"""Commit the valid entries in one transaction. Return the validation error of each entry, or None.

It is called again with the same entries if it raises Conflict or ConstraintViolation.
"""


class _Waiting(NamedTuple, Generic[E]):
    entry: E
    cost: int
    committed: asyncio.Future[None]


class QueueLength(NamedTuple):
    requests: int
    rows: int


class GroupCommit(Generic[E]):
    """A queue of entries that `write` commits, one transaction at a time."""

    def __init__(self, db: Db, write: WriteGroup[E]) -> None:
        self._db = db
        self._write = write
        self._small: deque[_Waiting[E]] = deque()
        self._large: deque[_Waiting[E]] = deque()
        self._waiting_cost = 0
        self._writer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.rejected = 0
        """Entries that a full queue turned away."""
        self.grouped = 0
        """Entries that were taken from the queue."""
        self.groups = [0] * (SIZE_CLASSES + 1)
        """Groups by size class."""

    @property
    def queue_length(self) -> QueueLength:
        return QueueLength(len(self._small) + len(self._large), self._waiting_cost)

    async def submit(self, entry: E) -> None:
        """Return once the entry is committed.

        Raise the entry's own error, 429 if it was certainly not stored (full queue, no database), or 503 if the
        connection was lost during COMMIT.
        """
        cost = entry.cost
        if self._waiting_cost + cost > QUEUE_COST_LIMIT and self._waiting_cost:
            self.rejected += 1
            raise not_processed("Too many writes are waiting for the database. Nothing was stored. Please retry.")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call, before Python 3.12
        committed: asyncio.Future[None] = self._loop.create_future()
        queue = self._small if cost <= SMALL_COST else self._large
        queue.append(_Waiting(entry, cost, committed))
        self._waiting_cost += cost
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        await committed

    async def _write_all(self) -> None:
        failures = 0
        try:
            while self._small or self._large:
                group = self._next_group()
                self.grouped += len(group)
                self.groups[min((len(group) - 1).bit_length(), SIZE_CLASSES)] += 1
                outage = await self._write_group(group)
                failures = failures + 1 if outage else 0
                if failures >= FAILURES_LIMIT:
                    # Each further group could take as long to fail.
                    self._reject_waiting()
        finally:
            self._writer = None

    def _reject_waiting(self) -> None:
        error = not_processed(
            "The database is not reachable at the moment. This request was waiting for it: nothing was stored. "
            "Please retry."
        )
        for queue in (self._small, self._large):
            _resolve(queue, [error] * len(queue))
            queue.clear()
        self._waiting_cost = 0

    def _next_group(self) -> list[_Waiting[E]]:
        """Take entries from the queue: small ones, then large ones, of which at least one is in each group."""
        group: list[_Waiting[E]] = []
        small, large, cost = self._small, self._large, 0
        limit = GROUP_COST_LIMIT // 2 if large else GROUP_COST_LIMIT
        while small and cost + small[0].cost <= limit:
            group.append(small.popleft())
            cost += group[-1].cost
        if large:
            group.append(large.popleft())
            cost += group[-1].cost
        while large and cost + large[0].cost <= GROUP_COST_LIMIT:
            group.append(large.popleft())
            cost += group[-1].cost
        self._waiting_cost -= cost
        return group

    async def _write_group(self, group: list[_Waiting[E]]) -> bool:
        """Write the group, and resolve its entries. Return True if it failed because of the database's state."""
        try:
            errors = await retry_on_conflict(self._write, self._db, [waiting.entry for waiting in group])
        except ApiError as error:
            if len(group) > 1 and not error.is_transient:
                # The database rejects a value of one entry. Written alone, each succeeds or fails by itself.
                for one in group:
                    await self._write_group([one])
                return False
            _resolve(group, [error] * len(group))
            return error.is_transient
        except Exception as error:
            _resolve(group, [error] * len(group))
        else:
            _resolve(group, errors)
        return False


def _resolve(group: Collection[_Waiting[E]], errors: Sequence[Exception | None]) -> None:
    for waiting, error in zip(group, errors, strict=True):
        if waiting.committed.done():  # cancelled: the client has closed the connection
            continue
        if error is None:
            waiting.committed.set_result(None)
        else:
            waiting.committed.set_exception(error)


class GroupTotals(NamedTuple):
    """Sums over group commits; see GroupCommit."""

    queue_length: QueueLength
    rejected: int
    grouped: int
    groups: Sequence[int]


class GroupCommits:
    """The group commits of a process, one for each function that writes."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._by_function: dict[WriteGroup[Any], GroupCommit[Any]] = {}

    def of(self, write: WriteGroup[E]) -> GroupCommit[E]:
        group_commit = self._by_function.get(write)
        if group_commit is None:
            group_commit = self._by_function[write] = GroupCommit(self._db, write)
        return group_commit

    def totals(self) -> GroupTotals:
        all_ = self._by_function.values()
        lengths = [each.queue_length for each in all_]
        return GroupTotals(
            QueueLength(sum(length.requests for length in lengths), sum(length.rows for length in lengths)),
            sum(each.rejected for each in all_),
            sum(each.grouped for each in all_),
            [sum(each.groups[size] for each in all_) for size in range(SIZE_CLASSES + 1)],
        )
