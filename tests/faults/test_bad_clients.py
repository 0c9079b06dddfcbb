"""Clients that are slow, disconnect, or send invalid HTTP do not affect other clients."""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Connection
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer, railtrack_server

SOON_SECONDS = 20
"""A hundred times the usual duration, and less than the server's timeout of 30 s for request heads."""
SLOW_CLIENTS = 300
BIG = 30_000_000

HEAD = b"POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GARBAGE = {
    "random bytes": random.Random(7).randbytes(4096),
    "a TLS client hello": bytes.fromhex("16030100b3010000af0303") + bytes(180),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no method": b"\r\n\r\n\r\n / \r\n\r\n",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "a NUL in the path": b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes above ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "invalid escapes": b"GET /%zz%e HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a giant header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "a thousand headers": b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "a giant path": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length that is not a number": HEAD + b"Content-Length: ten\r\n\r\n{}",
    "a length below zero": HEAD + b"Content-Length: -5\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a length and chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "an unknown transfer encoding": HEAD + b"Transfer-Encoding: br\r\n\r\n{}",
    "a length beyond all bounds": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path_factory.mktemp("bad-clients"), workers=2) as server:
        yield server


async def check_responsive(server: RailtrackServer) -> None:
    """Check that a valid client gets responses soon from each worker. A new connection may reach either."""
    for _ in range(8):
        connection = Connection(server.port)
        began = time.monotonic()
        assert (await connection.get("/health")).status == 200
        assert (await connection.post("runs/search", {"experiment_ids": ["0"]})).status == 200
        assert time.monotonic() - began < SOON_SECONDS
        connection.close()


def stored_files(server: RailtrackServer) -> set[Path]:
    return {path for path in server.artifacts.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_rejected_and_affects_nobody_else(name: str, server: RailtrackServer) -> None:
    async def send_garbage() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        response = b""
        # The server may close the connection before it has read everything.
        with contextlib.suppress(OSError):
            writer.write(GARBAGE[name])
            writer.write_eof()
            response = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await check_responsive(server)
        return response

    response = asyncio.run(send_garbage())
    # The server may close the connection without a response. Any response is a client error.
    statuses = [line.split(b" ")[1] for line in response.split(b"\r\n") if line.startswith(b"HTTP/1")]
    assert all(status.startswith(b"4") or status in (b"501", b"505") for status in statuses), response[:500]
    assert server.logged_errors() == []


def test_slow_and_half_open_clients_do_not_delay_others(server: RailtrackServer) -> None:
    beginnings = [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        HEAD + b"Content-Length: 1000000\r\n\r\n" + b'{"experiment_id": "',
        b"PUT /api/2.0/mlflow-artifacts/artifacts/0/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{",
    ]

    async def open_slow_connections() -> None:
        writers = []
        for number in range(SLOW_CLIENTS):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(beginnings[number % len(beginnings)])
            writers.append(writer)
        await asyncio.sleep(0.5)
        await check_responsive(server)
        for writer in writers:
            writer.close()
        await check_responsive(server)

    asyncio.run(open_slow_connections())
    assert server.logged_errors() == []


def test_a_client_that_does_not_read_its_response_does_not_delay_others(server: RailtrackServer) -> None:
    artifact = "/api/2.0/mlflow-artifacts/artifacts/0/big.bin"

    async def request_without_reading() -> None:
        connection = Connection(server.port)
        put = f"PUT {artifact} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BIG}\r\n\r\n"
        assert (await connection.send(put.encode() + bytes(BIG))).status == 200
        connection.close()
        memory = server.pss_mb()
        writers = []
        for _ in range(40):
            # A small limit makes the stream stop reading from the socket.
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(f"GET {artifact} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            writers.append(writer)
        await until(lambda: len(server.open_artifacts()) == len(writers))
        await check_responsive(server)
        assert server.pss_mb() < memory + 60  # 40 responses of 30 MB are not held in memory
        for writer in writers:
            writer.close()
        await check_responsive(server)

    asyncio.run(request_without_reading())
    assert server.logged_errors() == []


def test_a_client_that_disconnects_during_an_upload_leaves_no_file(server: RailtrackServer) -> None:
    async def disconnect() -> int:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        put = "PUT /api/2.0/mlflow-artifacts/artifacts/0/cut.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000"
        writer.write(put.encode() + b"\r\n\r\n" + b"x" * 500_000)
        await until(server.open_artifacts)
        writer.close()
        await until(lambda: not server.open_artifacts())
        connection = Connection(server.port)
        return (await connection.get("/api/2.0/mlflow-artifacts/artifacts/0/cut.bin")).status

    before = stored_files(server)
    assert asyncio.run(disconnect()) == 404
    assert stored_files(server) == before
    assert server.logged_errors() == []
