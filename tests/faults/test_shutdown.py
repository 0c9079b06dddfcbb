"""Graceful shutdown and reload: open requests get responses, idle or half-open connections do not delay the exit."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Response
from tests.faults.logging_load import Load, check_stored
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer, railtrack_server

EXIT_LIMIT_S = 20
"""Much more than the usual 0.5 s, and less than the 25 s after which the server closes open connections."""
UPLOAD = 200_000


def test_sigterm_completes_requests_in_flight_and_exits_soon(server: RailtrackServer, database: str) -> None:
    load, seconds = asyncio.run(_terminate_under_load(server))
    assert seconds < EXIT_LIMIT_S
    check_stored(database, load.run_id, load.outcome)
    assert not load.outcome.statuses
    assert server.logged_errors() == []


async def _terminate_under_load(server: RailtrackServer) -> tuple[Load, float]:
    """Send SIGTERM during a load and an upload. Return the load and the seconds until the exit."""
    quiet = await _quiet_connections(server.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = "/api/2.0/mlflow-artifacts/artifacts/0/slow/upload.bin"
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD}\r\n\r\n".encode())
    writer.write(b"x" * (UPLOAD // 2))
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        await until(server.open_artifacts)
        server.send_signal(signal.SIGTERM)
        began = time.monotonic()
        await asyncio.sleep(0.5)
        writer.write(b"x" * (UPLOAD // 2))
        status_line = await asyncio.wait_for(reader.readline(), EXIT_LIMIT_S)
        assert status_line.split()[1] == b"200"
    code = await asyncio.to_thread(server.wait_ended)
    seconds = time.monotonic() - began
    assert code == 0
    for _, one in quiet:
        one.close()
    return load, seconds


async def _quiet_connections(port: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Return connections that were never used, were used once, or have sent half a request head."""
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
def test_an_idle_server_exits_soon(name: str, server: RailtrackServer) -> None:
    workers = server.wait_for_workers(2)
    began = time.monotonic()
    server.send_signal(signal.Signals[name])
    assert server.wait_ended() == 0
    assert time.monotonic() - began < EXIT_LIMIT_S
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


def test_sighup_replaces_the_workers_and_loses_no_request(server: RailtrackServer, database: str) -> None:
    workers = server.wait_for_workers(2)

    async def reload() -> Load:
        async with Load(server) as load:
            await load.wait_for_acknowledgements(count=100)
            server.send_signal(signal.SIGHUP)
            await until(lambda: not set(workers) & set(server.workers()), server.log)
            await load.wait_for_acknowledgements(count=100)
        return load

    load = asyncio.run(reload())
    check_stored(database, load.run_id, load.outcome)
    assert load.outcome.lost == []
    assert not load.outcome.statuses
    assert server.logged_errors() == []


IDLE = 10


def test_a_connection_open_at_sigterm_still_gets_a_response(tmp_path: Path) -> None:
    constants = {"railtrack.http_server.processes.LAST_REQUEST_S": EXIT_LIMIT_S}
    with railtrack_server(tmp_path / "server", constants=constants) as server:
        responses = asyncio.run(_request_after_listening_ends(server))
    assert [(response.status, response.headers["connection"]) for response in responses] == [(200, "close")] * 2 * IDLE


async def _request_after_listening_ends(server: RailtrackServer) -> list[Response]:
    """Return responses on connections that had one request before SIGTERM, and on connections that had none."""
    connections = [Connection(server.port) for _ in range(2 * IDLE)]
    for used, unused in zip(connections[:IDLE], connections[IDLE:], strict=True):
        await used.get("/health")
        await unused.connect()
    server.send_signal(signal.SIGTERM)
    await until(lambda: not _accepts(server.port))
    return [await connection.get("/version") for connection in connections]


def test_a_connection_in_the_accept_queue_at_shutdown_gets_its_response(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server", workers=1) as server:
        while not (clients := _connect_between_sigterm_and_exit(server)):
            server.wait_ended()
            server.start()
        for client in clients:
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            client.close()


def _connect_between_sigterm_and_exit(server: RailtrackServer) -> list[socket.socket]:
    """Return connections with sent requests that are in the accept queue when the worker stops listening.

    Return none if it stopped before: it checks for shutdown once a second.
    """
    (worker,) = server.workers()
    server.send_signal(signal.SIGTERM)
    time.sleep(0.05)  # for the signal to arrive
    os.kill(worker, signal.SIGSTOP)
    clients: list[socket.socket] = []
    with contextlib.suppress(ConnectionRefusedError):
        for _ in range(IDLE):
            clients.append(socket.create_connection(("127.0.0.1", server.port)))
            clients[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1.1)
    os.kill(worker, signal.SIGCONT)
    return clients


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


def test_connections_are_kept_alive_between_requests(server: RailtrackServer) -> None:
    async def send_twice() -> tuple[int, int, bool]:
        connection = Connection(server.port)
        first = await connection.get("/health")
        streams = connection.streams
        second = await connection.get("/version")
        return first.status, second.status, connection.streams is streams

    assert asyncio.run(send_twice()) == (200, 200, True)
