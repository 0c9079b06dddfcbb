"""Slow, stalled and vanishing clients of artifacts in S3 do not delay others, use bounded memory, and leave nothing in
the bucket.
"""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Connection
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.s3 import S3Server, s3_server

from railtrack.http_server.processes import TRIM_EVERY_S

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SLOW = 50
FIRST_BYTES = 300_000
"""Bytes that a slow writer sends at once: more than the uncounted block of a part."""
LARGE = os.urandom(20_000_000)
MEMORY_MB = 256
WINDOW_MB = 1.2
"""Memory of one download: received from the store, and sent to a client that has not acknowledged it."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.new_bucket("slow")


@pytest.fixture(scope="module")
def server(s3: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    environment = {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}"}
    with railtrack_server(tmp_path_factory.mktemp("slow-s3"), workers=2, environment=environment) as server:
        yield server


class SlowClients:
    """Clients that upload or download 1 kB per second."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def write(self, name: str) -> None:
        writer = (await self._open())[1]
        head = f"PUT {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        writer.write(head.encode() + LARGE[:FIRST_BYTES])
        self._tasks.append(asyncio.create_task(_write_slowly(writer)))

    async def read(self, name: str) -> None:
        reader, writer = await self._open()
        writer.write(f"GET {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._tasks.append(asyncio.create_task(_read_slowly(reader)))

    async def vanish(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # A small limit makes the stream stop reading from the socket.
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
        self._writers.append(writer)
        return reader, writer


async def _write_slowly(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(1)
            writer.write(bytes(1000))
            await writer.drain()


async def _read_slowly(reader: asyncio.StreamReader) -> None:
    while True:
        await asyncio.sleep(1)
        await reader.read(1000)


async def put(server: RailtrackServer, name: str, body: bytes) -> int:
    connection = Connection(server.port)
    head = f"PUT {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    response = await connection.send(head.encode() + body)
    connection.close()
    return response.status


async def download_digest(server: RailtrackServer, name: str) -> str:
    """Download an artifact and return its SHA-256."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 200 " in head.split(b"\r\n")[0]
    return hashlib.sha256(body).hexdigest()


async def wait_until_only(s3: S3Server, bucket: str, names: set[str]) -> None:
    """Wait until the bucket holds exactly these objects and no unfinished uploads."""

    def left() -> tuple[set[str], list[str]]:
        return set(s3.objects(bucket)), s3.unfinished_uploads(bucket)

    await until(lambda: left() == (names, []), left)


def test_slow_clients_use_bounded_memory_and_do_not_delay_others(
    server: RailtrackServer, s3: S3Server, bucket: str
) -> None:
    async def play() -> None:
        assert await put(server, "large", LARGE) == 200
        slow = SlowClients(server.port)
        for number in range(SLOW):
            await slow.write(f"slow/{number}")
            await slow.read("large")
        await asyncio.sleep(3)
        for number in range(4):  # requests that wait for memory of slow clients would be rejected in the end
            assert await put(server, f"fast/{number}", LARGE) == 200
        assert await download_digest(server, "fast/0") == hashlib.sha256(LARGE).hexdigest()
        assert server.pss_mb() < MEMORY_MB
        await slow.vanish()
        await wait_until_only(s3, bucket, {"large", *(f"fast/{number}" for number in range(4))})
        assert await put(server, "large", LARGE) == 200

    asyncio.run(play())
    assert server.logged_errors() == []


def test_the_memory_of_slow_readers_is_bounded_and_released(server: RailtrackServer) -> None:
    async def play() -> None:
        assert await put(server, "large", LARGE) == 200
        before = server.pss_mb()
        slow = SlowClients(server.port)
        for _ in range(SLOW):
            await slow.read("large")
        await asyncio.sleep(3)
        assert server.pss_mb() < before + SLOW * WINDOW_MB
        await slow.vanish()
        deadline = time.monotonic() + 6 * TRIM_EVERY_S
        while server.pss_mb() > before + SLOW * WINDOW_MB / 2:
            assert time.monotonic() < deadline, server.pss_mb()
            await asyncio.sleep(0.5)

    asyncio.run(play())
    assert server.logged_errors() == []


async def begun_upload(server: RailtrackServer, s3: S3Server, bucket: str) -> asyncio.StreamWriter:
    """Return the connection of a client that has sent all but the last byte of a file, with parts in the bucket."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"PUT {ARTIFACTS}/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LARGE) + 1}\r\n\r\n"
    writer.write(head.encode() + LARGE)
    await writer.drain()
    await until(lambda: s3.unfinished_uploads(bucket) == ["cut"])
    return writer


def test_a_client_that_disconnects_between_parts_leaves_no_part(
    server: RailtrackServer, s3: S3Server, bucket: str
) -> None:
    async def play() -> None:
        before = set(s3.objects(bucket))
        (await begun_upload(server, s3, bucket)).transport.abort()
        await wait_until_only(s3, bucket, before)

    asyncio.run(play())
    assert server.logged_errors() == []


def test_a_server_that_exits_aborts_its_unfinished_uploads(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket("stopped")
    environment = {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}"}
    constants = {"railtrack.http_server.processes.UNDO_S": 20, "railtrack.http_server.processes.GRACE_S": 21}
    with railtrack_server(tmp_path, workers=1, environment=environment, constants=constants) as server:

        async def play() -> None:
            writer = await begun_upload(server, s3, bucket)
            await asyncio.to_thread(server.stop)
            writer.close()

        asyncio.run(play())
    assert (s3.objects(bucket), s3.unfinished_uploads(bucket)) == ({}, [])
