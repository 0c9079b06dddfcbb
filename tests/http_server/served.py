"""Connections in this process, on real sockets and uvloop, for an application of the test."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, cast

import msgspec
import uvloop
from tests.servers.processes import TIMEOUT_S, until

from railtrack.http_server.admission import WorkerState
from railtrack.http_server.governed_protocol import GovernedProtocol
from railtrack.http_server.limits import HeldBytes
from railtrack.http_server.processes import protocol_config
from railtrack.http_server.tls_connection import TlsConnection

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"
HEAD = b"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
ALL = GET + POST + CHUNKS + HEAD + b"\r\n" + LAST


def upload(length: int, *headers: str) -> bytes:
    lines = ["PUT / HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


class Tls(NamedTuple):
    """The contexts of a server with TLS, and of a client that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


class Client:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send `data`, and let the server read it."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)

    async def response(self) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next response, which has a content-length."""
        head = await self.head()
        length = re.search(rb"content-length: (\d+)", head)
        body = await asyncio.wait_for(self.reader.readexactly(int(length[1]) if length else 0), TIMEOUT_S)
        return int(head.split(b" ", 2)[1]), head, body

    async def rest(self) -> bytes:
        """Return what arrives until the server closes; b"" also if it resets the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), TIMEOUT_S)
        return b""

    def close(self) -> None:
        self.writer.transport.abort()


class Served:
    """An application behind a port."""

    def __init__(self, state: WorkerState, port: int, trust: ssl.SSLContext | None) -> None:
        self.state = state
        self.port = port
        self._trust = trust

    @property
    def connections(self) -> list[GovernedProtocol]:
        return cast(list[GovernedProtocol], list(self.state.connections))

    def is_any_busy(self) -> bool:
        return any(connection.cycle for connection in self.connections)

    def held(self) -> HeldBytes:
        """Return what the only connection holds in memory."""
        [connection] = self.connections
        return connection.held_bytes()

    def check(self, seconds: float) -> None:
        """Do what the worker does every second, `seconds` from now."""
        for connection in self.connections:
            connection.check(connection.loop.time() + seconds)

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self._trust))

    async def plain_client(self) -> Client:
        """Return a client that does not speak TLS."""
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def exchange(self, data: bytes) -> bytes:
        """Send `data` on a new connection, and return what arrives until the server closes it."""
        client = await self.client()
        await client.send(data)
        answer = await client.rest()
        client.close()
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition)


@contextlib.asynccontextmanager
async def _served(app: App, tls: Tls | None) -> AsyncIterator[Served]:
    config, state = protocol_config(app), WorkerState()
    state.default_headers.append((b"date", b"Mon, 30 Nov 2026 12:00:00 GMT"))

    def connection() -> asyncio.Protocol:
        governed = GovernedProtocol(config, state)
        return governed if tls is None else TlsConnection(tls.server, governed)

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    served = Served(state, server.sockets[0].getsockname()[1], tls.client if tls else None)
    try:
        yield served
    finally:
        server.close()
        for connection in served.connections:
            connection.abort()
        await asyncio.sleep(0.01)


def play(app: App, scene: Callable[[Served], Awaitable[None]], tls: Tls | None = None) -> None:
    """Run `scene` against the application, in the event loop that the server has."""

    async def run() -> None:
        async with _served(app, tls) as served:
            await scene(served)

    uvloop.run(run())


class Disconnected(Exception):
    """The client disconnected before its body was complete."""


async def read(receive: Receive) -> bytes:
    """Return the whole body of a request. Raise Disconnected if the client disconnects before."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send: Send, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def reject(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Respond without receiving the body."""
    await reply(send, b"no", 403)


async def mirror(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Respond with everything that the application gets of the request."""
    try:
        body = await read(receive)
    except Disconnected:
        return
    seen = [scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["headers"], body]
    answer = repr(seen).encode()
    await reply(send, b"" if scope["method"] == "HEAD" else answer)


def undated(answers: bytes) -> bytes:
    return re.sub(rb"date: [^\r]*", b"date: -", answers)


def error_of(answer: bytes) -> tuple[int, str]:
    """Return status and error code of a response in MLflow's form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), msgspec.json.decode(body)["error_code"]
