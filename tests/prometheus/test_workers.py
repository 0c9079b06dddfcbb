"""/metrics with several workers: each serves the counters of all, and they survive the death of a worker."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Lost
from tests.prometheus.scrape import Scrape
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.http_server.processes import free_slot
from railtrack.prometheus.shared_memory import SLOTS

pytestmark = pytest.mark.slow

CONNECTIONS = 12
EACH = 5
VERSION = "/version"


async def ask_on_many_connections(port: int) -> None:
    """Send CONNECTIONS x EACH requests, over connections that the kernel distributes to the workers."""
    opened = [Connection(port) for _ in range(CONNECTIONS)]
    for _ in range(EACH):
        answers = await asyncio.gather(*(one.get(VERSION) for one in opened))
        assert {answer.status for answer in answers} == {200}
    for one in opened:
        one.close()


async def scrape(port: int) -> Scrape:
    """Scrape /metrics over a new connection. Raise Lost."""
    connection = Connection(port)
    try:
        return Scrape((await connection.get("/metrics")).body.decode())
    finally:
        connection.close()


async def scrapes_after(port: int, asked: int) -> list[Scrape]:
    """Scrape repeatedly, once `asked` requests are counted: a request ends after its response is sent."""
    async with asyncio.timeout(TIMEOUT_S):
        while (await scrape(port)).total("railtrack_http_requests_total", route=VERSION) < asked:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return [await scrape(port) for _ in range(8)]


def test_a_scrape_covers_all_workers_and_totals_survive_their_death(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server", workers=2, environment={"RAILTRACK_METRICS": "on"}) as server:
        asyncio.run(_until_started(server, 2))
        asyncio.run(ask_on_many_connections(server.port))
        first = asyncio.run(scrapes_after(server.port, CONNECTIONS * EACH))
        # Whichever worker answered: all requests of both, and the processes as they are.
        assert [one.total("railtrack_http_requests_total", route=VERSION) for one in first] == [
            CONNECTIONS * EACH
        ] * len(first)
        assert {one.total("railtrack_worker_starts_total") for one in first} == {2}
        workers = {one.labels["worker"] for one in first[0].samples if "worker" in one.labels}
        assert workers == {"master", "0", "1"}
        pss_mb = first[-1].total("railtrack_process_proportional_memory_bytes") / 2**20
        assert server.pss_mb() / 2 < pss_mb < server.pss_mb() * 2

        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        asyncio.run(_until_started(server, 4))
        asyncio.run(ask_on_many_connections(server.port))
        last = asyncio.run(scrapes_after(server.port, 2 * CONNECTIONS * EACH))[-1]
        before, after = first[-1].sums(), last.sums()
        assert {name: (value, after.get(name)) for name, value in before.items() if after.get(name, -1) < value} == {}
        assert last.total("railtrack_http_requests_total", route=VERSION) == 2 * CONNECTIONS * EACH
        assert last.total("railtrack_worker_starts_total") == 4
        assert 1 <= last.total("railtrack_http_requests_in_flight") <= 2  # those under way when a worker died are not
        assert min(last.values("railtrack_process_start_time_seconds")) > max(
            first[-1].values("railtrack_process_start_time_seconds")
        )


async def _until_started(server: RailtrackServer, workers: int) -> None:
    """Wait until so many workers, including killed ones, have started."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            await asyncio.sleep(0.05)
            with contextlib.suppress(Lost):
                if (await scrape(server.port)).total("railtrack_worker_starts_total") == workers:
                    return


class _Worker:
    def __init__(self, slot: int) -> None:
        self.slot = slot


def test_a_new_worker_gets_a_slot_that_no_living_one_has() -> None:
    assert free_slot({}) == 0
    assert free_slot({11: _Worker(0), 12: _Worker(1)}) == 2
    assert free_slot({12: _Worker(1)}) == 0
    assert free_slot({pid: _Worker(pid) for pid in range(SLOTS)}) == SLOTS - 1
