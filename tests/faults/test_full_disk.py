"""A full disk: writes that do not fit fail with MLflow's error form, leave nothing half-written, and reads work.

A limit on the size of files, set on the running processes, makes the same writes fail as a full disk.
"""

import asyncio
import resource
from pathlib import Path

from tests.faults.http_load import Connection, Response
from tests.faults.logging_load import Point, check_latest, new_run, points, stored_points
from tests.servers.railtrack import RailtrackServer, railtrack_server

ROOM = 1_500_000
BATCH = 1000


def limit_file_size(server: RailtrackServer, size: int) -> None:
    """Limit files of the server to `size` bytes. -1 removes the limit."""
    for pid in server.wait_for_workers(2):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, -1))


def test_an_artifact_that_does_not_fit_leaves_nothing(server: RailtrackServer) -> None:
    limit_file_size(server, ROOM)
    too_big, fitting = asyncio.run(_upload(server, 2 * ROOM)), asyncio.run(_upload(server, ROOM // 2))
    # 507 Insufficient Storage, which clients do not retry, unlike 429 and 503.
    assert (too_big.status, too_big.json["error_code"]) == (507, "INTERNAL_ERROR")
    assert fitting.status == 200
    stored = [path for path in _artifacts(server).rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in stored] == [ROOM // 2]


async def _upload(server: RailtrackServer, size: int) -> Response:
    connection = Connection(server.port)
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/of-{size}.bin"
    try:
        return await connection.send(
            f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)
        )
    finally:
        connection.close()


def _artifacts(server: RailtrackServer) -> Path:
    return server.folder / "data" / "mlartifacts"


def test_sqlite_on_a_full_disk_keeps_acknowledged_writes_and_recovers(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'scratch.db'}"
    with railtrack_server(tmp_path / "server", database, workers=2) as server:
        run_id, acknowledged, rejections = asyncio.run(_log_until_full(server))
        assert acknowledged
        for response in rejections:
            assert (response.status, response.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
        stored = stored_points(database, run_id)
        assert sorted(stored) == sorted(acknowledged)
        check_latest(database, run_id, stored)


async def _log_until_full(server: RailtrackServer) -> tuple[str, list[Point], list[Response]]:
    """Return the run's id, the points acknowledged before and after the disk was full, and the rejections between."""
    run_id = await new_run(server.port)
    limit_file_size(server, ROOM)
    connection = Connection(server.port)
    source = points(100 * BATCH)
    acknowledged: list[Point] = []
    rejections: list[Response] = []

    async def log_batch() -> Response:
        batch = [next(source) for _ in range(BATCH)]
        metrics = [point._asdict() for point in batch]
        response = await connection.post("runs/log-batch", {"run_id": run_id, "metrics": metrics})
        if response.status == 200:
            acknowledged.extend(batch)
        else:
            rejections.append(response)
        return response

    while len(rejections) < 5:
        await log_batch()
    reading = await connection.get(f"/api/2.0/mlflow/runs/get?run_id={run_id}")
    assert reading.status == 200
    limit_file_size(server, -1)
    assert (await log_batch()).status == 200
    connection.close()
    return run_id, acknowledged, rejections
