"""Credentials or the bucket become invalid while the server runs: it responds with retryable errors, logs the cause,
and recovers by itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Response
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.s3_quirks import BUCKET, QuirkyS3, error, quirky_s3

REQUESTS = 150
WORKERS = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False, password="of-the-owner") as cluster:
        yield cluster


async def wait_for_status(
    server: RailtrackServer, send: Callable[[Connection], Awaitable[Response]], status: int
) -> Response:
    """Repeat a request until its response has this status, and return the response."""
    deadline = time.monotonic() + TIMEOUT_S
    connection = Connection(server.port)
    try:
        while (response := await send(connection)).status != status:
            assert time.monotonic() < deadline, f"{response}\n{server.log()}"
            await asyncio.sleep(0.1)
    finally:
        connection.close()
    return response


async def search_until_logged(server: RailtrackServer, text: str) -> None:
    """Send requests until the log contains this text."""
    deadline = time.monotonic() + TIMEOUT_S
    connection = Connection(server.port)
    try:
        while text not in server.log():
            assert time.monotonic() < deadline, server.log()
            await search(connection)
    finally:
        connection.close()


def ready(connection: Connection) -> Awaitable[Response]:
    return connection.get("/ready")


def search(connection: Connection) -> Awaitable[Response]:
    return connection.post("experiments/search", {"max_results": 1})


def upload(connection: Connection) -> Awaitable[Response]:
    head = b"PUT /api/2.0/mlflow-artifacts/artifacts/a.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
    return connection.send(head)


async def send_repeatedly(server: RailtrackServer, send: Callable[[Connection], Awaitable[Response]]) -> list[Response]:
    """Return the responses to REQUESTS requests."""
    connection = Connection(server.port)
    try:
        return [await send(connection) for _ in range(REQUESTS)]
    finally:
        connection.close()


async def test_requests_fail_while_the_database_password_is_wrong_and_recover(
    cluster: PostgresCluster, tmp_path: Path
) -> None:
    await run_sql(
        cluster.url, "CREATE ROLE tracker LOGIN PASSWORD 'first-one'", "CREATE DATABASE tracking OWNER tracker"
    )
    database = cluster.database_url("tracking").replace("postgres:of-the-owner@", "tracker:first-one@")
    await asyncio.to_thread((tmp_path / "server").mkdir)
    with railtrack_server(tmp_path / "server", database, workers=WORKERS) as server:
        await wait_for_status(server, search, 200)
        began = time.monotonic()
        await run_sql(
            cluster.url,
            "ALTER ROLE tracker PASSWORD 'another'",
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE usename = 'tracker'",
        )
        for response in await send_repeatedly(server, search):
            assert (response.status, response.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
        found = (await wait_for_status(server, ready, 503)).json
        assert found == {"database": "unavailable", "artifact_store": "ok"}
        await wait_for_status(server, lambda connection: connection.get("/health"), 200)
        log_lines = [line for line in server.log().splitlines() if "password authentication failed" in line]
        # Each worker logs the lost connection once, rejected requests at most once a second, and why it is not ready.
        assert 0 < len(log_lines) <= WORKERS * (time.monotonic() - began + 3)
        await search_until_logged(server, "similar messages suppressed")
        assert "first-one" not in server.log()
        assert "Traceback" not in server.log()

        await run_sql(cluster.url, "ALTER ROLE tracker PASSWORD 'first-one'")
        await wait_for_status(server, search, 200)
        await wait_for_status(server, ready, 200)


ALL_KINDS = ("PUT", "GET", "GET list", "DELETE", "POST upload", "POST delete", "PUT part")


@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (404, "NoSuchBucket")])
async def test_artifact_requests_fail_while_keys_or_bucket_are_missing_and_recover(
    status: int, code: str, tmp_path: Path
) -> None:
    async with quirky_s3() as quirky:
        server = await asyncio.to_thread(started, tmp_path / "server", quirky)
        try:
            await wait_for_status(server, upload, 200)
            began = time.monotonic()
            quirky.replies = dict.fromkeys(ALL_KINDS, error(status, code, "It existed before."))
            for response in await send_repeatedly(server, upload):
                assert (response.status, response.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
                assert "retry-after" not in response.headers
                assert f"the bucket '{BUCKET}' at http://127.0.0.1:{quirky.port}: {code}" in response.json["message"]
            assert (await wait_for_status(server, search, 200)).status == 200  # requests without artifacts succeed
            found = (await wait_for_status(server, ready, 503)).json
            assert found == {"database": "ok", "artifact_store": "unavailable"}
            log_lines = [line for line in server.log().splitlines() if "artifact store: " in line and code in line]
            # Each worker logs failed requests at most once a second, and why it is not ready.
            assert 0 < len(log_lines) <= WORKERS * (time.monotonic() - began + 2)
            assert "Traceback" not in server.log()

            quirky.replies = {}
            await wait_for_status(server, upload, 200)
            await wait_for_status(server, ready, 200)
        finally:
            await asyncio.to_thread(server.stop)


def started(folder: Path, quirky: QuirkyS3) -> RailtrackServer:
    folder.mkdir()
    environ = {**quirky.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/kept"}
    server = RailtrackServer(folder, None, {**environ, "GUNICORN_WORKERS": str(WORKERS)})
    server.start()
    return server
