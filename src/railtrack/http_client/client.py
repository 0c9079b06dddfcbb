"""HTTP/1.1 to one host: requests with a body of known length, answers read as a stream.

Nothing is opened before the first request, so a client may be made before a fork. What answers mean is not in here,
nor are redirects and retries.
"""

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from railtrack.http_client.connection import IDLE_LIMIT_S, Connection, Sendable

CONNECT_LIMIT_S = 5.0
KEPT_CONNECTIONS = 16
KEPT_S = 15.0
"""Idle connections are used again for less time than servers keep them (AWS: about 20 s)."""
READ_BYTES = 256 * 1024
SENT_BYTES = 512 * 1024
"""What the other side has IDLE_LIMIT_S to accept."""
Body = Sendable | list[bytes]
"""Bytes, or pieces of them."""
CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"))
"""What OpenSSL calls an answer that is plain text."""
FAILURES = (OSError, EOFError, ValueError, TimeoutError)
"""What a broken connection, or an answer that is no HTTP, raises."""


class TransferError(OSError):
    """The connection failed, or what came over it is no HTTP."""


class NotConnectedError(TransferError):
    """No connection could be made: the other side has seen nothing of the request."""


class UntrustedError(TransferError):
    """No TLS with the other side, for a reason that will be the same in a moment."""


class Origin(NamedTuple):
    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Of a URL with a scheme of http or https and a host; the rest of it does not matter."""
        parts = urlsplit(url)
        assert parts.hostname, "the settings were checked"
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80))

    @property
    def netloc(self) -> str:
        """The Host header's value: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.netloc}"


class _Kept(NamedTuple):
    connection: Connection
    since: float
    """When it was last used."""


class HttpClient:
    """Requests to one origin, on connections that are kept for the next one.

    `addresses`: connect to the first of these that answers, in place of what the host's name means at the time.
    `ca_bundle`: the file of the certificates that are trusted, "" for the system's.
    """

    def __init__(self, origin: Origin, addresses: Sequence[str] = (), ca_bundle: str = "") -> None:
        self.origin = origin
        self._ca_bundle = ca_bundle
        self._addresses = addresses
        self._kept: list[_Kept] = []

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = b"",
    ) -> "HttpAnswer":
        """The answer, its body still to be read. Raises TransferError."""
        connection = self._idle() or await self._connect()
        head = _head(method, target, headers, body)
        try:
            lost = await _write(connection, head, body)
            async with asyncio.timeout(IDLE_LIMIT_S):
                status, answered = await _read_head(connection)
        except FAILURES as error:
            connection.abort()
            self.close()  # what is idle has likely died with it: the next attempt is to have a new connection
            raise TransferError(_said(error)) from error
        except BaseException:
            connection.abort()
            raise
        return HttpAnswer(self, connection, status, answered, bare=method == "HEAD", reusable=not lost)

    def keep(self, connection: Connection) -> None:
        if len(self._kept) < KEPT_CONNECTIONS and connection.is_idle:
            self._kept.append(_Kept(connection, time.monotonic()))
        else:
            connection.abort()

    def close(self) -> None:
        """Close the idle connections."""
        for connection, _ in self._kept:
            connection.abort()
        self._kept.clear()

    def _idle(self) -> Connection | None:
        while self._kept:
            connection, since = self._kept.pop()
            if time.monotonic() - since < KEPT_S and connection.is_idle:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        *others, last = self._addresses or [_address(self.origin.host)]
        for address in others:
            with suppress(TransferError):
                return await self._connect_to(address)
        return await self._connect_to(last)

    async def _connect_to(self, address: str) -> Connection:
        tls = _tls(self._ca_bundle) if self.origin.secure else None
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    address,
                    self.origin.port,
                    ssl=tls,
                    server_hostname=self.origin.host if tls else None,
                )
        except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no name at all, as `a..b`
            raise NotConnectedError(f"{self.origin.host}: {_said(error)}") from error
        except ssl.SSLError as error:
            is_lasting = isinstance(error, ssl.SSLCertVerificationError) or error.reason in NO_TLS
            raise (UntrustedError if is_lasting else NotConnectedError)(_said(error)) from error
        except (OSError, TimeoutError) as error:
            raise NotConnectedError(_said(error)) from error
        return connection


