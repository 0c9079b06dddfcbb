"""One connection: its bytes in the pieces they arrive in, and a bound on what waits here and for how long.

asyncio's own streams copy every byte twice more, which was a third of what a download cost. HTTP is in http_client.py.
"""

import asyncio
from collections import deque
from typing import cast

IDLE_LIMIT_S = 20.0
"""How long the other side may take to accept or send the next bytes."""
WINDOW_BYTES = 256 * 1024
"""When so much waits to be taken, no more is read; a read under way may still add as much again."""
HEAD_BYTES = 64 * 1024

Sendable = bytes | bytearray | memoryview


class Connection(asyncio.Protocol):
    """Made by create_connection(). Used by one task at a time; every wait may raise TimeoutError."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._is_paused = False
        self._has_ended = False
        self._error: Exception | None = None
        self._may_write = True
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Open, and nothing has come that was not asked for."""
        return not (self._has_ended or self._pieces or self._transport.is_closing())

    async def some(self, most: int) -> bytes:
        """At least one byte and at most `most`; none at the end. Raises what broke the connection."""
        while not self._pieces:
            if self._has_ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._readable = asyncio.get_running_loop().create_future()
            await _within_limit(self._readable)
        piece = self._pieces.popleft()
        if len(piece) > most:
            self._pieces.appendleft(piece[most:])
            piece = piece[:most]
        self._held -= len(piece)
        if self._is_paused and self._held < WINDOW_BYTES:
            self._is_paused = False
            self._transport.resume_reading()
        return piece

    async def until(self, mark: bytes) -> bytes:
        """Everything up to the mark, and with it. Raises EOFError without one, ValueError after HEAD_BYTES."""
        received = b""
        while (at := received.find(mark)) < 0:
            if len(received) > HEAD_BYTES:
                raise ValueError("an answer with an endless head")
            piece = await self.some(HEAD_BYTES)
            if not piece:
                raise EOFError("the connection was closed")
            received += piece
        stop = at + len(mark)
        if rest := received[stop:]:
            self._pieces.appendleft(rest)
            self._held += len(rest)
        return received[:stop]

    async def write(self, data: Sendable) -> None:
        """Return when nearly all of it is on its way; it must not change until the answer has come. Raises
        ConnectionError when the other side has hung up."""
        if self._has_ended:
            raise ConnectionResetError
        self._transport.write(data)
        while not self._may_write:
            self._writable = asyncio.get_running_loop().create_future()
            await _within_limit(self._writable)
            if self._has_ended:
                raise ConnectionResetError

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its type

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held >= WINDOW_BYTES and not self._is_paused:
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


async def _within_limit(waiter: "asyncio.Future[None]") -> None:
    """As asyncio.timeout does, at a third of the cost."""
    timer = asyncio.get_running_loop().call_later(IDLE_LIMIT_S, _give_up, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


def _give_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
