"""Concurrent writers of the same keys of a run cause no deadlock or error, and lose or duplicate nothing."""

import asyncio
import random
from collections import Counter
from typing import Any

from tests.faults.http_load import Connection, Outcome, Response, drive
from tests.faults.logging_load import KEYS, Point, check_latest, new_run, points, stored_points
from tests.servers.databases import rows
from tests.servers.railtrack import RailtrackServer

WRITERS = 64
BATCHES = 600
BATCH = 20


def test_64_concurrent_writers_of_the_same_keys_lose_nothing(server: RailtrackServer, database: str) -> None:
    batches = _batches()
    run_id, outcome = asyncio.run(_write(server.port, batches))
    assert (outcome.statuses, outcome.lost) == (Counter(), [])
    assert len(outcome.acknowledged) == BATCHES
    _check_complete(database, run_id, batches)

    # Sending the batches again in another order changes nothing.
    random.Random(1).shuffle(batches)
    _, again = asyncio.run(_write(server.port, batches, run_id))
    assert (again.statuses, again.lost) == (Counter(), [])
    _check_complete(database, run_id, batches)
    assert server.logged_errors() == []


def _batches() -> list[dict[str, Any]]:
    """Return batches of metrics, params and tags with the same few keys in different orders."""
    chance = random.Random(3)
    made = []
    all_points = points(BATCHES * BATCH)
    for number in range(BATCHES):
        keys = chance.sample(KEYS, len(KEYS))
        made.append(
            {
                "metrics": [next(all_points) for _ in range(BATCH)],
                "params": [{"key": key, "value": f"the same of {key}"} for key in keys],
                "tags": [{"key": key, "value": f"of batch {number}"} for key in reversed(keys)],
            }
        )
    return made


async def _write(port: int, batches: list[dict[str, Any]], run_id: str = "") -> tuple[str, Outcome]:
    run_id = run_id or await new_run(port)
    outcome = Outcome()

    async def send(connection: Connection, batch: dict[str, Any]) -> Response:
        metrics = [point._asdict() for point in batch["metrics"]]
        return await connection.post("runs/log-batch", {"run_id": run_id, **batch, "metrics": metrics})

    await drive(port, WRITERS, batches, send, outcome)
    return run_id, outcome


def _check_complete(database: str, run_id: str, batches: list[dict[str, Any]]) -> None:
    stored = stored_points(database, run_id)
    expected: list[Point] = [point for batch in batches for point in batch["metrics"]]
    assert sorted(stored) == sorted(expected)
    check_latest(database, run_id, stored)
    params = rows(database, f"SELECT key, value FROM params WHERE run_uuid = '{run_id}'")
    assert dict(params) == {key: f"the same of {key}" for key in KEYS}
    tags = dict(rows(database, f"SELECT key, value FROM tags WHERE run_uuid = '{run_id}'"))
    assert all(tags[key].startswith("of batch ") for key in KEYS)
