"""Workers and the master are killed under load, and no acknowledged write is lost."""

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
    # A killed worker may lose only the request in flight on each of its connections: the master keeps listening,
    # and new connections wait.
    assert len(load.outcome.lost) <= len(killed) * CONNECTIONS
    log_lines = [line for line in server.logged_errors() if "SIGKILL" not in line]
    assert log_lines == []


async def _kill_one_then_both(server: RailtrackServer) -> tuple[Load, set[int]]:
    """Kill one worker, then both, and each time wait until two serve again. Return the load and the killed workers."""
    killed: set[int] = set()
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        for count in (1, 2):
            for pid in server.workers()[:count]:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.to_thread(server.wait_for_workers, 2, killed)
            await load.wait_for_acknowledgements()
    return load, killed


def test_no_acknowledged_write_is_lost_when_all_processes_are_killed(server: RailtrackServer, database: str) -> None:
    load = asyncio.run(_kill_all_and_start_again(server))
    assert not load.outcome.statuses
    check_stored(database, load.run_id, load.outcome)


async def _kill_all_and_start_again(server: RailtrackServer) -> Load:
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        server.kill()
        server.start()
        await load.wait_for_acknowledgements()
    return load


def test_workers_exit_when_the_master_is_killed(server: RailtrackServer) -> None:
    workers = server.wait_for_workers(2)
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait_ended() == -signal.SIGKILL
    try:
        # Otherwise they would hold the port that the next start needs.
        wait_until(lambda: not any(is_running(pid) for pid in workers))
    finally:
        for pid in filter(is_running, workers):
            os.kill(pid, signal.SIGKILL)
