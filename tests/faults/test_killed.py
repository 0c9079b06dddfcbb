"""Processes are killed: a worker in the middle of a logging load, which loses nothing acknowledged, and the master."""

import asyncio
import os
import signal
import time

from tests.faults.logging_load import Load, check_stored
from tests.servers.railtrack import RailtrackServer, is_running

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


def test_no_acknowledged_write_is_lost_when_everything_is_killed_at_once(
    server: RailtrackServer, database: str
) -> None:
    load = asyncio.run(_kill_all_and_start_again(server))
    assert not load.outcome.statuses
    check_stored(database, load.run_id, load.outcome)


async def _kill_all_and_start_again(server: RailtrackServer) -> Load:
    async with Load(server) as load:
        await load.is_acknowledged_again(within=BACK_SECONDS, count=300)
        server.kill()
        server.start()
        await load.is_acknowledged_again(within=BACK_SECONDS)
    return load


def test_a_killed_master_takes_its_workers_along(server: RailtrackServer) -> None:
    workers = server.wait_for_workers(2)
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_ended() == -signal.SIGKILL
    deadline = time.monotonic() + BACK_SECONDS
    while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []  # they would hold the port that the next start needs
