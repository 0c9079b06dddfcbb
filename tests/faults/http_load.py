"""Send a load of requests and record each outcome: acknowledged, rejected, or lost.

Uses raw sockets and no HTTP library, so that no request is retried implicitly.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.processes import TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Lost(Exception):
    """The connection failed before the response was complete. The server may have processed the request."""


class Connection:
    """A keep-alive connection that is reopened after it was lost."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Any) -> Response:
        """Send a JSON body to a path below /api/2.0/mlflow/. Raise Lost if the connection fails."""
        return await self.send(request(self._host, f"/api/2.0/mlflow/{path}", body))

    async def get(self, path: str) -> Response:
        return await self.send(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def send(self, head_and_body: bytes) -> Response:
        """Send a complete request and read its response. Raise Lost if the connection fails."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = self.streams or await self.connect()
                writer.write(head_and_body)
                return await self._read_response(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost(repr(error)) from None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.streams = await asyncio.open_connection(self._host, self._port)
        return self.streams

    async def _read_response(self, reader: asyncio.StreamReader) -> Response:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return Response(int(status_line.split(" ", 2)[1]), headers, body)

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None


def request(host: str, path: str, body: Any) -> bytes:
    """Return the bytes of a POST with a JSON body."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


@dataclass
class Outcome:
    """The outcomes of the requests of a load, by the items that they were created from."""

    acknowledged: list[Any] = field(default_factory=list)
    rejected: list[tuple[Any, Response]] = field(default_factory=list)
    lost: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """Return the number of responses by status, without 200."""
        return Counter(response.status for _, response in self.rejected)


async def drive(
    port: int,
    connections: int,
    items: Iterable[Any],
    send: Callable[[Connection, Any], Awaitable[Response]],
    outcome: Outcome,
) -> None:
    """Send one request for each item, on the next free connection. Requests are not retried."""
    left = iter(items)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_work(Connection(port), left, send, outcome))


async def _work(
    connection: Connection,
    items: Iterator[Any],
    send: Callable[[Connection, Any], Awaitable[Response]],
    outcome: Outcome,
) -> None:
    for item in items:
        try:
            response = await send(connection, item)
        except Lost as error:
            outcome.lost.append((item, str(error)))
            await asyncio.sleep(0.02)  # do not poll a stopped server in a tight loop
            continue
        if response.status == 200:
            outcome.acknowledged.append(item)
        else:
            outcome.rejected.append((item, response))
    connection.close()
