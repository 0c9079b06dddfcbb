"""Processes are killed: a worker in the middle of a logging load, which loses nothing acknowledged, and the master."""

import asyncio
import os
import signal

from tests.faults.logging_load import CONNECTIONS, Load, check_stored
from tests.servers.processes import wait_until
from tests.servers.railtrack import RailtrackServer, is_running


def test_no_acknowledged_write_is_lost_when_workers_are_killed(server: RailtrackServer, database: str) -> None:
    before = set(server.wait_for_workers(2))
    load, killed = asyncio.run(_kill_one_then_both(server))
    assert before < killed
    assert not killed & set(server.workers())
    assert not load.outcome.statuses
    check_stored(database, load.run_id, load.outcome)
    # The request in flight on each of its connections is all that a killed worker may lose: the master goes on
    # listening, and whoever connects meanwhile waits.
    assert len(load.outcome.lost) <= len(killed) * CONNECTIONS
    told = [line for line in server.logged_errors() if "SIGKILL" not in line]
    assert told == []


async def _kill_one_then_both(server: RailtrackServer) -> tuple[Load, set[int]]:
    """The load, and all workers that were killed. After each time there are two again, which acknowledge requests."""
    killed: set[int] = set()
    async with Load(server) as load:
        await load.is_acknowledged_again(count=300)
        for count in (1, 2):
            for pid in server.workers()[:count]:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.to_thread(server.wait_for_workers, 2, killed)
            await load.is_acknowledged_again()
    return load, killed


def test_no_acknowledged_write_is_lost_when_everything_is_killed_at_once(
    server: RailtrackServer, database: str
) -> None:
    load = asyncio.run(_kill_all_and_start_again(server))
    assert not load.outcome.statuses
    check_stored(database, load.run_id, load.outcome)


async def _kill_all_and_start_again(server: RailtrackServer) -> Load:
    async with Load(server) as load:
        await load.is_acknowledged_again(count=300)
        server.kill()
        server.start()
        await load.is_acknowledged_again()
    return load


def test_a_killed_master_takes_its_workers_along(server: RailtrackServer) -> None:
    workers = server.wait_for_workers(2)
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_ended() == -signal.SIGKILL
    try:
        # Else they would hold the port that the next start needs.
        wait_until(lambda: not any(is_running(pid) for pid in workers))
    finally:
        for pid in filter(is_running, workers):
            os.kill(pid, signal.SIGKILL)
