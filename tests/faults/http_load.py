"""A load of requests whose every answer is kept: what was acknowledged, what was refused, what was lost on the way.

Raw sockets and no HTTP library, so that nothing is sent again behind a test's back.
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
    """The connection was refused or broke before the answer was whole: whether the request was done is unknown."""


class Connection:
    """A keep-alive connection that is made anew after a loss."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self._port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Any) -> Response:
        """Send a JSON body to a path below /api/2.0/mlflow/. Raises Lost."""
        return await self.send(request(self._host, f"/api/2.0/mlflow/{path}", body))

    async def get(self, path: str) -> Response:
        return await self.send(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    async def send(self, head_and_body: bytes) -> Response:
        """Send a whole request and read its answer. Raises Lost."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = self.streams or await self.connect()
                writer.write(head_and_body)
                return await self._answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost(repr(error)) from None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.streams = await asyncio.open_connection(self._host, self._port)
        return self.streams

    async def _answer(self, reader: asyncio.StreamReader) -> Response:
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
    """A POST of a JSON body, whole."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


@dataclass
class Outcome:
    """What became of the requests of a load, each known by the item that it was made of."""

    acknowledged: list[Any] = field(default_factory=list)
    refused: list[tuple[Any, Response]] = field(default_factory=list)
    lost: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """How often each status other than 200 was answered."""
        return Counter(response.status for _, response in self.refused)


async def drive(
    port: int,
    connections: int,
    items: Iterable[Any],
    send: Callable[[Connection, Any], Awaitable[Response]],
    outcome: Outcome,
) -> None:
    """Send a request for each item, whichever connection is free taking the next one. An item is tried once."""
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
            await asyncio.sleep(0.02)  # a server that is away is not asked in a tight loop
            continue
        if response.status == 200:
            outcome.acknowledged.append(item)
        else:
            outcome.refused.append((item, response))
    connection.close()
