"""Log metrics under load, and check that the database holds every acknowledged point."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tests.faults.http_load import Connection, Outcome, Response, drive
from tests.servers.balancer import Balancer
from tests.servers.databases import rows
from tests.servers.processes import until
from tests.servers.railtrack import RailtrackServer

KEYS = [f"metric {number}" for number in range(10)]
MANY = 1_000_000
CONNECTIONS = 16


class Point(NamedTuple):
    """One metric value, unique by its step."""

    key: str
    value: float
    timestamp: int
    step: int


def points(count: int) -> Iterator[Point]:
    """Yield points with random keys, so that writers compete for each key."""
    chance = random.Random(7)
    for step in range(count):
        yield Point(chance.choice(KEYS), chance.random(), 1_700_000_000_000 + chance.randrange(100), step)


async def new_run(port: int) -> str:
    """Create a run in the experiment Default and return its id."""
    connection = Connection(port)
    response = await connection.post("runs/create", {"experiment_id": "0"})
    connection.close()
    assert response.status == 200, response.body
    return str(response.json["run"]["info"]["run_id"])


class Load:
    """Send log-metric requests to one run on `connections` connections for the duration of the block."""

    def __init__(self, server: RailtrackServer | Balancer, connections: int = CONNECTIONS) -> None:
        self.outcome = Outcome()
        self._port = server.port
        self._connections = connections
        self._ended = False

    async def __aenter__(self) -> "Load":
        self.run_id = await new_run(self._port)
        self._task = asyncio.create_task(drive(self._port, self._connections, self._points(), self._send, self.outcome))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await self._task

    def _points(self) -> Iterator[Point]:
        for point in points(MANY):
            if self._ended:
                return
            yield point

    async def _send(self, connection: Connection, point: Point) -> Response:
        return await connection.post("runs/log-metric", {"run_id": self.run_id, **point._asdict()})

    async def wait_for_acknowledgements(self, count: int = 100) -> None:
        """Wait until `count` more requests were acknowledged."""
        goal = len(self.outcome.acknowledged) + count
        await until(lambda: len(self.outcome.acknowledged) >= goal, lambda: self.outcome.statuses)


def check_stored(database: str, run_id: str, outcome: Outcome) -> None:
    """Check that all acknowledged points are stored, that only sent points are, and that latest_metrics is correct."""
    stored = stored_points(database, run_id)
    assert outcome.acknowledged, "nothing was acknowledged"
    assert set(outcome.acknowledged) - set(stored) == set(), "acknowledged, but not in the database"
    sent = {*outcome.acknowledged, *(item for item, _ in outcome.lost), *(item for item, _ in outcome.rejected)}
    assert set(stored) - sent == set()
    assert len(stored) == len(set(stored))
    check_latest(database, run_id, stored)


def stored_points(database: str, run_id: str) -> list[Point]:
    found = rows(database, f"SELECT key, value, timestamp, step FROM metrics WHERE run_uuid = '{run_id}'")
    return [Point(*row) for row in found]


def check_latest(database: str, run_id: str, stored: list[Point]) -> None:
    """Check that latest_metrics holds each key's point with the greatest (step, timestamp, value)."""
    by_key = defaultdict(list)
    for point in stored:
        by_key[point.key].append((point.step, point.timestamp, point.value))
    sql = f"SELECT key, step, timestamp, value FROM latest_metrics WHERE run_uuid = '{run_id}'"
    assert {key: tuple(rest) for key, *rest in rows(database, sql)} == {key: max(all_) for key, all_ in by_key.items()}
