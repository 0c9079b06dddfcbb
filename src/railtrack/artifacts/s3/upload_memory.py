"""The memory that the uploads of one process use together, and which of them continue when it is used up.

A part takes memory as its bytes arrive, so a slow upload holds only what it has sent. If slow uploads hold the whole
pool, fast ones continue in lanes, each with room for a whole part. How a stream becomes parts is in upload.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from railtrack.byte_budget import BUDGET
from railtrack.errors import not_processed

PART_BYTES = 8 * 1024 * 1024
POOL_BYTES = 32 * 1024 * 1024
"""For all uploads, in the order in which they ask. Less if the budget's share is smaller than 64 MB."""
LANES = 4
"""Parts of clients that send fast, in addition to the pool; fewer if they would exceed half of the budget's share."""
BLOCK_BYTES = 64 * 1024
"""Memory is granted in blocks of this size. The first block of a part is free, so that a small artifact never waits."""
FAST_BYTES_PER_S = 128 * 1024
MAX_AHEAD_S = 5.0
"""The most that a client's lead or delay at that speed counts for: no older history matters. A client in a lane that
falls further behind is rejected.
"""
WAIT_TIMEOUT_S = 45.0
"""How long an upload waits for memory. The client waits 120 s, and the bytes must reach the store after this."""


class ClientStream:
    """The body that one client sends, and how fast it does. Time in which the server does not read does not count."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.ahead_s = 0.0
        """How far the client is ahead of FAST_BYTES_PER_S; negative if it is behind."""

    async def next(self) -> bytes:
        """Return the next chunk. Raise StopAsyncIteration at the end, and what the stream raises."""
        start = time.monotonic()
        chunk = await anext(self._chunks)
        ahead_s = self.ahead_s + len(chunk) / FAST_BYTES_PER_S - (time.monotonic() - start)
        self.ahead_s = max(-MAX_AHEAD_S, min(ahead_s, MAX_AHEAD_S))
        return chunk


class UploadMemory:
    """The memory that all uploads of a process share for their parts."""

    def __init__(self, pool: int | None = None, lanes: int | None = None) -> None:
        share = BUDGET.uploads.limit
        self._lanes = max(1, min(LANES, share // 2 // PART_BYTES)) if lanes is None else lanes
        self._pool = min(POOL_BYTES, share - self._lanes * PART_BYTES) if pool is None else pool
        self._waiting: list[Reservation] = []

    def reservation(self, stream: ClientStream) -> "Reservation":
        return Reservation(self, stream)

    async def acquire(self, reservation: "Reservation") -> None:
        """Return once the reservation has its missing blocks, or a lane. Raise REQUEST_LIMIT_EXCEEDED on timeout."""
        if not self._waiting and self._grant_blocks(reservation):
            return
        reservation.granted = asyncio.get_running_loop().create_future()
        self._waiting.append(reservation)
        self._grant_waiting()
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await reservation.granted
        except TimeoutError:
            BUDGET.uploads.rejected += 1
            raise not_processed("Too many uploads at once. Please retry.") from None
        finally:
            if reservation in self._waiting:
                self._waiting.remove(reservation)
                self._grant_waiting()

    def release(self, blocks: int, lanes: int) -> None:
        self._pool += blocks * BLOCK_BYTES
        self._lanes += lanes
        BUDGET.uploads.used -= blocks * BLOCK_BYTES + lanes * PART_BYTES
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        """Grant memory to those for whom there is room now. One that enters a lane may make room in the pool."""
        has_granted = True
        while has_granted:
            has_granted = False
            for reservation in self._waiting.copy():
                is_first = reservation is self._waiting[0]
                if (is_first and self._grant_blocks(reservation)) or self._grant_lane(reservation):
                    self._waiting.remove(reservation)
                    reservation.granted.set_result(None)
                    has_granted = True

    def _grant_blocks(self, reservation: "Reservation") -> bool:
        if reservation.missing_blocks * BLOCK_BYTES > self._pool:
            return False
        self._pool -= reservation.missing_blocks * BLOCK_BYTES
        BUDGET.uploads.used += reservation.missing_blocks * BLOCK_BYTES
        reservation.blocks += reservation.missing_blocks
        return True

    def _grant_lane(self, reservation: "Reservation") -> bool:
        if not self._lanes or reservation.stream.ahead_s < 0:
            return False
        blocks = reservation.enter_lane()
        self._lanes -= 1
        self._pool += blocks * BLOCK_BYTES
        BUDGET.uploads.used += PART_BYTES - blocks * BLOCK_BYTES
        return True


class Reservation:
    """The memory of one part."""

    def __init__(self, memory: UploadMemory, stream: ClientStream) -> None:
        self.stream = stream
        self.blocks = 0
        self.missing_blocks = 0
        self.granted: asyncio.Future[None]
        self._memory = memory
        self._in_lane = False

    async def grow(self, size: int) -> None:
        """Return once the part may have `size` bytes. Raise REQUEST_LIMIT_EXCEEDED if that takes too long."""
        self.missing_blocks = (size - 1) // BLOCK_BYTES - self.blocks
        if not self._in_lane and self.missing_blocks > 0:
            await self._memory.acquire(self)

    async def next(self) -> bytes:
        """Return the stream's next chunk. Raise REQUEST_LIMIT_EXCEEDED for a client that became slow in a lane."""
        if not self._in_lane:
            return await self.stream.next()
        try:
            async with asyncio.timeout(self.stream.ahead_s + MAX_AHEAD_S):
                return await self.stream.next()
        except TimeoutError:
            raise not_processed("The upload is too slow for a busy server. Please retry.") from None

    def enter_lane(self) -> int:
        """Return the number of blocks that it no longer needs, since a lane has room for a whole part."""
        blocks, self.blocks = self.blocks, 0
        self._in_lane = True
        return blocks

    def release(self) -> None:
        blocks, lanes = self.blocks, int(self._in_lane)
        self.blocks, self._in_lane = 0, False
        if blocks or lanes:
            self._memory.release(blocks, lanes)
