"""Connections of ours in this process, on real sockets and uvloop, with an application that tests give them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import uvloop
from tests.servers.processes import TIMEOUT_S, until

from railtrack.http_server.connection import Connection
from railtrack.http_server.response_head import date_line

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


class Worker:
    """What a connection needs of gunicorn's worker."""

    def __init__(self, app: App) -> None:
        self.asgi = app
        self.loop = asyncio.get_running_loop()
        self.alive = True
        self.nr_conns = 0
        self.connections: set[Connection] = set()
        self.date = date_line()
        self.requests = 0

    def count_request(self) -> None:
        self.requests += 1


class Client:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send it, and let the other side read it before anything else."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next answer, which has a content-length."""
        head = await self.head()
        length = re.search(rb"content-length: (\d+)", head)
        body = await asyncio.wait_for(self.reader.readexactly(int(length[1]) if length else 0), TIMEOUT_S)
        return int(head.split(b" ", 2)[1]), head, body

    async def rest(self) -> bytes:
        """All that comes until the other side closes; b"" too where it resets the connection."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), TIMEOUT_S)
        return b""

    def close(self) -> None:
        self.writer.transport.abort()


class Served:
    """An application behind a port."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self.port = port

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def exchange(self, data: bytes) -> bytes:
        """What is answered to `data` on a connection of its own, to its end."""
        client = await self.client()
        await client.send(data)
        answer = await client.rest()
        client.close()
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition)


@contextlib.asynccontextmanager
async def _served(app: App) -> AsyncIterator[Served]:
    worker = Worker(app)
    server = await worker.loop.create_server(lambda: Connection(worker), "127.0.0.1", 0)
    try:
        yield Served(worker, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for connection in list(worker.connections):
            connection.abort()
        await asyncio.sleep(0.01)


def play(app: App, scene: Callable[[Served], Awaitable[None]]) -> None:
    """Run `scene` against the application, in the event loop that the server has."""

    async def run() -> None:
        async with _served(app) as served:
            await scene(served)

    uvloop.run(run())


class Gone(Exception):
    """The client closed the connection before its body was whole."""


async def read(receive: Receive) -> bytes:
    """The whole body of a request. Raises Gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send: Send, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers without a look at the body."""
    await reply(send, b"no", 403)


async def mirror(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers with all that came with the request."""
    try:
        body = await read(receive)
    except Gone:
        return
    seen = [scope["method"], scope["path"], scope["raw_path"], scope["query_string"], scope["headers"], body]
    answer = repr(seen).encode()
    await reply(send, b"" if scope["method"] == "HEAD" else answer)


def undated(answers: bytes) -> bytes:
    return re.sub(rb"date: [^\r]*", b"date: -", answers)


def error_of(answer: bytes) -> tuple[int, str]:
    """Status and error code of an answer in MLflow's form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), msgspec.json.decode(body)["error_code"]
