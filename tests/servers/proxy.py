"""A TCP proxy in this process, with which tests break connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Forward bytes between its port and `target`, until a test cuts connections."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._clients: list[asyncio.StreamWriter] = []
        self._upstream: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._forwards = asyncio.Event()
        self._forwards.set()
        self._forwards_responses = asyncio.Event()
        self._forwards_responses.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
        self._clients.append(writer)
        self._upstream.append(upstream)
        await asyncio.gather(
            forward(reader, upstream, self._forwards), forward(upstream_reader, writer, self._forwards_responses)
        )

    async def accept(self) -> None:
        """Listen: on a free port at first, on the same one later."""
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all connections and stop listening until accept()."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def hold(self) -> None:
        """Accept connections, but forward nothing until release()."""
        self._forwards.clear()
        self._forwards_responses.clear()

    async def hold_responses(self) -> None:
        """Forward nothing from the target to the clients until release()."""
        self._forwards_responses.clear()

    async def release(self) -> None:
        """Forward what arrived since hold(), and what arrives."""
        self._forwards.set()
        self._forwards_responses.set()

    async def send_to_clients(self, message: bytes) -> None:
        """Send bytes to all connected clients as if the target did, and give them time to read."""
        for writer in self._clients:
            writer.write(message)
        await asyncio.sleep(0.05)

    async def cut(self) -> None:
        """Reset all connections on both sides, and give both sides time to notice."""
        for writer in (*self._clients, *self._upstream):
            writer.transport.abort()
        self._clients.clear()
        self._upstream.clear()
        await asyncio.sleep(0.05)


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forwards: asyncio.Event | None = None
) -> None:
    """Forward bytes in one direction until it ends, while `forwards` is set."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            if forwards is not None:
                await forwards.wait()
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port in front of `target`, both on 127.0.0.1."""
    made = Proxy(target)
    await made.accept()
    try:
        yield made
    finally:
        await made.close()


def proxy_of(url: str) -> contextlib.AbstractAsyncContextManager[Proxy]:
    """Run a proxy in front of the server of this URL."""
    return proxy(urlsplit(url).port or 5432)
