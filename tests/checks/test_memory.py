"""The memory limit of a container, read from control groups of both versions, and the warning that follows from it."""

from pathlib import Path

import pytest

from railtrack.checks.memory import MB, memory_limit, memory_needed, memory_warnings
from railtrack.config.settings import load

NO_LIMIT_V1 = "9223372036854771712\n"


def limit(folder: Path, membership: str, **files: str) -> int | None:
    """Return the limit read from a mount with these files, named by their path with two underscores for a slash."""
    for name, content in files.items():
        file = folder / "mount" / name.replace("__", "/").replace("-", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (folder / "membership").write_text(membership)
    return memory_limit(folder / "membership", folder / "mount")


def test_a_version_2_limit_is_read_from_the_root_of_the_container(tmp_path: Path) -> None:
    assert limit(tmp_path, "0::/\n", **{"memory-max": "536870912\n"}) == 512 * MB


def test_a_lower_limit_of_a_parent_group_counts(tmp_path: Path) -> None:
    groups = {"pod__memory-max": "268435456\n", "pod__one__memory-max": "max\n", "memory-max": "max\n"}
    assert limit(tmp_path, "0::/pod/one\n", **groups) == 256 * MB


def test_a_version_1_limit_is_read_among_other_controllers(tmp_path: Path) -> None:
    membership = "9:name=systemd:/\n5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"
    groups = {
        "memory__docker__abc__memory-limit_in_bytes": "134217728\n",
        "memory__memory-limit_in_bytes": NO_LIMIT_V1,
        "cpu__docker__abc__memory-limit_in_bytes": "1\n",
    }
    assert limit(tmp_path, membership, **groups) == 128 * MB


def test_a_container_that_sees_the_hosts_path_reads_the_mounted_group(tmp_path: Path) -> None:
    mounted = {"memory__memory-limit_in_bytes": "536870912\n"}
    assert limit(tmp_path, "4:memory:/docker/of-the-host\n", **mounted) == 512 * MB


@pytest.mark.parametrize("membership", ["0::/\n", "4:memory:/\n", "", "0::/elsewhere\n"])
def test_unlimited_memory_has_no_limit(tmp_path: Path, membership: str) -> None:
    unlimited = {"memory-max": "max\n", "memory__memory-limit_in_bytes": NO_LIMIT_V1}
    assert limit(tmp_path, membership, **unlimited) is None


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path / "nothing", tmp_path) is None


def test_two_workers_fit_into_512_mb_and_less_than_their_need_is_warned_of() -> None:
    settings = load({}, {"GUNICORN_WORKERS": "2"})
    assert memory_warnings(settings, 512 * MB) == []
    assert memory_warnings(settings, memory_needed(2)) == []
    assert memory_warnings(settings, 128 * MB) == [
        "2 workers may need 240 MB under load, and this container has 128 MB: it may be killed. "
        "Increase the limit, or decrease GUNICORN_WORKERS."
    ]


def test_a_single_worker_is_not_advised_to_use_fewer_workers() -> None:
    [line] = memory_warnings(load({}, {"GUNICORN_WORKERS": "1"}), 64 * MB)
    assert line.startswith("1 worker may need 140 MB under load, and this container has 64 MB")
    assert line.endswith("Increase the limit.")
