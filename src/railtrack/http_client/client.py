"""An HTTP/1.1 client for one origin: requests with a body of known length, streamed responses. No redirects or retries.

Nothing is opened before the first request, so a client may be made before a fork.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

from railtrack.errors import describe_os_error
from railtrack.http_client.connection import HEAD_LIMIT_BYTES, IDLE_TIMEOUT_S, ClientConnection, Sendable
from railtrack.http_client.response_head import ResponseHead, parse_chunk_size, parse_head

CONNECT_TIMEOUT_S = 5.0
MAX_IDLE_CONNECTIONS = 16
MAX_IDLE_S = 15.0
"""Idle connections are closed before servers close them (AWS: after about 20 s)."""
READ_CHUNK_BYTES = 256 * 1024
WRITE_CHUNK_BYTES = 512 * 1024
"""Bytes that the peer has IDLE_TIMEOUT_S to accept."""
Body = Sendable | list[bytes]
"""Bytes, or a list of chunks."""
INTERIM_RESPONSES_LIMIT = 10
"""1xx responses before the response."""
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"))
"""OpenSSL's reasons for a response in plain text."""
_FAILURES = (OSError, EOFError, ValueError, TimeoutError)
"""Exceptions of a broken connection, and of a response that is not HTTP."""


class TransferError(OSError):
    """The connection failed, or the response is not HTTP."""


class NotConnectedError(TransferError):
    """No connection could be made. The peer has not seen the request."""


class UntrustedError(TransferError):
    """No TLS with the peer, for a reason that a retry does not change."""


class Origin(NamedTuple):
    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Return the origin of a URL with the scheme http or https and a host."""
        parts = urlsplit(url)
        assert parts.hostname, "the caller has validated the URL"
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80))

    @property
    def netloc(self) -> str:
        """Return the value of the Host header, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.netloc}"


class _IdleConnection(NamedTuple):
    connection: ClientConnection
    since: float


class HttpClient:
    """A client of one origin that keeps idle connections.

    `addresses`: connect to the first of these that accepts, instead of resolving the host.
    `ca_bundle`: file of the trusted certificates, "" for the system's. `ignores_tls`: trust any certificate.
    `tls`: the context to use instead.
    """

    def __init__(
        self,
        origin: Origin,
        addresses: Sequence[str] = (),
        ca_bundle: str = "",
        *,
        ignores_tls: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.origin = origin
        self._ca_bundle = ca_bundle
        self._ignores_tls = ignores_tls
        self._addresses = addresses
        self._idle: list[_IdleConnection] = []

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = b"",
    ) -> "HttpResponse":
        """Send a request and return the response, whose body is still to be read. Raise TransferError."""
        connection = self._take_idle() or await self._connect()
        head = _head(method, target, headers, body)
        try:
            is_lost = await _write(connection, head, body)
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                response_head = await _read_head(connection)
        except _FAILURES as error:
            connection.abort()
            self.close()  # idle connections are likely broken, too: the next attempt gets a new one
            raise TransferError(_describe(error)) from error
        except BaseException:
            connection.abort()
            raise
        return HttpResponse(self, connection, response_head, has_body=method != "HEAD", is_lost=is_lost)

    def keep(self, connection: ClientConnection) -> None:
        if len(self._idle) < MAX_IDLE_CONNECTIONS and connection.is_idle:
            self._idle.append(_IdleConnection(connection, time.monotonic()))
        else:
            connection.abort()

    def close(self) -> None:
        """Close the idle connections."""
        for connection, _ in self._idle:
            connection.abort()
        self._idle.clear()

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if time.monotonic() - since < MAX_IDLE_S and connection.is_idle:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> ClientConnection:
        # Names below `localhost` are this machine (RFC 6761), which not every resolver knows.
        host = "localhost" if self.origin.host.endswith(".localhost") else self.origin.host
        *others, last = self._addresses or [host]
        for address in others:
            with suppress(TransferError):
                return await self._connect_to(address)
        return await self._connect_to(last)

    async def _connect_to(self, address: str) -> ClientConnection:
        tls = self._tls
        if tls is None and self.origin.secure:
            tls = _tls(self._ca_bundle, ignores_tls=self._ignores_tls)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    ClientConnection,
                    address,
                    self.origin.port,
                    ssl=tls,
                    server_hostname=self.origin.host if tls else None,
                )
        except (socket.gaierror, UnicodeError) as error:  # UnicodeError: not a host name, such as `a..b`
            raise NotConnectedError(f"{self.origin.host}: {_describe(error)}") from error
        except ssl.SSLError as error:
            is_permanent = isinstance(error, ssl.SSLCertVerificationError) or error.reason in _NO_TLS
            raise (UntrustedError if is_permanent else NotConnectedError)(_describe(error)) from error
        except (OSError, TimeoutError) as error:
            raise NotConnectedError(_describe(error)) from error
        return connection


