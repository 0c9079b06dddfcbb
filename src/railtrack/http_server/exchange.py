"""One request and its answer, as the ASGI application has them: scope, receive and send. The connection that both go
over lies in connection.py.

Of ASGI it does what this application asks for: no trailers, no informational answers but 100, no extensions, and of the
scope only what wire/ reads.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from railtrack.http_server.request_head import Head
from railtrack.http_server.response_head import answer_head, content_length, last_words

log = logging.getLogger("railtrack")

Message = dict[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

GONE_GRACE_S = 1.0
"""How long the application may go on, once it is told that the client has gone, before it is cancelled."""
PIECE_BYTES = 100
"""What a piece takes in memory besides its bytes: a client that sends one byte at a time makes many."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
WITHOUT_BODY = frozenset({204, 304})


class Line(Protocol):
    """What an exchange asks of its connection."""

    peer: tuple[str, int] | None
    loop: asyncio.AbstractEventLoop
    writing_paused: bool

    @property
    def date(self) -> bytes:
        """The header's line, as of now."""

    def may_stay(self) -> bool:
        """Whether another request may follow."""

    def write(self, *parts: bytes) -> None: ...

    async def drained(self) -> None:
        """Return when it takes more, or is gone."""

    def read_on(self) -> None:
        """The application has taken some of what waited for it."""

    def answered(self, keep: bool) -> None:
        """The exchange is over."""


class Exchange:
    """A request under way. `held`: bytes of its body that wait for the application."""

    __slots__ = (
        "_begun",
        "_chunked",
        "_complete",
        "_expects",
        "_gone",
        "_head",
        "_keeps",
        "_left",
        "_line",
        "_pieces",
        "_start",
        "_task",
        "_told_end",
        "_waiter",
        "_whole",
        "held",
    )

    def __init__(self, line: Line, head: Head) -> None:
        self._line = line
        self._head = head
        self._gone = False
        self._task: asyncio.Task[None] | None = None
        # The body of the request.
        self._expects = head.expects
        self._pieces: deque[bytes] = deque()
        self.held = 0
        self._complete = False
        self._told_end = False
        self._waiter: asyncio.Future[None] | None = None
        # The answer.
        self._start: Message | None = None
        self._begun = False  # its head is written
        self._whole = False  # and all else
        self._left = 0  # bytes that its length promises and that are still to come
        self._chunked = False
        self._keeps = False

    # What the connection tells.

    def begin(self, app: App, body: bytes | None) -> None:
        """Call the application; `body`: all of it, where it came with the head."""
        scope = self._scope()
        if body is not None:
            scope["body"] = body
            if body:
                self._pieces.append(body)
            self._complete = True
        self._task = self._line.loop.create_task(self._run(app, scope))

    def put(self, piece: bytes) -> None:
        """The next bytes of the body."""
        if piece:
            self._pieces.append(piece)
            self.held += len(piece) + PIECE_BYTES
            self._expects = False
            self._wake()

    def complete(self) -> None:
        """The body has come to its end."""
        self._complete = True
        self._wake()

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        if not self._gone:
            self._gone = True
            self._wake()
            self._line.loop.call_later(GONE_GRACE_S, self._cancel)

    @property
    def begun(self) -> bool:
        return self._begun

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # What the application is given.

    def _scope(self) -> Message:
        head = self._head
        path, _, query = head.target.partition(b"?")
        plain = unquote_to_bytes(path) if b"%" in path else path
        return {
            "type": "http",
            "method": head.method,
            "path": plain.decode(errors="replace"),
            "raw_path": path,
            "query_string": query,
            "headers": head.fields,
            "client": self._line.peer,
        }

    async def _run(self, app: App, scope: Message) -> None:
        try:
            await app(scope, self.receive, self.send)
            if not (self._whole or self._gone):
                raise RuntimeError("the application ended before its answer")
        except Exception:
            log.exception("%s %s failed", self._head.method, self._head.target[:500].decode("latin-1"))
            if not (self._begun or self._gone):
                self._line.write(last_words(500, "INTERNAL_ERROR", "Internal error.", self._line.date))
        finally:
            self._line.answered(self._keeps and self._whole)

    async def receive(self) -> Message:
        """ASGI's receive: the body in the pieces that it came in, and then, once, that the client has gone."""
        while not self._gone:
            if self._pieces:
                return self._next_piece()
            if self._complete and not self._told_end:
                self._told_end = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self._expects and not self._begun:
                self._expects = False
                self._line.write(CONTINUE)
            self._waiter = self._line.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return {"type": "http.disconnect"}

    def _next_piece(self) -> Message:
        piece = self._pieces.popleft()
        if self.held:
            self.held -= len(piece) + PIECE_BYTES
            self._line.read_on()
        self._told_end = self._complete and not self._pieces
        return {"type": "http.request", "body": piece, "more_body": not self._told_end}

    async def send(self, message: Message) -> None:
        """ASGI's send; returns when the connection takes more. What is sent to a client that has gone is dropped."""
        if self._gone:
            return
        if message["type"] == "http.response.start":
            if self._start is not None:
                raise RuntimeError("the answer was begun twice")
            self._start = message
            return
        if self._start is None or self._whole:
            raise RuntimeError("a body was sent without an answer to belong to")
        self._send_body(self._start, message.get("body", b""), not message.get("more_body", False))
        if self._line.writing_paused:
            await self._line.drained()

    def _send_body(self, start: Message, body: bytes, last: bool) -> None:
        head = b"" if self._begun else self._answer_head(start, body, last)
        if self._head.method == "HEAD" or start["status"] in WITHOUT_BODY:
            body = b""
        elif not self._chunked:
            if len(body) > self._left >= 0:
                raise RuntimeError("the answer is longer than its content-length")
            self._left -= len(body)
            if last and self._left > 0:
                raise RuntimeError("the answer is shorter than its content-length")
        self._begun = True
        self._whole = last
        if not self._chunked:
            self._line.write(head, body)
        elif body:
            self._line.write(b"%b%x\r\n" % (head, len(body)), body, b"\r\n" + LAST_CHUNK if last else b"\r\n")
        else:
            self._line.write(head + LAST_CHUNK if last else head)

    def _answer_head(self, start: Message, body: bytes, last: bool) -> bytes:
        """The head, and how the body is framed: by its length where that is known, else in chunks."""
        headers = start["headers"]
        self._keeps = self._complete and self._head.keeps and self._line.may_stay()
        length = content_length(headers)
        framing = b""
        if length is not None or self._head.method == "HEAD" or start["status"] in WITHOUT_BODY:
            self._left = length or 0
        elif last:
            self._left = len(body)
            framing = b"content-length: %d\r\n" % len(body)
        elif self._head.old:
            self._left = -1  # to the connection's end
            self._keeps = False
        else:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        if not self._keeps:
            framing += b"connection: close\r\n"
        elif self._head.old:
            framing += b"connection: keep-alive\r\n"
        return answer_head(start["status"], headers, self._line.date, framing)
