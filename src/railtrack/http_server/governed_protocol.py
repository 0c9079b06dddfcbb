"""Reading of HTTP/1.1 requests: uvicorn's httptools protocol with limits and stricter checks.

The rest of a connection is in governed_connection.py; sockets and processes are in processes.py.
"""

import asyncio
import math
import re
from urllib.parse import unquote

import httptools

from railtrack.byte_budget import BUDGET
from railtrack.http_server import limits
from railtrack.http_server.chunks import ChunkedBody
from railtrack.http_server.governed_connection import GovernedConnection
from railtrack.http_server.governed_cycle import GovernedCycle
from railtrack.http_server.head import check_request_line, is_valid_host, parse_absolute_target, skip_empty_lines
from railtrack.http_server.limits import Rejection, check_head_size, limit_exceeded, unique_headers

END = b"\r\n\r\n"
FRAGMENT = ord("#")  # Python finds a number in bytes ten times faster than b"#", which it tries as a number first
METHOD = re.compile(rb"[A-Z]{1,32} ")
"""What can be a method, known or not. All standard ones are in capitals."""


class GovernedProtocol(GovernedConnection):
    """A connection that reads requests. The parser is fed heads, one at a time."""

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
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
                    self.reserve_unread()
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
            elif isinstance(error, httptools.HttpParserInvalidMethodError) and METHOD.match(self._request_line):
                self._reject(Rejection("This server does not implement the method of the request.", 501))
            else:
                self._reject(Rejection("The request is not valid HTTP/1.1."))

    def _read_head(self, data: bytes) -> bytes:
        """Feed the parser up to END and return the rest. The parser doesn't report its position, and would go on."""
        if not self._is_reading_head:
            if self._last_bytes or data[0] in b"\r\n":
                return self._skip_empty_lines(data)
            self._request_line = data
        elif b"\n" not in self._request_line:
            self._request_line += data
        searched = self._last_bytes + data
        found = searched.find(END)
        if found >= 0:
            end = found + len(END) - len(self._last_bytes)
            self._last_bytes = b""
        else:
            end = len(data)
            self._last_bytes = searched[1 - len(END) :]
        self._head_size += end
        try:
            self.parser.feed_data(data[:end])
        except httptools.HttpParserUpgrade:  # no upgrade is supported: what follows is this request's body
            self.parser = httptools.HttpRequestParser(self)
        rest = data[end:]
        if self.cycle is None:
            self._request_line = self._request_line[: self._request_line.find(b"\n") + 1 or None]
            check_head_size(self._head_size, self.url, self.headers)
            self.reserve_unread()
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
        method = self.parser.get_method()
        check_request_line(self._request_line, method, self.url)
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
            self._check_transfer_coding(coding, version)
        length = fields.get(b"content-length", b"0")
        if len(length) > limits.LENGTH_DIGITS:  # zeros, which llhttp does not limit
            raise Rejection(f"The Content-Length has more than {limits.LENGTH_DIGITS} digits.")
        host = fields.get(b"host")
        if host is None:
            if version == "1.1":
                raise Rejection("The request has no Host header.")
        elif not is_valid_host(host):
            raise Rejection("The Host header is not a host name or address with an optional port.")
        target = self.url
        if target[:1] != b"/" or FRAGMENT in target:
            target = self._origin_form(method)
        path, _, query = target.partition(b"?")  # httptools.parse_url() fails above 64 kB
        decoded = path.decode("ascii")
        try:
            decoded = unquote(decoded, errors="strict") if "%" in decoded else decoded
        except UnicodeDecodeError:
            raise Rejection("The path is not valid UTF-8.") from None
        if self._is_for_probes and decoded not in limits.PROBE_PATHS:
            # What was in use when this connection was made may wait by now.
            if self.worker_state.is_full and not self.worker_state.make_room(self):
                BUDGET.rejected_connections += 1
                raise limit_exceeded("The server has too many connections. Nothing was stored. Please retry.")
            self._is_for_probes = False
        self._body_left = int(length)
        self._chunked_body = ChunkedBody() if coding is not None else None
        self.scope = {  # type: ignore[typeddict-item]  # what wire/ reads
            "type": "http",
            "http_version": version,
            "method": method.decode("ascii"),
            "path": decoded,
            "raw_path": path,
            "query_string": query,
            "headers": self.headers,
            "client": self.client,
        }
        self.cycle = GovernedCycle(
            scope=self.scope,
            transport=self,  # type: ignore[arg-type]  # what a cycle uses of one
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
            keep_alive=self.parser.should_keep_alive() and not self._is_for_probes,
            on_response=self.on_response_complete,
        )
        self._task = self.loop.create_task(self.cycle.run_asgi(self.app))

    def on_message_complete(self) -> None:
        """Override: uvicorn's would end the body."""

    def _check_transfer_coding(self, coding: bytes, version: str) -> None:
        if version == "1.0" or self.parser.should_upgrade():
            raise Rejection("Transfer-Encoding can't be used with HTTP/1.0 or to upgrade the connection.")
        if coding.lower() != b"chunked":
            raise Rejection("The only supported Transfer-Encoding is chunked.", 501)

    def _origin_form(self, method: bytes) -> bytes:
        """Return a target that is not a path as one, or `*`. An absolute-form target replaces the Host header."""
        if FRAGMENT in self.url:
            raise Rejection("The target of the request has a fragment (#), which a client must not send.")
        if self.url == b"*" and method == b"OPTIONS":
            return self.url
        host, origin_form = parse_absolute_target(self.url)
        self.headers = [header for header in self.headers if header[0] != b"host"]
        self.headers.append((b"host", host))
        return origin_form
