"""The TLS of one connection, between its socket and a protocol that reads and writes plain text.

asyncio's own TLS keeps up to 512 kB of a response in buffers that `get_write_buffer_size()` does not count, so the byte
budget and the timeouts of slow clients would not see them. Here, all that is written goes to the socket's transport at
once. The context is in tls.py.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterable
from typing import Any, cast

from railtrack.http_server.governed_connection import GovernedConnection

log = logging.getLogger("railtrack")

PIECE_BYTES = 16 * 1024
"""What passes a memory BIO at once, the plain text of one record. A BIO keeps the memory of its largest content."""
REPLIES_LIMIT = 16 * 1024
"""Bytes that TLS itself may send on a connection after the handshake. A client can request updates of keys without end:
each is 27 bytes in a buffer that the byte budget does not count.
"""
USE_HTTPS = "This port speaks HTTPS. Use https:// in the URL."
"""For a client that speaks plain HTTP. docker-healthcheck.sh knows it."""


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """The protocol of the socket's transport, and the transport of `inner`, which counts as connected from the start:
    clients in the handshake are among the limited connections.
    """

    def __init__(self, context: ssl.SSLContext, inner: GovernedConnection) -> None:
        super().__init__()
        self._inner = inner
        self._received_bytes, self._encrypted_bytes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._context = context
        self._tls = context.wrap_bio(self._received_bytes, self._encrypted_bytes, server_side=True)
        self._is_established = False
        self._is_plain = False  # the client does not speak TLS, and is still to read the response
        self._pending: list[bytes] = []  # written before the handshake is complete: a rejection
        self._is_closing = False
        self._is_eof_written = False
        self._is_eof_received = False
        self._is_eof_reported = False
        self._replied = 0  # bytes that TLS itself has sent since the handshake

    # The protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._is_plain:
            self._inner.data_received(data)
            return
        pieces: list[bytes] = []
        view = memoryview(data)
        try:
            for start in range(0, len(data), PIECE_BYTES):
                self._received_bytes.write(view[start : start + PIECE_BYTES])
                if not self._is_established:
                    self._shake_hands()
                if self._is_established:
                    self._decrypt(pieces)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if self._is_established:
            self._replied += self._encrypted_bytes.pending
            if self._replied > REPLIES_LIMIT:
                log.debug("TLS with %s failed: too many updates of keys", self.get_extra_info("peername"))
                self.abort()
                return
        self._flush_encrypted()  # a part of the handshake, or the response to a message such as an update of keys
        if pieces:
            self._inner.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._is_eof_received:
            self._report_eof()

    def eof_received(self) -> bool:
        if not self._is_established:
            return False  # close the connection
        self._report_eof()
        return True

    def _report_eof(self) -> None:
        """Report the end of the client's side, which may come twice: from TLS and from TCP."""
        if not self._is_eof_reported:
            self._is_eof_reported = True
            if not self._inner.eof_received():
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self._is_established = True
        self._flush_encrypted()
        pending, self._pending = self._pending, []
        self.writelines(pending)
        if self._is_eof_written:
            self._end_writing()

    def _decrypt(self, pieces: list[bytes]) -> None:
        """Append the plain text of what has arrived. It is empty after close_notify, if nothing was notified here."""
        try:
            while data := self._tls.read(PIECE_BYTES):
                pieces.append(data)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self._is_eof_received = True

    def _fail(self, error: ssl.SSLError) -> None:
        """End the connection of a client that does not speak TLS, or none that this server accepts."""
        log.debug("TLS with %s failed: %s", self.get_extra_info("peername"), error.reason or error)
        if error.reason == "HTTP_REQUEST":
            self._is_plain = True
            self._inner.respond(400, "BAD_REQUEST", USE_HTTPS)
            return
        self._flush_encrypted()  # the alert
        self._is_closing = True
        self._transport.close()

    def _flush_encrypted(self) -> None:
        if self._encrypted_bytes.pending:
            self._transport.write(self._encrypted_bytes.read())

    # The transport of the inner protocol

    def write(self, data: Any) -> None:
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self._is_plain:
            self._transport.writelines(list(list_of_data))
            return
        if not self._is_established:
            self._pending += [bytes(data) for data in list_of_data]
            return
        try:
            encrypted = [piece for data in list_of_data for piece in self._encrypted(memoryview(data))]
        except ssl.SSLError:
            self.abort()
            return
        if len(encrypted) == 1:
            self._transport.write(encrypted[0])
        elif encrypted:
            self._transport.writelines(encrypted)

    def _encrypted(self, data: memoryview) -> Iterable[bytes]:
        while data:
            data = data[self._tls.write(data[:PIECE_BYTES]) :]
            yield self._encrypted_bytes.read()

    def write_eof(self) -> None:
        """End this side of the connection. In the handshake, as soon as that is complete."""
        self._is_eof_written = True
        if self._is_plain:
            self._transport.write_eof()
        elif self._is_established:
            self._end_writing()

    def _end_writing(self) -> None:
        self._notify_close()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if self.is_closing():
            return
        self._is_closing = True
        if self._is_established and not self._is_eof_written:
            self._notify_close()
        self._transport.close()

    def _notify_close(self) -> None:
        """Send close_notify. The client's own one is not waited for."""
        with contextlib.suppress(ssl.SSLError):  # it would wait for the client's
            self._tls.unwrap()
        self._flush_encrypted()

    def abort(self) -> None:
        self._is_closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._pending))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._context if name == "sslcontext" else self._transport.get_extra_info(name, default)
