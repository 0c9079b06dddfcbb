"""Checks of the machine: memory, file descriptors, Python."""

from pathlib import Path

from tests.servers.processes import coverage_environment
from tests.servers.railtrack import railtrack_server

from railtrack.checks.machine import descriptors_finding, memory_finding, python_finding
from railtrack.checks.memory import idle_memory
from railtrack.config.settings import load
from railtrack.http_server.processes import DESCRIPTORS

MB = 1 << 20


def test_the_memory_limit_is_compared_with_the_workers_need() -> None:
    four = load({"server.workers": "4"}, {})
    assert memory_finding(four, None).finding == "4 workers may need 440 MB under load; no limit is set"
    assert memory_finding(four, 512 * MB).finding == "4 workers may need 440 MB under load; the limit is 512 MB"
    tight = memory_finding(four, 256 * MB)
    assert tight.status == "warning"
    assert "4 workers may need 440 MB under load, and this container has 256 MB" in tight.finding
    assert memory_finding(four, idle_memory(4)).status == "warning"
    assert memory_finding(four, idle_memory(4) - 1).status == "problem"


def test_an_idle_server_takes_as_much_memory_as_the_check_expects(tmp_path: Path) -> None:
    limit = 2 if coverage_environment() else 1.1
    with railtrack_server(tmp_path, workers=2) as server:
        assert 0.7 < server.anonymous_mb() * MB / idle_memory(2) < limit


def test_the_descriptor_limit_is_compared_with_the_connections() -> None:
    assert descriptors_finding(1024).status == "warning"
    assert descriptors_finding(DESCRIPTORS).status == "ok"
    assert descriptors_finding(-1).status == "ok"  # RLIM_INFINITY


def test_an_untested_python_is_warned_of() -> None:
    assert [python_finding(version).status for version in ((3, 10), (3, 11), (3, 13), (3, 14))] == [
        "warning",
        "ok",
        "ok",
        "warning",
    ]
