"""A TCP balancer in this process: connections in turn to the replicas that are ready, as a Kubernetes Service does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from tests.servers.proxy import forward


class Balancer:
    """Connections go to `ready` ports in turn; one that refuses is passed over. Open ones stay where they are."""

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
        for port in (*self.ready[first:], *self.ready[:first]):  # each once, whatever other connections take meanwhile
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError("no replica is ready")

    async def close(self) -> None:
        """Break what is still open, and give those who pass bytes on the time to notice."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def balancer(ports: Iterable[int]) -> AsyncIterator[Balancer]:
    """A balancer on a port of its own, both sides on 127.0.0.1."""
    made = Balancer(ports)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
