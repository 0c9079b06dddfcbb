"""One request and its response: uvicorn's cycle, whose `receive` and `send` the application calls.

The connection that it reads from and writes to is in governed_connection.py.
"""

import logging
import sys
from typing import TYPE_CHECKING, cast

from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from railtrack.http_server.limits import HELD_LIMIT, UNCOUNTED, WRITE_AT_ONCE

if TYPE_CHECKING:
    from railtrack.http_server.governed_connection import GovernedConnection

CR, LF, NUL = b"\r\n\0"  # numbers, which Python finds in bytes ten times faster than b"\r"

log = logging.getLogger("railtrack")


class GovernedCycle(RequestResponseCycle):
    """uvicorn's request and response; if the application fails, the response has MLflow's form of an error."""

    transport: "GovernedConnection"  # type: ignore[assignment]
    is_head_sent = False
    taken_bytes = 0
    """Of the body, by the last receive(): the application holds them until it calls receive() again."""
    ends_with_connection = False

    def add_body(self, piece: bytes) -> None:
        self.waiting_for_100_continue = False
        if not self.body:
            self.body = piece  # type: ignore[assignment]  # uncopied
        else:
            self.body = self.body if isinstance(self.body, bytearray) else bytearray(self.body)
            self.body += piece
        if len(self.body) > UNCOUNTED:
            self.transport.reserve_unread()
            if len(self.body) > HELD_LIMIT:
                self.flow.pause_reading()
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        self.taken_bytes = 0
        message = await super().receive()
        self.taken_bytes = len(cast(bytes, message.get("body", b"")))
        if self.taken_bytes > HELD_LIMIT and self.more_body:
            self.flow.pause_reading()  # the application may wait for memory before it takes more
        self.transport.reserve_unread()
        return message

    async def run_asgi(self, app: ASGI3Application) -> None:
        scope = self.scope
        try:
            await app(scope, self.receive, self.send)
            if not (self.response_complete or self.disconnected):
                raise RuntimeError("The application ended before its response was complete.")
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["raw_path"][:500].decode("latin-1"))
            if self.response_complete or self.disconnected:
                return
            if self.is_head_sent:
                self.transport.abort()
            else:
                self.transport.respond(500, "INTERNAL_ERROR", "Internal error.")

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response; return when the connection takes more. Drop it if the client is gone."""
        if message["type"] == "http.response.start":
            self._start_response(message)
            return
        body: bytes = message.get("body", b"")  # type: ignore[assignment]
        if len(body) > WRITE_AT_ONCE:
            body = await self._send_beginning(memoryview(body))
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self._write_part(body, more_body=message.get("more_body", False))  # type: ignore[arg-type]
            if self.flow.write_paused:
                await self.flow.drain()  # the application keeps the response's memory reserved until send() returns

    async def _send_beginning(self, body: memoryview) -> bytes:
        """Send all but the last part of a large body, and return that."""
        while len(body) > WRITE_AT_ONCE:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if self.disconnected:
                break
            self._write_part(body[:WRITE_AT_ONCE], more_body=True)
            body = body[WRITE_AT_ONCE:]
        return cast(bytes, body)

    def _write_part(self, body: bytes | memoryview, *, more_body: bool) -> None:
        """Write a part of the body as uvicorn would, in half the time."""
        if not self.response_started or self.response_complete:
            raise RuntimeError("The application sent a body before the head of its response, or after its end.")
        if self.ends_with_connection and not more_body:
            self.expected_content_length = len(body)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            chunk = b"".join((b"%x\r\n" % len(body), body, b"\r\n")) if body else b""
            self.transport.write(chunk if more_body else chunk + b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("The response is longer than its Content-Length.")
            self.transport.write(body)  # type: ignore[arg-type]  # uvloop and asyncio accept both
        if more_body:
            self.is_head_sent = True
            self.transport.flush()
            return
        if self.expected_content_length:
            raise RuntimeError("The response is shorter than its Content-Length.")
        self.is_head_sent = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _start_response(self, message: HTTPResponseStartEvent) -> None:
        """Write the head as uvicorn would, in half the time, and without chunks to HTTP/1.0."""
        if self.response_started:
            raise RuntimeError("The application sent the head of its response twice.")
        status, headers = message["status"], [*self.default_headers, *message["headers"]]
        self.response_started = True
        self.waiting_for_100_continue = False
        self.keep_alive = self.keep_alive and not self.more_body and not self.transport.worker_state.is_ending
        length = None
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
        self.expected_content_length = length or 0
        self.chunked_encoding = False
        if length is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            if self.scope["http_version"] == "1.1":
                self.chunked_encoding = True
                headers.append((b"transfer-encoding", b"chunked"))
            else:
                self.ends_with_connection = True
                self.expected_content_length = sys.maxsize
                self.keep_alive = False
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        elif self.scope["http_version"] == "1.0":
            headers.append((b"connection", b"keep-alive"))
        lines = list(map(b": ".join, headers))
        text = b"".join(lines)
        if CR in text or LF in text or NUL in text:
            raise ValueError(f"A header of the response has a line break or NUL: {[name for name, _ in headers]}")
        self.transport.write(b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines)))
