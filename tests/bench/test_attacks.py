"""The attacks do to a real server what they describe, and the record shows what the server and its clients suffer."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.attacks import find_attack
from bench.honest import KINDS, HonestClient
from bench.hostile import ROOT, Watch, run_attack
from bench.seed import seed_heavy, seed_some
from bench.servers import Server, railtrack
from tests.servers.databases import scratch_database
from tests.servers.memory_group import MemoryGroup
from tests.servers.postgres import postgres_cluster
from tests.servers.processes import TIMEOUT_S, die_with_parent, wait_until

pytestmark = pytest.mark.slow

RUNS = 700
Report = dict[str, Any]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("attacks")
    with postgres_cluster(fsync=False) as cluster, scratch_database("postgresql", folder, cluster) as url:
        yield url


@pytest.fixture(scope="module")
async def seeded(database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    with railtrack().start(database, tmp_path_factory.mktemp("tables")):  # creates the tables
        pass
    await seed_some(database, RUNS)
    await seed_heavy(database)
    return database


@pytest.fixture(scope="module")
def server(seeded: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with railtrack().start(seeded, tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.fixture
def doomed(seeded: str, tmp_path: Path) -> Iterator[Server]:
    """A server for one test, which kills its processes."""
    with railtrack().start(seeded, tmp_path) as one:
        yield one


@contextmanager
def attacking(server: Server, name: str, scale: float) -> Iterator[Callable[[Callable[[Report], bool]], Report]]:
    """Run an attack. Yield a function that returns the first report of which its argument is true."""
    command = [sys.executable, "-m", "bench.attacks", server.url, name, str(TIMEOUT_S), "--scale", str(scale)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    assert process.stdout is not None
    lines = process.stdout

    def first(is_wanted: Callable[[Report], bool]) -> Report:
        seen: Report = {}
        for line in lines:
            seen = json.loads(line)
            if is_wanted(seen):
                return seen
        raise AssertionError(f"{name} ended: {seen}")

    try:
        yield first
    finally:
        process.kill()
        process.wait()
        lines.close()


def test_unread_responses_stay_in_the_kernel(server: Server) -> None:
    with attacking(server, "unread", 0.1) as first:
        seen = first(lambda seen: seen["open"] == 15 and seen["unread_mb"] > 0)
    assert seen["received_mb"] == 0
    assert seen["closed_by_server"] == 0


def test_stalled_uploads_and_unread_downloads_of_artifacts_stay_open(server: Server) -> None:
    with attacking(server, "artifacts", 0.02) as first:
        seen = first(lambda seen: seen["open"] == 8 and seen["unread_mb"] > 0 and seen["sent_mb"] > 10)
    assert 0 < seen["received_mb"] < 0.01
    assert seen["closed_by_server"] == 0


def test_slow_readers_read_a_little_at_a_time(server: Server) -> None:
    with attacking(server, "slow-readers", 0.1) as first:
        seen = first(lambda seen: seen["open"] == 6 and seen["received_mb"] > 0)
        later = first(lambda later: later["received_mb"] > seen["received_mb"])
    assert later["received_mb"] < 1
    assert later["unread_mb"] > 0


@pytest.mark.parametrize(
    ("name", "connections", "sent_mb"),
    [
        ("unfinished-bodies", 14, 14),
        ("heads-60kb", 8, 0.45),
        ("stalled-uploads", 1, 1.04),
        ("silent", 46, 0),
        ("framing", 15, 8.6),
    ],
)
def test_unfinished_requests_stay_open_without_a_response(
    server: Server, name: str, connections: int, sent_mb: float
) -> None:
    with attacking(server, name, 0.02) as first:
        seen = first(lambda seen: seen["open"] == connections and seen["sent_mb"] >= sent_mb * 0.99)
    assert seen["responses"] == {}
    assert seen["received_mb"] == 0


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("full-batches", {"200"}),
        ("text-numbers", {"400"}),
        ("graphql", {"200", "400"}),
        ("long-filters", {"400"}),
    ],
)
def test_complete_requests_get_their_responses(server: Server, name: str, statuses: set[str]) -> None:
    with attacking(server, name, 0.004) as first:
        seen = first(lambda seen: bool(seen["responses"].keys() & statuses))
    assert seen["responses"].keys() <= statuses | {"429"}


def test_searches_vanish_without_a_response(server: Server) -> None:
    with attacking(server, "vanishing", 0.1) as first:
        seen = first(lambda seen: seen["opened"] > 3)
    assert seen["received_mb"] == 0


def test_an_attack_ends_after_its_time_with_its_connections(server: Server) -> None:
    counters = run_attack(server.url, find_attack("mixed-all"), 2, scale=0.02)
    assert counters["opened"] > 10
    ends = f":{int(server.url.rsplit(':', 1)[1]):04X}"
    established = [
        line for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[2].endswith(ends) and line.split()[3] == "01"
    ]  # fmt: skip
    assert established == []


def test_a_missing_server_is_counted_as_not_connected() -> None:
    assert run_attack("http://127.0.0.1:1", find_attack("silent"), 1, scale=0.01)["not_connected"] >= 23


def test_the_honest_client_sends_every_kind_of_request_and_counts_failures(doomed: Server) -> None:
    client = HonestClient(doomed.url)
    client.start()
    try:
        wait_until(lambda: {one.kind for one in client.since(0)} == {kind.name for kind in KINDS})
        assert [one for one in client.since(0) if not one.is_ok] == []
        assert client.longest_wait_s() < TIMEOUT_S
        os.kill(doomed.pid, signal.SIGKILL)
        wait_until(lambda: len({one.kind for one in client.since(0) if not one.is_ok}) == len(KINDS))
    finally:
        client.stop()


def test_a_killed_worker_is_counted_and_page_cache_is_not(doomed: Server, tmp_path: Path) -> None:
    (tmp_path / "memory.usage_in_bytes").write_text(str(1024 << 20))
    (tmp_path / "memory.stat").write_text(f"cache {200 << 20}\n")
    watch = Watch(doomed, MemoryGroup(tmp_path, is_version_1=True))

    def workers() -> int:
        watch.sample()
        return len(watch.workers)

    wait_until(lambda: workers() == 2)
    assert watch.killed == 0
    os.kill(min(watch.workers), signal.SIGKILL)
    wait_until(lambda: workers() == 2 and watch.killed)
    assert watch.killed == 1
    assert watch.peak_mb == 824