@cache
def _tls(ca_bundle: str) -> ssl.SSLContext:
    """One for all: each would hold the system's certificates, 1.2 MB."""
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise UntrustedError(f"AWS_CA_BUNDLE: {ca_bundle} has no certificates") from error


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not CHUNK_SIZE.fullmatch(size):  # int() takes signs and underscores, too
        raise ValueError("a chunk without a size")
    return int(size, 16)


def _address(host: str) -> str:
    """What to look up: names below `localhost` are this machine (RFC 6761), which not every resolver knows."""
    return "localhost" if host.endswith(".localhost") else host


class HttpAnswer:
    """Status and headers (names in lower case) of an answer, and its body, to be read once or closed unread."""

    def __init__(
        self,
        client: HttpClient,
        connection: Connection,
        status: int,
        headers: dict[str, str],
        *,
        bare: bool,
        reusable: bool,
    ) -> None:
        self.status = status
        self.headers = headers
        self._client = client
        self._connection: Connection | None = connection
        self._reusable = reusable and headers.get("connection", "").lower() != "close"
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length", "")
        self._left = int(length) if length.isdigit() else None
        if bare or status in (204, 304):
            self._left, self._chunked = 0, False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces of at most READ_BYTES. Raises TransferError when it is cut short."""
        pieces = self._chunked_body() if self._chunked else self._plain_body()
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
            self._release()
        except FAILURES as error:
            raise TransferError(_said(error)) from error
        finally:
            self.close()

    async def read(self, limit: int) -> bytes:
        """The whole body; TransferError when it is longer than `limit` bytes."""
        pieces: list[bytes] = []
        length = 0
        async with aclosing(self.chunks()) as chunks:
            async for piece in chunks:
                pieces.append(piece)
                length += len(piece)
                if length > limit:
                    raise TransferError(f"an answer longer than {limit} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Give up what was not read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        if self._reusable and (self._chunked or self._left == 0):
            self._client.keep(connection)
        else:
            connection.abort()

    async def _plain_body(self) -> AsyncGenerator[bytes, None]:
        connection = self._opened()
        while self._left != 0:
            piece = await connection.some(READ_BYTES if self._left is None else min(READ_BYTES, self._left))
            if not piece:
                if self._left is None:
                    return
                raise EOFError("the answer was cut short")
            if self._left is not None:
                self._left -= len(piece)
            yield piece

    async def _chunked_body(self) -> AsyncGenerator[bytes, None]:
        connection = self._opened()
        while size := _chunk_size(await connection.until(b"\r\n")):
            while size:
                piece = await connection.some(min(READ_BYTES, size))
                if not piece:
                    raise EOFError("the answer was cut short")
                size -= len(piece)
                yield piece
            await connection.until(b"\r\n")
        while await connection.until(b"\r\n") != b"\r\n":
            pass  # trailers

    def _opened(self) -> Connection:
        assert self._connection is not None, "the body is read once"
        return self._connection


def _head(method: str, target: str, headers: Mapping[str, str], body: Body) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method in ("PUT", "POST"):
        lines.append(f"content-length: {sum(map(len, pieces_of(body)))}")
    return "\r\n".join([*lines, "\r\n"]).encode()


async def _write(connection: Connection, head: bytes, body: Body) -> bool:
    """Whether the connection was lost meanwhile: who refuses a request may answer and hang up before all is sent."""
    try:
        await connection.write(head)
        for piece in pieces_of(body):
            for at in range(0, len(piece), SENT_BYTES):
                await connection.write(memoryview(piece)[at : at + SENT_BYTES])
    except ConnectionError:
        return True
    return False


def pieces_of(body: Body) -> Sequence[Sendable]:
    return body if isinstance(body, list) else [body]


async def _read_head(connection: Connection) -> tuple[int, dict[str, str]]:
    while True:
        head = await connection.until(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status = first.split(" ", 2)[:2]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        if int(status) >= 200:
            return int(status), headers


def _said(error: BaseException) -> str:
    """The error in a few words, without addresses that the log already has."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
        return "it speaks no TLS (http:// is right then)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio has "Connect call failed" instead
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
