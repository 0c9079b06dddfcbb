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
        if message["type"] == "http.response.start" and not self.response_started:
            self._start_response(message)
            return
        body = cast(bytes, message.get("body", b""))
        if len(body) <= WRITE_AT_ONCE:
            await self._send_part(message, body)
            return
        view = memoryview(body)
        for start in range(0, len(body), WRITE_AT_ONCE):
            part = cast(bytes, view[start : start + WRITE_AT_ONCE])
            more_body = bool(message.get("more_body")) or start + WRITE_AT_ONCE < len(body)
            await self._send_part({"type": "http.response.body", "body": part, "more_body": more_body}, part)
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()  # the application keeps the response's memory reserved until send() returns

    async def _send_part(self, message: ASGISendEvent, body: bytes) -> None:
        if self.ends_with_connection and not message.get("more_body"):
            self.expected_content_length = len(body)
        await super().send(message)
        self.is_head_sent = True
        if not self.response_complete:
            self.transport.flush()
            if self.flow.write_paused:
                await self.flow.drain()

    def _start_response(self, message: HTTPResponseStartEvent) -> None:
        """Write the head as uvicorn would, in half the time, and without chunks to HTTP/1.0."""
        status, headers = message["status"], [*self.default_headers, *message["headers"]]
        self.response_started = True
        self.waiting_for_100_continue = False
        self.keep_alive = self.keep_alive and not self.more_body and not self.transport.worker_state.is_ending
        length = next((int(value) for name, value in headers if name == b"content-length"), None)
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
        lines = b"\r\n".join(map(b": ".join, headers))
        if not lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r") == len(headers) - 1 or b"\0" in lines:
            raise ValueError(f"A header of the response has a line break or NUL: {[name for name, _ in headers]}")
        self.transport.write(b"%b%b\r\n\r\n" % (STATUS_LINE[status], lines))
