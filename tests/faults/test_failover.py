"""A load through the failure of the primary and the promotion of its standby, with both hosts in the URL."""

import asyncio
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Outcome, Response, drive
from tests.faults.logging_load import Point, new_run, points, stored_points
from tests.servers.databases import run_sql
from tests.servers.postgres import PostgresCluster, PostgresStandby, postgres_cluster, standby_of
from tests.servers.processes import TIMEOUT_S, until
from tests.servers.railtrack import railtrack_server

CLIENTS = 8
ROUNDS = 600
RETRIES = 12
"""With the pauses below, about as long as MLflow's clients retry."""


@pytest.mark.slow
@pytest.mark.postgresql
def test_a_load_continues_on_the_promoted_standby_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with postgres_cluster(fsync=False) as primary, standby_of(primary) as standby:
        asyncio.run(replicate_synchronously(primary))
        url = f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres?connect_timeout=3"
        with railtrack_server(tmp_path / "server", url, workers=2) as server:
            run_id, acknowledged = asyncio.run(log_through_a_failover(server.port, primary, standby))
        assert len(acknowledged) == ROUNDS
        assert acknowledged <= set(stored_points(standby.url, run_id))


async def replicate_synchronously(primary: PostgresCluster) -> None:
    """Have a commit wait for the standby: what is acknowledged is on both."""
    await run_sql(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")


async def log_through_a_failover(
    port: int, primary: PostgresCluster, standby: PostgresStandby
) -> tuple[str, set[Point]]:
    run_id = await new_run(port)
    acknowledged: set[Point] = set()
    failed_over = asyncio.Event()

    async def fail_over() -> None:
        await until(lambda: len(acknowledged) >= ROUNDS // 4)
        await asyncio.to_thread(primary.stop, "immediate")
        await run_sql(standby.url, "SELECT pg_promote()")
        failed_over.set()

    async def send(connection: Connection, point: Point) -> Response:
        for attempt in range(RETRIES):
            response = await connection.post("runs/log-metric", {"run_id": run_id, **point._asdict()})
            if response.status == 200:
                acknowledged.add(point)
                return response
            assert response.status in (429, 503), response
            await asyncio.sleep(min(0.1 * 2**attempt, 10))
        return response

    outcome = Outcome()
    failure = asyncio.create_task(fail_over())
    await asyncio.wait_for(drive(port, CLIENTS, points(ROUNDS), send, outcome), 3 * TIMEOUT_S)
    await failure
    assert failed_over.is_set()
    return run_id, acknowledged
