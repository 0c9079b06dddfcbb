"""One HTTP/1.1 connection without the reading of requests: its output, timeouts, memory and end.

governed_protocol.py reads requests from it; admission.py decides which connections there may be.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from railtrack.byte_budget import BUDGET
from railtrack.http_server import limits
from railtrack.http_server.admission import FRESH, IDLE, SLOW, UNFINISHED_HEAD, UNUSED, Admission, Rank, WorkerState
from railtrack.http_server.chunks import ChunkedBody
from railtrack.http_server.governed_cycle import GovernedCycle
from railtrack.http_server.limits import HeldBytes, Rejection, limit_exceeded
from railtrack.http_server.pace import BODY_PATIENCE_S, RESPONSE_PATIENCE_S, Pace

OVERDRAWN = "The server's memory for requests is in use. Nothing was stored. Please retry."
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class GovernedConnection(HttpToolsProtocol):
    """uvicorn's protocol. `cycle` is the request in progress, or None. It has this object for its transport."""

    cycle: GovernedCycle | None  # type: ignore[assignment]

    def __init__(self, config: Config, server_state: WorkerState) -> None:
        super().__init__(config, server_state, {})
        self.worker_state = server_state
        self.cycle = None
        self.url, self.headers = b"", []
        self._task: asyncio.Task[None] | None = None
        self._is_reading_head = False
        self._head_size = 0  # bytes of an incomplete head
        self._request_line = b""  # of an incomplete head, perhaps incomplete or with more of the head
        self._last_bytes = b""  # of an incomplete head, at most 3, to find an END that was split
        self._body_left = 0  # bytes of a body with a length that are still to come
        self._chunked_body: ChunkedBody | None = None  # while it is incomplete
        self._is_half_closed = False  # by the client: it sends no more, but may be reading
        self._half_closed_checks = 0
        self._pipelined = bytearray()
        self._draining = False
        self._drained = 0
        self._unread = 0  # bytes of incomplete and pipelined heads and of the body, as reserved in the budget
        self._received = 0  # bytes in all, and until the last check
        self._received_before = 0
        self._body_pace: Pace | None = None  # while a body is incomplete
        self._output: list[bytes] = []
        self._written = 0
        self._acknowledged = 0
        self._response_pace: Pace | None = None  # while a response is unsent
        self._is_for_probes = False
        self._is_used = False  # had a request
        self._deadline = self.loop.time() + limits.HEAD_TIMEOUT_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is not a subclass
        self.transport.set_write_buffer_limits(limits.WRITE_BUFFER)
        admission = self.worker_state.admit(self)
        if admission is Admission.FOR_PROBES:
            self._is_for_probes = True
        elif admission is not Admission.ADMITTED:
            self._respond_full()
            self._deadline = self.loop.time() + limits.REJECTED_LINGER_S
            if admission is Admission.CLOSED:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.worker_state.leave(self)
        self._abandon_request()
        self._discard_unread()

    # The transport of a cycle

    def write(self, data: bytes) -> None:
        """Write, but a response's head only with the first part of its body, in one system call and packet."""
        self._output.append(data)
        if self.cycle is None or not self.cycle.response_started:
            self.flush()

    def flush(self) -> None:
        if not self._output or self.is_closing():
            return
        output, self._output = self._output, []
        size = sum(map(len, output))
        self._written += size
        if size < limits.JOINED_LIMIT:
            self.transport.write(b"".join(output))
        else:
            self.transport.writelines(output)

    def is_closing(self) -> bool:
        return self._draining or self.transport.is_closing()

    def close(self) -> None:
        """Close the connection. If the client is still sending, discard the rest, so that it gets the response."""
        self.flush()
        if self._is_body_incomplete():
            self._drain()
        else:
            self.transport.close()

    # The end of a request, and of the connection

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self.flush()
        self.cycle = self.scope = None  # type: ignore[assignment]  # an idle connection holds no request
        self.url, self.headers = b"", []
        self._is_used = True
        if self._unread:
            self._release_unread()
        if self.is_closing():
            return
        self._deadline = self.loop.time() + limits.KEEP_ALIVE_S
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._pipelined:
            data, self._pipelined = bytes(self._pipelined), bytearray()
            self.data_received(data)
        if self._is_half_closed and not self._is_response_due():
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
        """Return True if the connection stays open: a client that sends no more may still read its response."""
        self._is_half_closed = True
        is_open = self._is_response_due() and not self._draining
        if is_open:
            self._abort_abandoned_read()
        return is_open

    def _abort_abandoned_read(self) -> None:
        """End the connection of a read whose client is gone. The check of each second does so for other requests."""
        if self.is_closing() or not self._is_read():
            return
        if self._is_client_gone():
            self.abort()
        else:
            self.loop.call_later(limits.GONE_INTERVAL_S, self._abort_abandoned_read)

    def _is_read(self) -> bool:
        """Return True if the request in progress changes nothing, which wire/dispatch.py reports in the scope."""
        return self.cycle is not None and "is_read" in self.cycle.scope

    def _is_response_due(self) -> bool:
        return self.cycle is not None and not self._is_body_incomplete()

    def _is_body_incomplete(self) -> bool:
        return self._body_left > 0 or self._chunked_body is not None

    def shutdown(self) -> None:
        """Close the connection if it is idle, else after the current response."""
        if self.cycle is not None:
            self.cycle.keep_alive = False
        elif not self._draining:
            self.transport.close()

    def abort(self) -> None:
        """End the connection. A reset ends a response that the end of the connection would otherwise complete."""
        if self.cycle is not None and self.cycle.ends_with_connection and not self.transport.is_closing():
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # Time

    def check(self, now: float) -> None:
        """Enforce the timeouts. The worker calls it every second, which costs less than timers for each request."""
        self._measure_response(now)
        self._measure_body(now)
        response, body = self._response_pace, self._body_pace
        if self._draining:
            if now >= self._deadline or (response is not None and response.is_too_slow):
                self.abort()
        elif self._is_client_gone() or (
            response is not None
            and (
                response.is_too_slow
                or (response.is_slow and (BUDGET.responses.is_contended or self._occupies_contended_memory()))
            )
        ):
            self.abort()
        elif self.transport.is_closing():
            return
        elif body is not None and body.is_too_slow:
            self._reject(Rejection("The request body did not arrive in time.", 408))
        elif body is not None and (body.is_slow or body.is_silent) and self._occupies_contended_memory():
            BUDGET.bodies.penalize(self.sender)
            self._reject(Rejection("The request body arrived too slowly for a busy server.", 408))
        elif self._is_reading_head:
            if now >= self._deadline or (self._occupies_contended_memory() and self.eviction_rank(now) is not None):
                self._reject(Rejection("The request did not arrive in time.", 408))
        elif now >= self._deadline:
            self.transport.close()

    def _occupies_contended_memory(self) -> bool:
        """Return True if the request occupies memory, before it is complete, that others wait for."""
        if self._unread and BUDGET.unread.is_contended:
            return True
        return self.scope is not None and "body_client" in self.scope and BUDGET.bodies.is_contended

    def _measure_response(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._response_pace = None
            return
        acknowledged = self._written - unsent - _unacknowledged(self.transport.get_extra_info("socket"))
        if self._response_pace is None:
            self._response_pace = Pace(now, RESPONSE_PATIENCE_S)
        else:
            self._response_pace.advance(acknowledged - self._acknowledged, now)
        self._acknowledged = acknowledged

    def _measure_body(self, now: float) -> None:
        received, self._received_before = self._received - self._received_before, self._received
        if self.cycle is None or not self._is_body_incomplete():
            self._body_pace = None
        elif self._body_pace is None:
            self._body_pace = Pace(now, BODY_PATIENCE_S)
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._body_pace.pause(now)
        else:
            self._body_pace.advance(received, now)

    def _is_client_gone(self) -> bool:
        """Return True if a half-closed client has disconnected, which shows only in its reaction to sent bytes.

        A server may send an interim response at any time before the response, but not to HTTP/1.0. The second check
        sends it, so that a response within a second, or within 0.1 s to a read, comes alone.
        """
        if not self._is_half_closed or self.cycle is None or self.cycle.response_started:
            return False
        self._half_closed_checks += 1
        if self._half_closed_checks == 2 and self.scope["http_version"] == "1.1":
            self.transport.write(CONTINUE)
        error: int = self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return error != 0

    def eviction_rank(self, now: float) -> Rank | None:
        """Return the rank in which this connection gives way to a new one, None if it is in use."""
        if self.is_closing():
            return None
        if self.cycle is not None:
            is_slow = any(pace is not None and pace.is_slow for pace in (self._response_pace, self._body_pace))
            return (SLOW, 0.0) if is_slow else None
        since = self._deadline - (limits.KEEP_ALIVE_S if self._is_idle() else limits.HEAD_TIMEOUT_S)
        if self._is_reading_head:
            return (UNFINISHED_HEAD, since) if now - since >= limits.EVICTABLE_S else None
        if self._is_idle():
            return (IDLE, since) if now - since >= limits.IDLE_EVICTABLE_S and not self._has_input() else None
        return UNUSED if now - since >= limits.IDLE_EVICTABLE_S else FRESH, since

    def evict(self) -> None:
        """End the connection at once, with a response where the client may wait for one."""
        if self.cycle is not None:
            self.abort()
        else:
            if self._is_reading_head or not self._is_used:
                self._respond_full()
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None and self._is_used and not self._is_reading_head

    def _has_input(self) -> bool:
        """Return True if a request has arrived that was not read yet."""
        return _ioctl(self.transport.get_extra_info("socket"), termios.FIONREAD) > 0

    # Memory

    def held_bytes(self) -> HeldBytes:
        body = 0 if self.cycle is None else len(self.cycle.body)
        return HeldBytes(self._head_size + len(self._pipelined), body, self.transport.get_write_buffer_size())

    def reserve_unread(self) -> None:
        """Adapt the reservation to what the connection holds. If the budget is exceeded, the body waits in the socket.

        If the budget is far exceeded, reject the requests of the clients that hold most. Raise a 429 if this is one.
        """
        size = self._head_size + len(self._pipelined)
        if self.cycle is not None:
            size += len(self.cycle.body) + self.cycle.taken_bytes
        if size <= limits.UNCOUNTED:
            if not self._unread:
                return
            size = 0
        unread = BUDGET.unread
        more = size - self._unread
        unread.used += more
        self._unread = size
        if more > 0 and unread.used > unread.limit:
            if unread.used > limits.OVERDRAFT * unread.limit:
                self._relieve_unread()
            if self.cycle is not None:
                self.flow.pause_reading()

    def _relieve_unread(self) -> None:
        for connection in self.worker_state.ranked_by_unread():
            BUDGET.unread.rejected += 1
            if connection is self:
                raise limit_exceeded(OVERDRAWN)
            connection._reject(limit_exceeded(OVERDRAWN))
            if BUDGET.unread.used <= limits.RELIEVED * BUDGET.unread.limit:
                break

    @property
    def unread_bytes(self) -> int:
        """Return the bytes that are reserved for incomplete and pipelined heads and for the body."""
        return self._unread

    @property
    def sender(self) -> str:
        """Return the client that sends a request: its own address, once known, if the connection is a proxy's."""
        peer = self.client[0] if self.client else ""
        return peer if self.scope is None else cast(dict[str, str], self.scope).get("body_client", peer)

    @property
    def is_streamed(self) -> bool:
        """Return True if the application takes the request's body as it arrives, so that little of it is unread."""
        return self.cycle is not None and "body_client" not in self.cycle.scope and not self._pipelined

    def _release_unread(self) -> None:
        BUDGET.unread.used -= self._unread
        self._unread = 0

    def _discard_unread(self) -> None:
        """Drop what nobody will read. The application, which may still call receive(), must not reserve it again."""
        self._head_size = 0
        self._pipelined.clear()
        if self.cycle is not None:
            self.cycle.body = bytearray()
            self.cycle.taken_bytes = 0
        self._release_unread()

    # Rejections

    def _reject(self, error: Rejection) -> None:
        """Respond with the error where that is still possible, and close the connection."""
        self._abandon_request()
        self._discard_unread()
        if self.cycle is not None and self.cycle.is_head_sent:
            self.transport.close()
        else:
            self.respond(error.status, error.code, error.message)

    def _respond_full(self) -> None:
        self.respond(503, "TEMPORARILY_UNAVAILABLE", "The server has too many connections. Please retry.")

    def respond(self, status: int, code: str, message: str) -> None:
        """Write a whole response in MLflow's form of an error, and close the connection once the client has read it."""
        body = msgspec.json.encode({"error_code": code, "message": message})
        headers = [*self.server_state.default_headers, (b"content-type", b"application/json")]
        headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        self._output = [STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n", body]
        self.flush()
        self._drain()

    def _abandon_request(self) -> None:
        """Report a disconnect to the application, and cancel it: others than reads only if they don't finish.

        A change whose JSON body is incomplete has not begun, but holds a part of it.
        """
        if self.cycle is not None and self._task is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            has_begun = "body_client" not in self.cycle.scope or not self._is_body_incomplete()
            grace_s = limits.DISCONNECT_GRACE_S if has_begun and not self._is_read() else 0
            self.loop.call_later(grace_s, self._task.cancel)
            self._task = None  # its exception refers to this connection, and to what the application held

    def _drain(self) -> None:
        """End our side of the connection, and discard what the client still sends."""
        if self._is_half_closed:
            self.transport.close()
            return
        self._draining = True
        self._deadline = self.loop.time() + limits.LINGER_S
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.resume_reading()


def _unacknowledged(sock: socket.socket) -> int:
    """Return the bytes in the kernel's send buffer, megabytes without which a slow reader's progress would not show."""
    return _ioctl(sock, termios.TIOCOUTQ)


def _ioctl(sock: socket.socket, request: int) -> int:
    with contextlib.suppress(OSError):  # not supported on macOS
        return int.from_bytes(fcntl.ioctl(sock.fileno(), request, bytes(4)), sys.byteorder)
    return 0
