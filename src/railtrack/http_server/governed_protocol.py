"""One HTTP/1.1 connection: uvicorn's httptools protocol with timeouts, limits, stricter checks and a graceful close.

Sockets and processes are in processes.py.
"""

import asyncio
import contextlib
import fcntl
import math
import socket
import struct
import sys
import termios
from typing import cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from railtrack.http_server import limits
from railtrack.http_server.chunks import ChunkedBody
from railtrack.http_server.governed_cycle import GovernedCycle
from railtrack.http_server.head import check_request_line, is_valid_host, parse_absolute_target, skip_empty_lines
from railtrack.http_server.limits import HeldBytes, Rejection, check_head_size, unique_headers

END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class WorkerState(ServerState):
    """What the connections of a worker share. `is_ending`: no response may promise to keep its connection open."""

    is_ending = False


class GovernedProtocol(HttpToolsProtocol):
    """uvicorn's protocol. `cycle` is the request in progress, or None.

    The parser is fed heads, one at a time. A cycle has this object for its transport.
    """

    cycle: GovernedCycle | None  # type: ignore[assignment]

    def __init__(self, config: Config, server_state: WorkerState) -> None:
        super().__init__(config, server_state, {})
        self.worker_state = server_state
        self.cycle = None
        self.url, self.headers = b"", []
        self._task: asyncio.Task[None] | None = None
        self._is_reading_head = False
        self._head_size = 0  # bytes of an incomplete head
        self._request_line = b""  # of an incomplete head, itself perhaps incomplete
        self._last_bytes = b""  # of an incomplete head, at most 3, to find an END that was split
        self._body_left = 0  # bytes of a body with a length that are still to come
        self._chunked_body: ChunkedBody | None = None  # while it is incomplete
        self._is_half_closed = False  # by the client: it sends no more, but may be reading
        self._is_probed = False
        self._pipelined = bytearray()
        self._draining = False
        self._drained = 0
        self._output: list[bytes] = []
        self._written = 0
        self._acknowledged = 0
        self._acknowledged_at = self.loop.time()
        self._deadline = self._acknowledged_at + limits.HEAD_TIMEOUT_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is not a subclass
        if len(self.connections) > limits.CONNECTIONS_LIMIT:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._abandon_request()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._draining:
            self._drained += len(data)
            if self._drained > limits.LINGER_BYTES:
                self.transport.abort()
            return
        try:
            while data:
                if self._body_left:
                    data = self._read_counted_body(data)
                elif self._chunked_body is not None:
                    data = self._read_chunked_body(self._chunked_body, data)
                elif self.cycle is None:
                    data = self._read_head(data)
                else:
                    self._pipelined += data
                    if len(self._pipelined) > limits.HELD_LIMIT:
                        self.flow.pause_reading()
                    return
        except Rejection as error:
            self._reject(error)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Rejection):  # raised by a callback
                self._reject(error.__context__)
            elif str(error) == "Invalid HTTP version":
                self._reject(Rejection("This server speaks HTTP/1.1.", 505))
            else:
                self._reject(Rejection("The request is not valid HTTP/1.1."))

    def _read_head(self, data: bytes) -> bytes:
        """Feed the parser up to END and return the rest. The parser doesn't report its position, and would go on."""
        if not self._is_reading_head and (self._last_bytes or data[0] in b"\r\n"):
            return self._skip_empty_lines(data)
        searched = self._last_bytes + data
        found = searched.find(END)
        if found >= 0:
            end = found + len(END) - len(self._last_bytes)
            self._last_bytes = b""
        else:
            end = len(data)
            self._last_bytes = searched[1 - len(END) :]
        self._head_size += end
        if self._request_line[-1:] != b"\n":
            self._request_line += data[: data.find(b"\n") + 1 or end]
        try:
            self.parser.feed_data(data[:end])
        except httptools.HttpParserUpgrade:  # no upgrade is supported: what follows is this request's body
            self.parser = httptools.HttpRequestParser(self)
        rest = data[end:]
        if self.cycle is None:
            check_head_size(self._head_size, self.url, self.headers)
        elif self._chunked_body is None and self._body_left <= len(rest):
            self.scope["body"] = rest[: self._body_left]  # type: ignore[typeddict-unknown-key]  # for wire/request.py
            if not self._body_left:
                self._complete_request()
        return rest

    def _skip_empty_lines(self, data: bytes) -> bytes:
        empty_lines, rest = skip_empty_lines(self._last_bytes + data)
        self._last_bytes = b"" if rest or empty_lines[-1:] == b"\n" else b"\r"
        self._head_size += len(empty_lines)
        check_head_size(self._head_size, b"", ())
        return rest

    def _read_counted_body(self, data: bytes) -> bytes:
        """Read a body of known length, which the parser would copy; return the rest."""
        assert self.cycle is not None
        piece = data[: self._body_left]
        self._body_left -= len(piece)
        self.cycle.add_body(piece)
        if not self._body_left:
            self._complete_body()
        return data[len(piece) :]

    def _read_chunked_body(self, body: ChunkedBody, data: bytes) -> bytes:
        assert self.cycle is not None
        rest = body.feed(data, self.cycle.add_body)
        if body.is_complete:
            self._chunked_body = None
            self._complete_body()
        return rest

    def _complete_body(self) -> None:
        self.parser = httptools.HttpRequestParser(self)  # the other one waits for this body
        self._complete_request()

    def _complete_request(self) -> None:
        assert self.cycle is not None
        self.cycle.more_body = False
        self.cycle.message_event.set()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        self._is_reading_head = True
        self._deadline = self.loop.time() + limits.HEAD_TIMEOUT_S
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        check_head_size(self._head_size, self.url, self.headers)
        check_request_line(self._request_line)
        self._is_reading_head = False
        self._request_line = b""
        self._head_size = 0
        self._deadline = math.inf
        fields = unique_headers(self.headers)
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Rejection("This server speaks HTTP/1.1.", 505)
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if version == "1.0" or self.parser.should_upgrade():
                raise Rejection("Transfer-Encoding can't be used with HTTP/1.0 or to upgrade the connection.")
            if coding.lower() != b"chunked":
                raise Rejection("The only supported Transfer-Encoding is chunked.", 501)
        host = fields.get(b"host")
        if host is None:
            if version == "1.1":
                raise Rejection("The request has no Host header.")
        elif not is_valid_host(host):
            raise Rejection("The Host header is not a host name or address with an optional port.")
        method = self.parser.get_method().decode("ascii")
        path, _, query = self._origin_form(method).partition(b"?")  # httptools.parse_url() fails above 64 kB
        decoded = path.decode("ascii")
        try:
            decoded = unquote(decoded, errors="strict") if "%" in decoded else decoded
        except UnicodeDecodeError:
            raise Rejection("The path is not valid UTF-8.") from None
        self._body_left = int(fields.get(b"content-length", b"0"))
        self._chunked_body = ChunkedBody() if coding is not None else None
        self.scope = {  # type: ignore[typeddict-item]  # what wire/ reads
            "type": "http",
            "http_version": version,
            "method": method,
            "path": decoded,
            "raw_path": path,
            "query_string": query,
            "headers": self.headers,
            "client": self.client,
        }
        self.cycle = GovernedCycle(
            scope=self.scope,
            transport=cast(asyncio.Transport, self),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
            keep_alive=self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._task = self.loop.create_task(self.cycle.run_asgi(self.app))

    def on_message_complete(self) -> None:
        """Override: uvicorn's would end the body."""

    def _origin_form(self, method: str) -> bytes:
        """Return the target as a path with a query, or `*`. An absolute-form target replaces the Host header."""
        target = self.url
        if b"#" in target:
            raise Rejection("The target of the request has a fragment (#), which a client must not send.")
        if target[:1] == b"/" or (target == b"*" and method == "OPTIONS"):
            return target
        host, origin_form = parse_absolute_target(target)
        self.headers = [header for header in self.headers if header[0] != b"host"]
        self.headers.append((b"host", host))
        return origin_form

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
        if self.is_closing():
            return
        self._deadline = self.loop.time() + limits.KEEP_ALIVE_S
        self.flow.resume_reading()
        if self._pipelined:
            data, self._pipelined = bytes(self._pipelined), bytearray()
            self.data_received(data)
        if self._is_half_closed and not self._is_response_due():
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
        """Return True if the connection stays open: a client that sends no more may still read its response."""
        self._is_half_closed = True
        return self._is_response_due() and not self._draining

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

    def check(self, now: float) -> None:
        """Enforce the timeouts. The worker calls it every second, which costs less than timers for each request."""
        if self._is_write_stalled(now) or (self._draining and now >= self._deadline) or self._is_client_gone():
            self.abort()
        elif now >= self._deadline and not self.transport.is_closing():
            if self._is_reading_head:
                self._reject(Rejection("The request did not arrive in time.", 408))
            else:
                self.transport.close()

    def _is_write_stalled(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            acknowledged = self._written - unsent - _unacknowledged(self.transport.get_extra_info("socket"))
            if acknowledged == self._acknowledged:
                return now >= self._acknowledged_at + limits.WRITE_STALL_S
            self._acknowledged = acknowledged
        self._acknowledged_at = now
        return False

    def _is_client_gone(self) -> bool:
        """Return True if a half-closed client has disconnected, which shows only in its reaction to sent bytes.

        A server may send an interim response at any time before the response, but not to HTTP/1.0.
        """
        if not self._is_half_closed or self.cycle is None or self.cycle.response_started:
            return False
        if not self._is_probed and self.scope["http_version"] == "1.1":
            self._is_probed = True
            self.transport.write(CONTINUE)
        error: int = self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return error != 0

    def held_bytes(self) -> HeldBytes:
        body = 0 if self.cycle is None else len(self.cycle.body)
        return HeldBytes(self._head_size + len(self._pipelined), body, self.transport.get_write_buffer_size())

    def _reject(self, error: Rejection) -> None:
        """Respond with the error where that is still possible, and close the connection."""
        self._abandon_request()
        if self.cycle is not None and self.cycle.is_head_sent:
            self.transport.close()
        else:
            self.respond(error.status, "BAD_REQUEST", error.message)

    def respond(self, status: int, code: str, message: str) -> None:
        """Write a whole response in MLflow's form of an error, and close the connection once the client has read it."""
        body = msgspec.json.encode({"error_code": code, "message": message})
        headers = [*self.server_state.default_headers, (b"content-type", b"application/json")]
        headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        self._output = [STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n", body]
        self.flush()
        self._drain()

    def _abandon_request(self) -> None:
        """Report a disconnect to the application, and cancel it if it doesn't finish."""
        if self.cycle is not None and self._task is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.loop.call_later(limits.DISCONNECT_GRACE_S, self._task.cancel)

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
    with contextlib.suppress(OSError):  # not supported on macOS
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0
