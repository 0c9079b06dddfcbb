"""PostgreSQL restarts under load: no acknowledged write is lost, and the server recovers by itself."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.faults.http_load import Connection, Outcome, Response, drive
from tests.faults.logging_load import CONNECTIONS, Load, check_stored, new_run
from tests.servers.databases import rows, run_sql, scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import TIMEOUT_S, until
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.db.postgres import DRIVER_ERRORS

WORKERS = 2
SHORT_HOLD = {"railtrack.db.recovery.HOLD_S": 1}
"""So that the outage is longer than the server holds requests."""
CODES = {429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=True) as cluster:
        yield cluster


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_no_acknowledged_write_is_lost_when_postgresql_restarts(
    how: str, cluster: PostgresCluster, tmp_path: Path
) -> None:
    with (
        scratch_database("postgresql", tmp_path, cluster) as database,
        railtrack_server(tmp_path / "server", database, workers=WORKERS, constants=SHORT_HOLD) as server,
    ):
        began = time.monotonic()
        load = asyncio.run(_restart_during_load(server, cluster, how))
        seconds = time.monotonic() - began
        check_stored(database, load.run_id, load.outcome)
        log_lines = [line for line in server.log().splitlines() if "] request " in line and "not reachable" in line]
    assert load.outcome.lost == []  # Railtrack itself kept running
    assert load.outcome.rejected
    for _, response in load.outcome.rejected:
        assert response.json["error_code"] == CODES[response.status]
        assert "retry-after" not in response.headers, "it would replace the longer backoff of the clients"
    # Only requests whose COMMIT was in progress when PostgreSQL stopped may have been processed.
    statuses = [response.status for _, response in load.outcome.rejected]
    assert statuses.count(429) > statuses.count(503)
    # Thousands were rejected; each worker logs at most one line per second.
    assert 0 < len(log_lines) <= WORKERS * (seconds + 1)


async def _restart_during_load(server: RailtrackServer, cluster: PostgresCluster, how: str) -> Load:
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        assert (await _get(server, "/ready")).status == 200
        await asyncio.to_thread(cluster.stop, how)
        await until(lambda: "similar messages suppressed" in server.log(), server.log)
        assert (await _get(server, "/health")).status == 200
        assert (await _ready(server, 503)).json["database"] == "unavailable"
        cluster.start()  # in this thread: the kernel stops the cluster with the thread that started it
        await load.wait_for_acknowledgements()
        await _ready(server, 200)
    return load


CRASHES = 3
LONGER_THAN_RECOVERY_S = 2
RETRY_DELAYS_S = (0, 4, 8, 16, 32)
"""Those of the MLflow clients (docs/outages.md)."""


@pytest.mark.slow
def test_it_is_certain_of_each_run_whether_it_was_created_when_postgresql_crashes(
    cluster: PostgresCluster, tmp_path: Path
) -> None:
    """Client 3.18.0 repeats create_run after 429, and fails at once after 503."""
    with (
        scratch_database("postgresql", tmp_path, cluster) as database,
        railtrack_server(tmp_path / "server", database, workers=WORKERS) as server,
    ):
        outcome = asyncio.run(_crash_during_creations(server, cluster))
        stored = {name for (name,) in rows(database, "SELECT name FROM runs")}
    assert outcome.lost == []
    assert set(outcome.statuses) <= {429}
    assert set(outcome.acknowledged) - stored == set()
    assert stored - set(outcome.acknowledged) == set(), "429, but stored: the client would create it twice"


async def _crash_during_creations(server: RailtrackServer, cluster: PostgresCluster) -> Outcome:
    outcome = Outcome()
    is_over = False

    def names() -> Iterator[str]:
        number = 0
        while not is_over:
            yield f"run {number}"
            number += 1

    async def create(connection: Connection, name: str) -> Response:
        return await connection.post("runs/create", {"experiment_id": "0", "run_name": name})

    creating = asyncio.create_task(drive(server.port, 16, names(), create, outcome))
    for _ in range(CRASHES):
        goal = len(outcome.acknowledged) + 200
        await until(lambda goal=goal: len(outcome.acknowledged) >= goal, lambda: outcome.statuses)  # type: ignore[misc]
        cluster.stop("immediate")
        cluster.start()
    goal = len(outcome.acknowledged) + 200
    await until(lambda: len(outcome.acknowledged) >= goal, lambda: outcome.statuses)
    is_over = True
    await creating
    return outcome


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_clients_wait_at_most_2_s_longer_than_postgresql_itself_is_away(
    how: str, cluster: PostgresCluster, tmp_path: Path
) -> None:
    with (
        scratch_database("postgresql", tmp_path, cluster) as database,
        railtrack_server(tmp_path / "server", database, workers=WORKERS) as server,
    ):
        outage = asyncio.run(_measure_outage(server, cluster, database, how))
    assert outage.longest_call_s < outage.postgresql_s + LONGER_THAN_RECOVERY_S, outage


class _OutageTimes(NamedTuple):
    """`postgresql_s`: how long a client that does nothing but connect and write had to wait."""

    postgresql_s: float
    longest_call_s: float


async def _measure_outage(server: RailtrackServer, cluster: PostgresCluster, database: str, how: str) -> _OutageTimes:
    run_id = await new_run(server.port)
    await run_sql(database, "CREATE TABLE probe (at text)")
    is_over = False
    calls: list[float] = []
    writes: list[float] = []

    async def log_with_retries(number: int) -> None:
        connection, step = Connection(server.port), 0
        while not is_over:
            began = time.monotonic()
            step += 1
            body = {"run_id": run_id, "key": f"metric {number}", "value": 1, "timestamp": step, "step": step}
            for delay_s in RETRY_DELAYS_S:
                if (await connection.post("runs/log-metric", body)).status == 200:
                    break
                await asyncio.sleep(delay_s)
            calls.append(time.monotonic() - began)
        connection.close()

    async def write_directly() -> None:
        while not is_over:
            with contextlib.suppress(*DRIVER_ERRORS):
                await run_sql(database, "INSERT INTO probe VALUES ('')")
                writes.append(time.monotonic())
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(log_with_retries(number))
        group.create_task(write_directly())
        await until(lambda: len(calls) > 300 and writes)
        stopped_at = time.monotonic()
        await asyncio.to_thread(cluster.stop, how)
        cluster.start()
        await until(lambda: writes[-1] > stopped_at)
        after = len(calls)
        await until(lambda: len(calls) > after + 20 * CONNECTIONS)
        is_over = True
    gaps = [after - before for before, after in itertools.pairwise(writes)]
    return _OutageTimes(max(gaps), max(calls))


async def _ready(server: RailtrackServer, status: int) -> Response:
    """Return the response of /ready once it has this status. The server caches it for a few seconds."""
    async with asyncio.timeout(TIMEOUT_S):
        while (response := await _get(server, "/ready")).status != status:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)
    return response


async def _get(server: RailtrackServer, path: str) -> Response:
    connection = Connection(server.port)
    try:
        return await connection.get(path)
    finally:
        connection.close()
