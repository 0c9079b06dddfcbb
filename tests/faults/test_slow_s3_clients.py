"""Clients that send or read slowly, stall or vanish, while their artifacts are in S3: the others don't notice, memory
stays in its bounds, and nothing is left in the bucket.
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
"""What a slow writer's client has sent at once: more than a part's uncounted block."""
LARGE = os.urandom(20_000_000)
MEMORY_MB = 256
WINDOW_MB = 1.2
"""What one download holds: what came from the store and was not taken yet, and what was taken and not accepted."""


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
    """Writers that send, and readers that read, 1 kB a second."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def write(self, name: str) -> None:
        writer = (await self._open())[1]
        head = f"PUT {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        writer.write(head.encode() + LARGE[:FIRST_BYTES])
        self._tasks.append(asyncio.create_task(_trickle(writer)))

    async def read(self, name: str) -> None:
        reader, writer = await self._open()
        writer.write(f"GET {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._tasks.append(asyncio.create_task(_sip(reader)))

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


async def _trickle(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(1)
            writer.write(bytes(1000))
            await writer.drain()


async def _sip(reader: asyncio.StreamReader) -> None:
    while True:
        await asyncio.sleep(1)
        await reader.read(1000)


async def put(server: RailtrackServer, name: str, body: bytes) -> int:
    connection = Connection(server.port)
    head = f"PUT {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    response = await connection.send(head.encode() + body)
    connection.close()
    return response.status


async def got(server: RailtrackServer, name: str) -> str:
    """The SHA-256 of what is downloaded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {ARTIFACTS}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 200 " in head.split(b"\r\n")[0]
    return hashlib.sha256(body).hexdigest()


async def nothing_left(s3: S3Server, bucket: str, names: set[str]) -> None:
    """Return once the bucket holds these objects and no part of another."""

    def left() -> tuple[set[str], list[str]]:
        return set(s3.objects(bucket)), s3.unfinished_uploads(bucket)

    await until(lambda: left() == (names, []), left)


def test_slow_clients_hold_their_window_and_keep_nobody_waiting(
    server: RailtrackServer, s3: S3Server, bucket: str
) -> None:
    async def play() -> None:
        assert await put(server, "large", LARGE) == 200
        slow = SlowClients(server.port)
        for number in range(SLOW):
            await slow.write(f"slow/{number}")
            await slow.read("large")
        await asyncio.sleep(3)
        for number in range(4):  # who has to wait for room that the slow ones hold is refused in the end
            assert await put(server, f"fast/{number}", LARGE) == 200
        assert await got(server, "fast/0") == hashlib.sha256(LARGE).hexdigest()
        assert server.pss_mb() < MEMORY_MB
        await slow.vanish()
        await nothing_left(s3, bucket, {"large", *(f"fast/{number}" for number in range(4))})
        assert await put(server, "large", LARGE) == 200

    asyncio.run(play())
    assert server.logged_errors() == []


def test_a_slow_reader_costs_its_window_which_comes_back(server: RailtrackServer) -> None:
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
    """The connection of a client that has sent all but the last byte of its file, of which parts are in the bucket."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"PUT {ARTIFACTS}/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LARGE) + 1}\r\n\r\n"
    writer.write(head.encode() + LARGE)
    await writer.drain()
    await until(lambda: s3.unfinished_uploads(bucket) == ["cut"])
    return writer


def test_who_vanishes_between_two_parts_leaves_no_part(server: RailtrackServer, s3: S3Server, bucket: str) -> None:
    async def play() -> None:
        before = set(s3.objects(bucket))
        (await begun_upload(server, s3, bucket)).transport.abort()
        await nothing_left(s3, bucket, before)

    asyncio.run(play())
    assert server.logged_errors() == []


def test_a_server_that_ends_takes_its_unfinished_uploads_back(s3: S3Server, tmp_path: Path) -> None:
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
