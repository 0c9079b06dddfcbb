"""How much of all uploads one process holds in memory, and who goes on when that is used up. How a stream becomes parts
is in s3_upload.py.

A part takes memory as its bytes arrive, so an upload that trickles holds what it has sent. What is for everybody may
all be held by such uploads: fast ones then go on in lanes, each of which has room for a whole part.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from railtrack.errors import not_processed

PART_BYTES = 8 * 1024 * 1024
POOL_BYTES = 32 * 1024 * 1024
"""For everybody, in the order in which they ask."""
LANES = 4
"""Parts of clients that send fast, besides the pool: with it 64 MB in one process."""
BLOCK_BYTES = 64 * 1024
"""Memory is counted in blocks of this; the first one of a part is not, so that a small artifact never waits."""
FAST_BYTES_PER_S = 128 * 1024
BEHIND_S = 5.0
"""How far the client of a part in a lane may fall behind that speed before it is dropped. No more is remembered of how
fast or slow a client was.
"""
WAIT_S = 45.0
"""How long an upload waits for memory: less than the client's patience (120 s), with a put after it."""


class Source:
    """The stream of one client, and how fast it sends: the time in which it is kept waiting does not count."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.ahead_s = 0.0
        """By how much it was earlier of late than with FAST_BYTES_PER_S; negative when it was later."""

    async def next(self) -> bytes:
        """The next piece. Raises StopAsyncIteration at the end, and what the stream raises."""
        begun = time.monotonic()
        piece = await anext(self._chunks)
        ahead_s = self.ahead_s + len(piece) / FAST_BYTES_PER_S - (time.monotonic() - begun)
        self.ahead_s = max(-BEHIND_S, min(ahead_s, BEHIND_S))
        return piece


class PartMemory:
    """What the parts of one process may hold."""

    def __init__(self, pool: int = POOL_BYTES, lanes: int = LANES) -> None:
        self._pool = pool
        self._lanes = lanes
        self._waiting: list[Share] = []

    def share(self, source: Source) -> "Share":
        return Share(self, source)

    async def take(self, share: "Share") -> None:
        """Return once the share has the blocks that it lacks, or a lane. Raises REQUEST_LIMIT_EXCEEDED."""
        if not self._waiting and self._give_blocks(share):
            return
        share.ready = asyncio.get_running_loop().create_future()
        self._waiting.append(share)
        self._serve()
        try:
            async with asyncio.timeout(WAIT_S):
                await share.ready
        except TimeoutError:
            raise not_processed("Too many uploads at once. Please retry.") from None
        finally:
            if share in self._waiting:
                self._waiting.remove(share)
                self._serve()

    def give_back(self, blocks: int, lanes: int) -> None:
        self._pool += blocks * BLOCK_BYTES
        self._lanes += lanes
        self._serve()

    def _serve(self) -> None:
        """Let those go on for whom there is room now; who enters a lane may make room in the pool."""
        served = True
        while served:
            served = False
            for share in self._waiting.copy():
                is_first = share is self._waiting[0]
                if (is_first and self._give_blocks(share)) or self._give_lane(share):
                    self._waiting.remove(share)
                    share.ready.set_result(None)
                    served = True

    def _give_blocks(self, share: "Share") -> bool:
        if share.lacks * BLOCK_BYTES > self._pool:
            return False
        self._pool -= share.lacks * BLOCK_BYTES
        share.blocks += share.lacks
        return True

    def _give_lane(self, share: "Share") -> bool:
        if not self._lanes or share.source.ahead_s < 0:
            return False
        self._lanes -= 1
        self._pool += share.enter_lane() * BLOCK_BYTES
        return True


class Share:
    """The memory of one part."""

    def __init__(self, memory: PartMemory, source: Source) -> None:
        self.source = source
        self.blocks = 0
        self.lacks = 0
        self.ready: asyncio.Future[None]
        self._memory = memory
        self._in_lane = False

    async def hold(self, size: int) -> None:
        """Return once the part may have `size` bytes. Raises REQUEST_LIMIT_EXCEEDED when that takes too long."""
        self.lacks = (size - 1) // BLOCK_BYTES - self.blocks
        if not self._in_lane and self.lacks > 0:
            await self._memory.take(self)

    async def next(self) -> bytes:
        """The source's next piece. Raises REQUEST_LIMIT_EXCEEDED for a source that has become slow in a lane."""
        if not self._in_lane:
            return await self.source.next()
        try:
            async with asyncio.timeout(self.source.ahead_s + BEHIND_S):
                return await self.source.next()
        except TimeoutError:
            raise not_processed("The upload is too slow for a busy server. Please retry.") from None

    def enter_lane(self) -> int:
        """The blocks that it gives up, since a lane has room for all of a part."""
        given, self.blocks = self.blocks, 0
        self._in_lane = True
        return given

    def free(self) -> None:
        """Give all back."""
        blocks, lanes = self.blocks, int(self._in_lane)
        self.blocks, self._in_lane = 0, False
        if blocks or lanes:
            self._memory.give_back(blocks, lanes)
