"""A worker is killed in the middle of a logging load: nothing acknowledged is lost, and it is replaced."""

import asyncio
import os
import signal

from tests.faults.logging_load import Load, check_stored
from tests.servers.railtrack import RailtrackServer

BACK_SECONDS = 5


def test_no_acknowledged_write_is_lost_when_workers_are_killed(server: RailtrackServer, database: str) -> None:
    before = set(server.wait_for_workers(2))
    load = asyncio.run(_kill_one_then_both(server))
    assert not before & set(server.workers())
    assert not load.outcome.statuses
    check_stored(database, load.run_id, load.outcome)
    # A request in flight is all that a killed worker may lose; the rest are connections refused in between.
    assert len(load.outcome.acknowledged) > 10 * len(load.outcome.lost)
    told = [line for line in server.troubles() if "SIGKILL" not in line]
    assert told == []


async def _kill_one_then_both(server: RailtrackServer) -> Load:
    async with Load(server) as load:
        await load.is_acknowledged_again(within=BACK_SECONDS, count=300)
        os.kill(server.workers()[0], signal.SIGKILL)
        await _is_back(server, load)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        await _is_back(server, load)
    return load


async def _is_back(server: RailtrackServer, load: Load) -> None:
    """Two workers, and requests acknowledged, within the time promised."""
    async with asyncio.timeout(BACK_SECONDS):
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.wait_for_workers, 2)
        await load.is_acknowledged_again(within=BACK_SECONDS)
