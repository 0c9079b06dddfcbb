"""The memory that clients may make one process hold, in bytes: one budget, divided into shares.

A full share delays or rejects what would go into it, and takes nothing from the others. What a request or a connection
costs at least, a few kB, is not counted here: the limit of connections bounds it (http_server/limits.py).
"""

import asyncio
import time
from typing import NamedTuple, TypeVar

from railtrack.errors import ApiError, not_processed

N = TypeVar("N", int, float)

MB = 1 << 20
DEFAULT_TOTAL = 160 * MB
UPLOADS_LIMIT = 64 * MB
SMALL = 384 * 1024
"""Less than a piece of a long list (wire/list_response.py)."""
SMALL_ROOM = 4 * MB
"""For small reservations alone; less in a share of less than four times as much."""
WAIT_TIMEOUT_S = 10.0
"""How long a reservation waits for room. The client's own patience, 120 s, must cover the request after it."""


CLIENTS_REMEMBERED = 1000
"""Of each share, for turns and for penalties."""
PENALTY_S = 60.0
"""How long a client comes last that stopped sending while others waited for its memory."""


class _Waiter(NamedTuple):
    size: int
    client: str
    granted: asyncio.Future[None]


class Share:
    """A part of the budget. Reservations that do not fit wait.

    Small ones, up to SMALL bytes, come first, and a part of the share is for them alone: a few large requests that make
    no progress must not delay the many that take milliseconds. Of several small ones, the newest comes first. In an
    overload, that serves some clients in time, while the order of arrival would let each wait until it gives up. Of
    several large ones, that of the client comes first whose last turn was the longest ago: a client with hundreds of
    stalled bodies has one turn at a time. Clients with a penalty come last.
    """

    def __init__(self) -> None:
        self.limit = 0
        self.used = 0
        self.rejected = 0
        """Requests that got no room in time."""
        self._waiting_small: list[_Waiter] = []
        self._waiting_large: list[_Waiter] = []
        self._turns = 0
        self._last_turns: dict[str, int] = {}
        """The numbers of clients' last large reservations, the oldest first."""
        self._penalties: dict[str, float] = {}
        """When the penalties of clients end, by time.monotonic(), the oldest first."""

    @property
    def largest(self) -> int:
        """Return the limit for large reservations together. What would exceed it alone is reserved as this much."""
        return self.limit - min(SMALL_ROOM, self.limit // 4)

    @property
    def is_contended(self) -> bool:
        """True if reservations wait for room, or more than the limit is used."""
        return bool(self._waiting_small or self._waiting_large) or self.used > self.limit

    def try_reserve(self, size: int, limit: int | None = None) -> bool:
        """Reserve `size` bytes if that is possible at once, and leaves the share at or below `limit`."""
        if self.used + size > (self._limit(size) if limit is None else limit) or self._queue(size):
            return False
        self.used += size
        return True

    async def reserve(self, size: int, client: str = "") -> None:
        """Reserve `size` bytes for a client. Raise REQUEST_LIMIT_EXCEEDED if there is no room within WAIT_TIMEOUT_S."""
        if self.try_reserve(size):
            if size > SMALL:
                self._count_turn(client)
            return
        waiter, queue = _Waiter(size, client, asyncio.get_running_loop().create_future()), self._queue(size)
        queue.append(waiter)
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await waiter.granted
        except BaseException as error:
            if waiter.granted.done() and not waiter.granted.cancelled():  # but this task was cancelled meanwhile
                self.release(size)
            elif waiter in queue:
                queue.remove(waiter)
                self._grant()
            if isinstance(error, TimeoutError):
                raise self.rejection() from None
            raise

    def release(self, size: int) -> None:
        self.used -= size
        if self._waiting_small or self._waiting_large:
            self._grant()

    def rejection(self) -> ApiError:
        """Count a rejected request, and return its error."""
        self.rejected += 1
        return not_processed("The server's memory for requests is in use. Nothing was stored. Please retry.")

    def _limit(self, size: int) -> int:
        return self.limit if size <= SMALL else self.largest

    def _queue(self, size: int) -> list[_Waiter]:
        return self._waiting_small if size <= SMALL else self._waiting_large

    def _grant(self) -> None:
        while self._waiting_small and self._grant_one(self._waiting_small, -1):
            pass
        while self._waiting_large and self._grant_one(self._waiting_large, self._next_large()):
            pass

    def _grant_one(self, queue: list[_Waiter], at: int) -> bool:
        """Grant a reservation. Return False if there is no room for it."""
        size, client, granted = queue[at]
        if self.used + size > self._limit(size):
            return False
        del queue[at]
        if not granted.cancelled():
            self.used += size
            granted.set_result(None)
            if size > SMALL:
                self._count_turn(client)
        return True

    def penalize(self, client: str) -> None:
        """Let the client's large reservations come after those of others for PENALTY_S."""
        _set_last(self._penalties, client, time.monotonic() + PENALTY_S)

    def is_penalized(self, client: str) -> bool:
        return self._penalties.get(client, 0.0) > time.monotonic()

    def _next_large(self) -> int:
        now = time.monotonic()
        ranks = [
            (self._penalties.get(waiter.client, 0.0) > now, self._last_turns.get(waiter.client, 0))
            for waiter in self._waiting_large
        ]
        return ranks.index(min(ranks))

    def _count_turn(self, client: str) -> None:
        self._turns += 1
        _set_last(self._last_turns, client, self._turns)


def _set_last(entries: dict[str, N], key: str, value: N) -> None:
    """Set an entry as the last one. Remove the first if there are more than CLIENTS_REMEMBERED."""
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > CLIENTS_REMEMBERED:
        del entries[next(iter(entries))]


class ByteBudget:
    """The shares of a process. docs/adr/0012 has the reasons for them."""

    def __init__(self) -> None:
        self.unread = Share()
        """Incomplete heads, pipelined requests, and parts of bodies that the application has not received yet."""
        self.bodies = Share()
        """JSON bodies, from their first part until the response is sent."""
        self.decoded = Share()
        """What becomes of these bodies when they are decoded."""
        self.responses = Share()
        """Responses, while they are produced and until they are sent."""
        self.uploads = Share()
        """Parts of uploads to S3. artifacts/s3/upload_memory.py decides who waits for this share."""
        self.rejected_connections = 0
        self.evicted_connections = 0
        self.resize(DEFAULT_TOTAL)

    def resize(self, total: int) -> None:
        """Divide `total` bytes among the shares."""
        self.uploads.limit = min(UPLOADS_LIMIT, total * 2 // 5)
        for share in (self.unread, self.bodies, self.decoded, self.responses):
            share.limit = (total - self.uploads.limit) // 4

    @property
    def shares(self) -> tuple[Share, ...]:
        return self.unread, self.bodies, self.decoded, self.responses, self.uploads

    @property
    def is_contended(self) -> bool:
        """True if slow clients should give way: they may occupy a share that others wait for."""
        return self.unread.is_contended or self.bodies.is_contended or self.responses.is_contended

    @property
    def used(self) -> int:
        return sum(share.used for share in self.shares)

    @property
    def limit(self) -> int:
        return sum(share.limit for share in self.shares)

    @property
    def rejected(self) -> int:
        """Return the number of requests that were rejected because a share was full."""
        return sum(share.rejected for share in self.shares)


BUDGET = ByteBudget()
"""The budget of this process. Workers inherit its limits from their master, which has no clients."""
