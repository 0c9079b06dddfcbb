"""A reverse proxy in this process, as stands before a deployed server: with a path, a login, requests that it holds.

It serves one request a connection, which is enough for a client that takes one step after the other.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Front:
    target: int
    """The server's port."""
    prefix: str = ""
    authorization: str = ""
    """What the header has to be, if anything."""
    holds: str = ""
    """Requests whose first line has this are never answered."""
    tls: ssl.SSLContext | None = None
    broken: str = ""
    """While set ("502 Bad Gateway"), what every request is answered with."""
    port: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{self.prefix}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.broken:
            await reader.readexactly(int(headers.get("content-length", "0")))
            return _refuse(writer, self.broken)
        if self.authorization and headers.get("authorization") != self.authorization:
            return _refuse(writer, "401 Unauthorized")
        if not target.startswith(f"{self.prefix}/"):
            return _refuse(writer, "404 Not Found")
        if self.holds and self.holds in first:
            self.held.set()
            await reader.read(-1)  # until the client gives up
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


def _refuse(writer: asyncio.StreamWriter, status: str) -> None:
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
