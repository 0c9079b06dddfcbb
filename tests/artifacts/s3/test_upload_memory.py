"""Slow uploads beside fast ones: what they hold, who waits, and who is dropped."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from tests.servers.processes import TIMEOUT_S
from tests.servers.s3_quirks import QuirkyS3

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.upload_memory import BLOCK_BYTES, LANES, PART_BYTES, POOL_BYTES, PartMemory, Share, Source
from railtrack.errors import ApiError

SLOW = 50


class Trickle:
    """A client that sends `first` at once, and then a little now and then, until it is told to end."""

    def __init__(self, first: int, pause: float = 0.05) -> None:
        self._first = first
        self._pause = pause
        self.sent = asyncio.Event()
        """All of `first` was taken."""
        self.ends = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self._first // BLOCK_BYTES):
            yield b"x" * BLOCK_BYTES
        self.sent.set()
        while not self.ends.is_set():
            await asyncio.sleep(self._pause)
            yield b"x" * 50


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), BLOCK_BYTES):
        yield content[at : at + BLOCK_BYTES]


async def slow_source() -> Source:
    """One that has kept its server waiting."""

    async def chunks() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.02)
        yield b"x"

    source = Source(chunks())
    await source.next()
    assert source.ahead_s < 0
    return source


def fast_source() -> Source:
    return Source(pieces(b"x" * PART_BYTES))


async def holding(memory: PartMemory, source: Source, size: int) -> Share:
    share = memory.share(source)
    await share.hold(size)
    return share


@pytest.fixture
def nobody_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it waits for memory: a test ends sooner."""
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_S", 2 * TIMEOUT_S)


async def test_fast_uploads_work_at_once_beside_many_slow_ones_that_fill_the_pool(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, nobody_is_dropped: None
) -> None:
    store = quirky_stores.proxied().store
    first = POOL_BYTES // SLOW // BLOCK_BYTES * BLOCK_BYTES
    clients = [Trickle(first) for _ in range(SLOW)]
    slow = [asyncio.create_task(store.put(f"slow/{at}", client.chunks())) for at, client in enumerate(clients)]
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(client.sent.wait() for client in clients))
    large = os.urandom(2 * PART_BYTES + 5)
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(store.put(f"fast/{at}", pieces(large)) for at in range(6)))
    assert all(quirky.objects[f"fast/{at}"] == large for at in range(6))
    assert not any(task.done() for task in slow)
    for client in clients:
        client.ends.set()
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*slow)
    assert all(len(quirky.objects[f"slow/{at}"]) > first for at in range(SLOW))


async def test_many_fast_uploads_at_once_all_come_to_their_end(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, nobody_is_dropped: None
) -> None:
    """Together they want far more than there is, and none of them gives back what it holds before its part is full."""
    store = quirky_stores.proxied().store
    content = os.urandom(PART_BYTES + 10)
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(store.put(f"{at}", pieces(content)) for at in range(30)))
    assert [len(stored) for stored in quirky.objects.values()] == [len(content)] * 30
    assert quirky.uploads == {}


async def test_memory_is_bounded_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_S", 0.05)
    memory = PartMemory()
    held = await asyncio.gather(
        *(holding(memory, fast_source(), PART_BYTES) for _ in range(20)), return_exceptions=True
    )
    granted = [share for share in held if isinstance(share, Share)]
    assert len(granted) == POOL_BYTES // (PART_BYTES - BLOCK_BYTES) + LANES
    for refusal in held:
        if not isinstance(refusal, Share):
            assert isinstance(refusal, ApiError)
            assert refusal.status == 429
    for share in granted:
        share.free()
    again = await asyncio.gather(*(holding(memory, fast_source(), PART_BYTES) for _ in range(len(granted))))
    assert len(again) == len(granted)


async def test_the_first_block_never_waits() -> None:
    memory = PartMemory(pool=0, lanes=0)
    async with asyncio.timeout(TIMEOUT_S):
        await holding(memory, await slow_source(), BLOCK_BYTES)


async def test_a_slow_upload_waits_for_the_pool_and_is_dropped_when_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = PartMemory(pool=2 * BLOCK_BYTES, lanes=1)
    first = await holding(memory, await slow_source(), 3 * BLOCK_BYTES)
    waiting = asyncio.create_task(holding(memory, await slow_source(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    first.free()
    second = await waiting
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_S", 0.05)
    with pytest.raises(ApiError, match="Too many uploads at once"):
        await holding(memory, await slow_source(), 3 * BLOCK_BYTES)
    second.free()
    await holding(memory, await slow_source(), 3 * BLOCK_BYTES)


async def test_who_waits_for_little_comes_behind_who_waits_for_much() -> None:
    memory = PartMemory(pool=4 * BLOCK_BYTES, lanes=0)
    held = await holding(memory, await slow_source(), 3 * BLOCK_BYTES)
    much = asyncio.create_task(holding(memory, await slow_source(), 5 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    little = asyncio.create_task(holding(memory, await slow_source(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not much.done()
    assert not little.done()
    held.free()
    (await much).free()
    await little


async def test_who_stops_waiting_lets_the_next_go_on() -> None:
    memory = PartMemory(pool=4 * BLOCK_BYTES, lanes=0)
    await holding(memory, await slow_source(), 3 * BLOCK_BYTES)
    much = asyncio.create_task(holding(memory, await slow_source(), 5 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    little = asyncio.create_task(holding(memory, await slow_source(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    much.cancel()
    async with asyncio.timeout(TIMEOUT_S):
        await little


async def test_entering_a_lane_makes_room_in_the_pool() -> None:
    memory = PartMemory(pool=2 * BLOCK_BYTES, lanes=1)
    fast = await holding(memory, fast_source(), 3 * BLOCK_BYTES)
    slow = asyncio.create_task(holding(memory, await slow_source(), 3 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not slow.done()
    await fast.hold(PART_BYTES)
    async with asyncio.timeout(TIMEOUT_S):
        await slow


async def test_who_becomes_slow_in_a_lane_is_dropped_and_leaves_it(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.BEHIND_S", 0.2)
    store = quirky_stores.proxied().store
    clients = [Trickle(PART_BYTES // 2) for _ in range(POOL_BYTES // PART_BYTES * 2 + LANES)]
    slow = [asyncio.create_task(store.put(f"slow/{at}", client.chunks())) for at, client in enumerate(clients)]
    done, _ = await asyncio.wait(slow, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    refusal = done.pop().exception()
    assert isinstance(refusal, ApiError)
    assert refusal.status == 429
    assert "too slow for a busy server" in refusal.message
    async with asyncio.timeout(TIMEOUT_S):
        await store.put("fast", pieces(b"x" * 2 * PART_BYTES))
    for client in clients:
        client.ends.set()
    await asyncio.gather(*slow, return_exceptions=True)