@cache
def _tls(ca_bundle: str, *, ignores_tls: bool) -> ssl.SSLContext:
    """Return a context for all connections: each would hold 1.2 MB of certificates."""
    if ignores_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:
        raise UntrustedError(f"AWS_CA_BUNDLE: {ca_bundle} has no certificates") from error


class HttpResponse:
    """A response: status, headers with lower-case names, and a body to be read once, or closed."""

    def __init__(
        self,
        client: HttpClient,
        connection: ClientConnection,
        head: ResponseHead,
        *,
        has_body: bool,
        is_lost: bool,
    ) -> None:
        self.status = head.status
        self.headers = head.headers
        self._client = client
        self._connection: ClientConnection | None = connection
        self._reusable = not (is_lost or head.is_last)
        self._chunked = head.is_chunked
        self._remaining = head.length
        if not has_body or head.status in (204, 304):
            self._remaining, self._chunked = 0, False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in chunks of at most READ_CHUNK_BYTES. Raise TransferError if it is incomplete."""
        chunks = self._chunked_body() if self._chunked else self._plain_body()
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
            self._release()
        except _FAILURES as error:
            raise TransferError(_describe(error)) from error
        finally:
            self.close()

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raise TransferError if it is longer than `limit` bytes."""
        body: list[bytes] = []
        length = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body.append(chunk)
                length += len(chunk)
                if length > limit:
                    raise TransferError(f"the response is longer than {limit} bytes")
        return b"".join(body)

    def close(self) -> None:
        """Discard the rest of the body, and the connection with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        if self._reusable and (self._chunked or self._remaining == 0):
            self._client.keep(connection)
        else:
            connection.abort()

    async def _plain_body(self) -> AsyncGenerator[bytes, None]:
        connection = self._open_connection()
        while self._remaining != 0:
            chunk = await connection.read_some(
                READ_CHUNK_BYTES if self._remaining is None else min(READ_CHUNK_BYTES, self._remaining)
            )
            if not chunk:
                if self._remaining is None:
                    return
                raise EOFError("the response is incomplete")
            if self._remaining is not None:
                self._remaining -= len(chunk)
            yield chunk

    async def _chunked_body(self) -> AsyncGenerator[bytes, None]:
        connection = self._open_connection()
        while size := parse_chunk_size(await connection.read_until(b"\r\n")):
            while size:
                chunk = await connection.read_some(min(READ_CHUNK_BYTES, size))
                if not chunk:
                    raise EOFError("the response is incomplete")
                size -= len(chunk)
                yield chunk
            if (end := await connection.read_until(b"\r\n")) != b"\r\n":
                raise ValueError(f"the response has a chunk that is longer than its size: {end[:40]!r}")
        trailers_size = 0
        while (trailer := await connection.read_until(b"\r\n")) != b"\r\n":
            trailers_size += len(trailer)
            if trailers_size > HEAD_LIMIT_BYTES:
                raise ValueError(f"the trailers of the response exceed {HEAD_LIMIT_BYTES} bytes")

    def _open_connection(self) -> ClientConnection:
        assert self._connection is not None, "the body can be read once"
        return self._connection


def _head(method: str, target: str, headers: Mapping[str, str], body: Body) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method in ("PUT", "POST"):
        lines.append(f"content-length: {sum(map(len, chunks_of(body)))}")
    return "\r\n".join([*lines, "\r\n"]).encode()


async def _write(connection: ClientConnection, head: bytes, body: Body) -> bool:
    """Send a request. Return whether the connection was lost: a server that rejects a request may respond and close
    before it has read the body.
    """
    connection.begin_exchange()
    try:
        await connection.write(head)
        for chunk in chunks_of(body):
            for at in range(0, len(chunk), WRITE_CHUNK_BYTES):
                await connection.write(memoryview(chunk)[at : at + WRITE_CHUNK_BYTES])
    except ConnectionError:
        return True
    return False


def chunks_of(body: Body) -> Sequence[Sendable]:
    return body if isinstance(body, list) else [body]


async def _read_head(connection: ClientConnection) -> ResponseHead:
    for _ in range(INTERIM_RESPONSES_LIMIT + 1):
        head = parse_head(await connection.read_until(b"\r\n\r\n"))
        if head.status >= 200:
            return head
    raise ValueError(f"more than {INTERIM_RESPONSES_LIMIT} interim responses precede the response")


def _describe(error: BaseException) -> str:
    """Return a short description without the address, which the caller adds."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "it does not use TLS (use http:// instead)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError):
        return describe_os_error(error)
    return str(error) or type(error).__name__
