"""The transport of the HTTP client: one connection with bounded buffers and timeouts. HTTP itself: client.py.

asyncio's streams copy every byte twice more, which was a third of the cost of a download.
"""

import asyncio
from collections import deque
from typing import cast

IDLE_TIMEOUT_S = 20.0
"""Timeout for the peer to accept or send the next bytes."""
WINDOW_BYTES = 256 * 1024
"""Reading pauses while so many bytes are buffered; a read in progress may add as much again."""
HEAD_LIMIT_BYTES = 64 * 1024
WAITING_LIMIT_S = 600.0
"""Timeout for all waiting for the peer in one exchange, plus a second for each MIN_RATE bytes received. S3 sends blanks
for minutes while it completes a multipart upload."""
MIN_RATE = 1024
"""Bytes per second."""

Sendable = bytes | bytearray | memoryview


class ClientConnection(asyncio.Protocol):
    """A connection for one task at a time, made by create_connection(). Its coroutines raise TimeoutError after
    IDLE_TIMEOUT_S without progress.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._chunks: deque[bytes] = deque()
        self._first_used = 0  # bytes of the first chunk that were taken
        self._buffered_bytes = 0
        self._received_bytes = 0  # in this exchange
        self._waited_s = 0.0  # in this exchange, for bytes
        self._is_paused = False
        self._has_ended = False
        self._error: Exception | None = None
        self._may_write = True
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """True if it is open and has no unexpected bytes in its buffer."""
        return not (self._has_ended or self._chunks or self._transport.is_closing())

    def begin_exchange(self) -> None:
        """Reset the time limit of waiting."""
        self._received_bytes = 0
        self._waited_s = 0.0

    async def read_some(self, limit: int) -> bytes:
        """Return one to `limit` bytes, none at the end. Raise the error that broke the connection."""
        return self._take(limit) if self._chunks or await self._has_more() else b""

    async def read_until(self, separator: bytes) -> bytes:
        """Return the bytes up to and including the separator.

        Raise EOFError if the connection ends before it, ValueError if it is not in HEAD_LIMIT_BYTES.
        """
        taken = bytearray()
        while self._chunks or await self._has_more():
            overlap = bytes(taken[1 - len(separator) :])  # the separator may begin there; then the first chunk is new
            chunk = overlap + self._chunks[0] if overlap else self._chunks[0]
            start = 0 if overlap else self._first_used
            found = chunk.find(separator, start)
            end = len(chunk) if found < 0 else found + len(separator)
            taken += self._take(end - start - len(overlap))
            if len(taken) > HEAD_LIMIT_BYTES:
                raise ValueError(f"a part of the response exceeds {HEAD_LIMIT_BYTES} bytes")
            if found >= 0:
                return bytes(taken)
        raise EOFError("connection closed")

    async def _has_more(self) -> bool:
        """Wait until bytes arrive. Return False at the end. Raise the error that broke the connection."""
        loop = asyncio.get_running_loop()
        while not self._chunks:
            if self._has_ended:
                if self._error is not None:
                    raise self._error
                return False
            began = loop.time()
            self._readable = loop.create_future()
            await _wait_with_timeout(self._readable)
            self._waited_s += loop.time() - began
            if self._waited_s > WAITING_LIMIT_S + self._received_bytes / MIN_RATE:
                raise TimeoutError
        return True

    def _take(self, limit: int) -> bytes:
        """Remove and return up to `limit` bytes of the first chunk."""
        chunk, start = self._chunks[0], self._first_used
        if len(chunk) - start <= limit:
            self._chunks.popleft()
            self._first_used = 0
        else:
            self._first_used += limit
        piece = chunk[start : start + limit]
        self._buffered_bytes -= len(piece)
        if self._is_paused and self._buffered_bytes < WINDOW_BYTES:
            self._is_paused = False
            self._transport.resume_reading()
        return piece

    async def write(self, data: Sendable) -> None:
        """Send data, and return when nearly all of it is sent. Do not change `data` until the response arrives.

        Raise ConnectionError if the peer has closed the connection.
        """
        if self._has_ended:
            raise ConnectionResetError
        self._transport.write(data)
        while not self._may_write:
            self._writable = asyncio.get_running_loop().create_future()
            await _wait_with_timeout(self._writable)
            if self._has_ended:
                raise ConnectionResetError

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        self._received_bytes += len(data)
        if self._buffered_bytes >= WINDOW_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        _wake(self._readable)

    def eof_received(self) -> None:
        self._has_ended = True
        _wake(self._readable)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._error = exc
        _wake(self._readable)
        _wake(self._writable)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        _wake(self._writable)


async def _wait_with_timeout(waiter: "asyncio.Future[None]") -> None:
    """Wait for at most IDLE_TIMEOUT_S, at a third of the cost of asyncio.timeout()."""
    timer = asyncio.get_running_loop().call_later(IDLE_TIMEOUT_S, _time_out, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


def _time_out(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
