"""A reverse proxy in this process, with a path prefix and a login, which can hold requests.

It serves one request per connection, which is enough for a client that sends one after the other.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Front:
    target: int
    """Port of the server."""
    prefix: str = ""
    authorization: str = ""
    """Required value of the header Authorization, unless empty."""
    holds: str = ""
    """Requests whose first line contains this never get a response."""
    tls: ssl.SSLContext | None = None
    broken: str = ""
    """Status of every response while set ("502 Bad Gateway")."""
    port: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{self.prefix}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._respond(reader, writer)
        writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.broken:
            await reader.readexactly(int(headers.get("content-length", "0")))
            return _reject(writer, self.broken)
        if self.authorization and headers.get("authorization") != self.authorization:
            return _reject(writer, "401 Unauthorized")
        if not target.startswith(f"{self.prefix}/"):
            return _reject(writer, "404 Not Found")
        if self.holds and self.holds in first:
            self.held.set()
            await reader.read(-1)  # until the client closes the connection
            return None
        head = [f"{method} {target.removeprefix(self.prefix)} HTTP/1.1", *lines, "connection: close", "", ""]
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        upstream.write("\r\n".join(head).encode())
        upstream.write(await reader.readexactly(int(headers.get("content-length", "0"))))
        while piece := await upstream_reader.read(65536):
            writer.write(piece)
            await writer.drain()
        upstream.close()
        return None


def _reject(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())


@contextlib.asynccontextmanager
async def front(
    target: int, prefix: str = "", authorization: str = "", holds: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Front]:
    made = Front(target, prefix, authorization, holds, tls)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
