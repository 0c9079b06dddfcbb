"""PgBouncer, whose clients use another server connection for each transaction, or keep one in session mode."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.faults.http_load import Connection, Outcome, Response, drive
from tests.faults.logging_load import new_run, points, stored_points
from tests.servers.databases import scratch_database
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import railtrack_server

CLIENTS = 32
ROUNDS = 1200


@pytest.mark.parametrize(
    ("mode", "pool_size"),
    # In session mode, the pool needs a connection for each of the server's: 4 for each worker, and one to start.
    [("transaction", 2), ("session", 13)],
)
def test_reads_and_writes_work_behind_a_pooler(
    mode: str, pool_size: int, postgres: PostgresServer, tmp_path: Path
) -> None:
    with (
        scratch_database("postgresql", tmp_path, postgres) as database,
        pgbouncer(database, pool_size=pool_size, mode=mode) as pooled,
        railtrack_server(tmp_path / "server", pooled, workers=3) as server,
    ):
        run_id, outcome = asyncio.run(_read_and_write(server.port))
        assert (outcome.statuses, outcome.lost) == (Counter(), []), outcome.rejected[:3]
        assert len(stored_points(database, run_id)) == ROUNDS // 2
        assert server.logged_errors() == []


async def _read_and_write(port: int) -> tuple[str, Outcome]:
    """Log a metric with half of the requests, and read in five different ways with the others."""
    run_id = await new_run(port)
    outcome = Outcome()
    reads: list[tuple[str, Any]] = [
        (f"/api/2.0/mlflow/runs/get?run_id={run_id}", None),
        ("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.`metric 1` DESC"]}),
        (f"/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=metric%201&max_results=10", None),
        ("experiments/search", {"max_results": 5, "filter": "name LIKE 'D%'"}),
        ("/ready", None),
    ]

    async def send(connection: Connection, item: tuple[int, Any]) -> Response:
        number, point = item
        if number % 2 == 0:
            return await connection.post("runs/log-metric", {"run_id": run_id, **point._asdict()})
        path, body = reads[number % len(reads)]
        return await (connection.post(path, body) if body is not None else connection.get(path))

    await drive(port, CLIENTS, enumerate(points(ROUNDS)), send, outcome)
    return run_id, outcome
