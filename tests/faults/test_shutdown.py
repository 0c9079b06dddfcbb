"""SIGTERM: requests in flight are answered, idle and half-open connections don't hold up the end."""

import asyncio
import signal
import time
from pathlib import Path

import pytest
from tests.faults.http_load import Connection
from tests.faults.logging_load import Load, check_stored
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer

END_SECONDS = 20
"""Much more than it takes (0.5 s), and less than the 25 s after which the server hangs up whatever is still open."""
UPLOAD = 200_000


def test_sigterm_finishes_requests_in_flight_and_ends_soon(server: RailtrackServer, database: str) -> None:
    load, seconds = asyncio.run(_end_under_load(server))
    assert seconds < END_SECONDS
    check_stored(database, load.run_id, load.outcome)
    assert not load.outcome.statuses
    assert server.troubles() == []


async def _end_under_load(server: RailtrackServer) -> tuple[Load, float]:
    """The load, and the seconds from SIGTERM to the end, in which an upload was finished."""
    quiet = await _quiet_connections(server.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = "/api/2.0/mlflow-artifacts/artifacts/0/slow/upload.bin"
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD}\r\n\r\n".encode())
    writer.write(b"x" * (UPLOAD // 2))
    async with Load(server) as load:
        await load.is_acknowledged_again(count=300)
        await until(server.open_artifacts)
        server.send_signal(signal.SIGTERM)
        began = time.monotonic()
        await asyncio.sleep(0.5)
        writer.write(b"x" * (UPLOAD // 2))
        status_line = await asyncio.wait_for(reader.readline(), END_SECONDS)
        assert status_line.split()[1] == b"200"
    code = await asyncio.to_thread(server.wait_ended)
    seconds = time.monotonic() - began
    assert code == 0
    for _, one in quiet:
        one.close()
    return load, seconds


async def _quiet_connections(port: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connections that were never used, that were used once, and that have sent half a request head."""
    opened = []
    for number in range(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if number % 3 == 1:
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"}")
        elif number % 3 == 2:
            writer.write(b"GET /health HTTP/1.1\r\nHo")
        opened.append((reader, writer))
    return opened


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_server_at_rest_ends_at_once(name: str, server: RailtrackServer) -> None:
    workers = server.wait_for_workers(2)
    began = time.monotonic()
    server.send_signal(signal.Signals[name])
    assert server.wait_ended() == 0
    assert time.monotonic() - began < END_SECONDS
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


def test_connections_are_kept_alive_between_requests(server: RailtrackServer) -> None:
    async def ask_twice() -> tuple[int, int, bool]:
        connection = Connection(server.port)
        first = await connection.get("/health")
        streams = connection.streams
        second = await connection.get("/version")
        return first.status, second.status, connection.streams is streams

    assert asyncio.run(ask_twice()) == (200, 200, True)
