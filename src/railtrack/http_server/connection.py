"""A connection: finds its requests in what is read, answers them one after the other, and ends in good order.

Read from it is what one request may hold (HELD_LIMIT) and no more; a request that came early waits for its turn. The
limits of time are held by the worker, which asks every second (check()): a timer a request would cost more.
"""

import asyncio
import math
import time
from typing import Protocol, cast

from railtrack.http_server.exchange import App, Exchange
from railtrack.http_server.request_body import Chunked, Counted, body_reader
from railtrack.http_server.request_head import END, Head, Refused, check_beginning, read_head
from railtrack.http_server.response_head import last_words

CONNECTIONS_LIMIT = 1000
"""Open connections of one worker."""
FIRST_REQUEST_LIMIT_S = 30
"""How long a new connection may take to send the head of its first request."""
HEAD_LIMIT_S = 30
"""How long a later one may take from its first byte on."""
KEEP_ALIVE_S = 65
"""Longer than proxies keep their idle connections (nginx, AWS: 60 s), so that they close first."""
LINGER_S = 30
LINGER_BYTES = 100 * 1024 * 1024
"""How long and how much is read, to be dropped, of what a client still sends after its last answer. To close at once
would be told it before the answer, which it then never reads."""
HELD_LIMIT = 256 * 1024
"""Bytes of a body, or of requests that came early, that wait in memory; beyond them nothing is read."""
HIGH_WATER = 64 * 1024
"""Bytes of an answer that wait to be sent; beyond them the application waits."""
JOINED_LIMIT = 64 * 1024
"""Larger parts are written one by one instead of being copied into one piece."""


class Worker(Protocol):
    """What a connection knows of its worker. `nr_conns` is how gunicorn counts them."""

    asgi: App
    loop: asyncio.AbstractEventLoop
    alive: bool
    nr_conns: int
    connections: "set[Connection]"
    date: bytes

    def count_request(self) -> None: ...


class Connection(asyncio.Protocol):
    """A client's connection. Either its next request is awaited, or one is under way, or it ends."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.loop = worker.loop
        self.peer: tuple[str, int] | None = None
        self._transport: asyncio.Transport
        self._kept = b""  # read already, and not a whole head, or not its turn
        self._exchange: Exchange | None = None
        self._body: Counted | Chunked | None = None  # where the exchange's body ends, while it is being read
        self._ending = False
        self._discarded = 0
        self._served = False
        self._deadline = time.monotonic() + FIRST_REQUEST_LIMIT_S
        self._reading_paused = False
        self.writing_paused = False
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer = tuple(peer[:2]) if peer else None
        self._worker.nr_conns += 1
        self._worker.connections.add(self)
        if len(self._worker.connections) > CONNECTIONS_LIMIT:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.nr_conns -= 1
        self._worker.connections.discard(self)
        self._ending = True
        self.resume_writing()
        if self._exchange is not None:
            self._exchange.leave()

    # Reading.

    def data_received(self, data: bytes) -> None:
        if self._ending:
            self._discard(data)
        elif self._body is not None:
            self._read_body(data)
        elif self._exchange is not None:
            self._keep(self._kept + data)
        else:
            self._read_head(data)

    def _read_head(self, data: bytes) -> None:
        searched = max(len(self._kept) - len(END), 0)
        data = self._kept + data
        if data[:1] in b"\r\n":
            data = data.lstrip(b"\r\n")  # some clients end a request with a line too many
            searched = 0
        end = data.find(END, searched)
        try:
            if end >= 0:
                self._kept = b""
                self._begin(read_head(data, end), data[end + len(END) :])
            elif data:
                check_beginning(data)
                if self._served and not self._kept:
                    self._deadline = time.monotonic() + HEAD_LIMIT_S
                self._kept = data
        except Refused as error:
            self._refuse(error)

    def _begin(self, head: Head, rest: bytes) -> None:
        self._deadline = math.inf
        self._exchange = exchange = Exchange(self, head)
        if 0 <= head.length <= len(rest):
            self._keep(rest[head.length :])
            exchange.begin(self._worker.asgi, rest[: head.length])
        else:
            self._body = body_reader(head.length)
            exchange.begin(self._worker.asgi, None)
            if rest:
                self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        assert self._exchange is not None
        assert self._body is not None
        try:
            rest = self._body.take(data, self._exchange.put)
        except Refused as error:
            self._refuse(error)
            return
        if rest is not None:
            self._body = None
            self._exchange.complete()
            self._keep(rest)
        elif self._exchange.held > HELD_LIMIT:
            self._pause_reading()

    def _keep(self, data: bytes) -> None:
        """Hold what came before its turn."""
        self._kept = data
        if len(data) > HELD_LIMIT:
            self._pause_reading()

    def _discard(self, data: bytes) -> None:
        """Read on for the client's sake, until it has sent everything, or too much."""
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    # What the exchange asks for.

    @property
    def date(self) -> bytes:
        return self._worker.date

    def may_stay(self) -> bool:
        return self._worker.alive

    def write(self, *parts: bytes) -> None:
        if self._transport.is_closing():
            return
        if sum(map(len, parts)) < JOINED_LIMIT:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def drained(self) -> None:
        self._writable = self.loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def read_on(self) -> None:
        if self._body is not None and self._exchange is not None and self._exchange.held <= HELD_LIMIT:
            self._resume_reading()

    def answered(self, keep: bool) -> None:
        """Go on to the next request, or end."""
        self._exchange = None
        self._worker.count_request()
        if self._ending:
            return
        if not (keep and self._worker.alive):
            self._end()
            return
        self._served = True
        self._deadline = time.monotonic() + KEEP_ALIVE_S
        self._resume_reading()
        if early := self._kept:
            self._kept = b""
            self._read_head(early)

    # Its end.

    def _refuse(self, error: Refused) -> None:
        """Say what is wrong, where that can still be said, and end."""
        exchange = self._exchange
        if exchange is not None:
            exchange.leave()
        if exchange is None or not exchange.begun:
            self.write(last_words(error.status, "BAD_REQUEST", error.message, self.date))
            self._linger()
        else:
            self._close()

    def _end(self) -> None:
        if self._body is None:
            self._close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Tell the client that nothing more is said, and let it finish what it is saying."""
        self._begin_to_end()
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._resume_reading()

    def _close(self) -> None:
        self._begin_to_end()
        self._transport.close()

    def _begin_to_end(self) -> None:
        self._ending = True
        self._kept = b""
        self._body = None
        self._deadline = time.monotonic() + LINGER_S

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way, or its last answer is."""
        if self._exchange is None and not self._ending:
            self._close()

    def abort(self) -> None:
        self._transport.abort()

    def check(self, now: float) -> None:
        """End what takes too long."""
        if now < self._deadline:
            return
        if self._ending or self._transport.get_write_buffer_size():
            self._transport.abort()  # what is left to send, nobody takes
        elif self._kept:
            self._refuse(Refused("The request did not arrive in time.", 408))
        else:
            self._close()
