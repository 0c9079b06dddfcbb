"""Slow uploads beside fast ones: the memory that they hold, which wait, and which are rejected."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from tests.servers.processes import TIMEOUT_S
from tests.servers.s3_quirks import QuirkyS3

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.upload_memory import (
    BLOCK_BYTES,
    LANES,
    PART_BYTES,
    POOL_BYTES,
    ClientStream,
    Reservation,
    UploadMemory,
)
from railtrack.errors import ApiError

SLOW = 50


class Trickle:
    """A client that sends `first` at once, and then a little now and then, until `ends` is set."""

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


async def slow_stream() -> ClientStream:
    """Return a stream that has kept its server waiting."""

    async def chunks() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.02)
        yield b"x"

    stream = ClientStream(chunks())
    await stream.next()
    assert stream.ahead_s < 0
    return stream


def fast_stream() -> ClientStream:
    return ClientStream(pieces(b"x" * PART_BYTES))


async def holding(memory: UploadMemory, stream: ClientStream, size: int) -> Reservation:
    reservation = memory.reservation(stream)
    await reservation.grow(size)
    return reservation


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let uploads wait for memory longer than a test takes."""
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_TIMEOUT_S", 2 * TIMEOUT_S)


async def test_fast_uploads_work_at_once_beside_many_slow_ones_that_fill_the_pool(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, no_timeout: None
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


async def test_many_fast_uploads_at_once_all_complete(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, no_timeout: None
) -> None:
    """Together they need far more memory than there is, and none releases any before its part is full."""
    store = quirky_stores.proxied().store
    content = os.urandom(PART_BYTES + 10)
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(store.put(f"{at}", pieces(content)) for at in range(30)))
    assert [len(stored) for stored in quirky.objects.values()] == [len(content)] * 30
    assert quirky.uploads == {}


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_TIMEOUT_S", 0.05)
    memory = UploadMemory()
    held = await asyncio.gather(
        *(holding(memory, fast_stream(), PART_BYTES) for _ in range(20)), return_exceptions=True
    )
    granted = [reservation for reservation in held if isinstance(reservation, Reservation)]
    assert len(granted) == POOL_BYTES // (PART_BYTES - BLOCK_BYTES) + LANES
    for failure in held:
        if not isinstance(failure, Reservation):
            assert isinstance(failure, ApiError)
            assert failure.status == 429
    for reservation in granted:
        reservation.release()
    again = await asyncio.gather(*(holding(memory, fast_stream(), PART_BYTES) for _ in range(len(granted))))
    assert len(again) == len(granted)


async def test_the_first_block_never_waits() -> None:
    memory = UploadMemory(pool=0, lanes=0)
    async with asyncio.timeout(TIMEOUT_S):
        await holding(memory, await slow_stream(), BLOCK_BYTES)


async def test_a_slow_upload_waits_for_the_pool_and_is_rejected_after_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = UploadMemory(pool=2 * BLOCK_BYTES, lanes=1)
    first = await holding(memory, await slow_stream(), 3 * BLOCK_BYTES)
    waiting = asyncio.create_task(holding(memory, await slow_stream(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    first.release()
    second = await waiting
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.WAIT_TIMEOUT_S", 0.05)
    with pytest.raises(ApiError, match="Too many uploads at once"):
        await holding(memory, await slow_stream(), 3 * BLOCK_BYTES)
    second.release()
    await holding(memory, await slow_stream(), 3 * BLOCK_BYTES)


async def test_a_small_request_waits_behind_a_large_one() -> None:
    memory = UploadMemory(pool=4 * BLOCK_BYTES, lanes=0)
    held = await holding(memory, await slow_stream(), 3 * BLOCK_BYTES)
    much = asyncio.create_task(holding(memory, await slow_stream(), 5 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    little = asyncio.create_task(holding(memory, await slow_stream(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not much.done()
    assert not little.done()
    held.release()
    (await much).release()
    await little


async def test_a_cancelled_request_lets_the_next_continue() -> None:
    memory = UploadMemory(pool=4 * BLOCK_BYTES, lanes=0)
    await holding(memory, await slow_stream(), 3 * BLOCK_BYTES)
    much = asyncio.create_task(holding(memory, await slow_stream(), 5 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    little = asyncio.create_task(holding(memory, await slow_stream(), 2 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    much.cancel()
    async with asyncio.timeout(TIMEOUT_S):
        await little


async def test_entering_a_lane_makes_room_in_the_pool() -> None:
    memory = UploadMemory(pool=2 * BLOCK_BYTES, lanes=1)
    fast = await holding(memory, fast_stream(), 3 * BLOCK_BYTES)
    slow = asyncio.create_task(holding(memory, await slow_stream(), 3 * BLOCK_BYTES))
    await asyncio.sleep(0.01)
    assert not slow.done()
    await fast.grow(PART_BYTES)
    async with asyncio.timeout(TIMEOUT_S):
        await slow


async def test_an_upload_that_becomes_slow_in_a_lane_is_rejected_and_leaves_it(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("railtrack.artifacts.s3.upload_memory.MAX_AHEAD_S", 0.2)
    store = quirky_stores.proxied().store
    clients = [Trickle(PART_BYTES // 2) for _ in range(POOL_BYTES // PART_BYTES * 2 + LANES)]
    slow = [asyncio.create_task(store.put(f"slow/{at}", client.chunks())) for at, client in enumerate(clients)]
    done, _ = await asyncio.wait(slow, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    failure = done.pop().exception()
    assert isinstance(failure, ApiError)
    assert failure.status == 429
    assert "too slow for a busy server" in failure.message
    async with asyncio.timeout(TIMEOUT_S):
        await store.put("fast", pieces(b"x" * 2 * PART_BYTES))
    for client in clients:
        client.ends.set()
    await asyncio.gather(*slow, return_exceptions=True)
