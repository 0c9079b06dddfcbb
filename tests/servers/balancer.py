"""A TCP balancer in this process: connections in turn to the replicas that are ready, as a Kubernetes Service does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Balancer:
    """Connections go to `ready` ports in turn; one that refuses is passed over. Open ones stay where they are."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.ready = list(ports)
        self.port = 0
        self._turn = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            upstream_reader, upstream = await self._connect()
            await asyncio.gather(_pass_on(reader, upstream), _pass_on(upstream_reader, writer))
        except OSError:
            writer.close()
        finally:
            self._serving.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self.ready)):
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self.ready[self._turn % len(self.ready)])
        raise ConnectionRefusedError("no replica is ready")

    async def close(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


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
