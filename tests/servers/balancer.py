"""A TCP load balancer in this process: it distributes connections over ready replicas like a Kubernetes Service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from tests.servers.proxy import forward


class Balancer:
    """Connect clients to the `ready` ports in turn, skipping ports where nothing listens. Open connections stay."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.ready = list(ports)
        self.port = 0
        self._turn = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream = await self._connect()
        except OSError:
            writer.close()
            return
        both = {writer, upstream}
        self._open |= both
        await asyncio.gather(forward(reader, upstream), forward(upstream_reader, writer))
        self._open -= both

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._turn += 1
        first = self._turn % max(len(self.ready), 1)
        for port in (*self.ready[first:], *self.ready[:first]):  # each once, whatever other connections do
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError("no replica is ready")

    async def close(self) -> None:
        """Reset the open connections, and give the forwarding tasks time to end."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def balancer(ports: Iterable[int]) -> AsyncIterator[Balancer]:
    """Run a balancer on a free port, both sides on 127.0.0.1."""
    made = Balancer(ports)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
