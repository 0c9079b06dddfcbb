"""A control group that bounds the memory of what runs in it, of either version, where this machine lets us make one."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

VERSION_1 = Path("/sys/fs/cgroup/memory")
VERSION_2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryGroup:
    """`path` is the group's folder, whose cgroup.procs takes processes in."""

    path: Path
    peak_file: str

    @property
    def peak_mb(self) -> float:
        """The most that was in use at once, pages of files that were read included."""
        return int((self.path / self.peak_file).read_text()) / (1 << 20)

    @property
    def killed(self) -> int:
        """How many processes the kernel has ended for want of memory."""
        lines = [
            line.split()
            for name in ("memory.oom_control", "memory.events")
            if (self.path / name).exists()
            for line in (self.path / name).read_text().splitlines()
        ]
        return sum(int(count) for name, count in lines if name == "oom_kill")


@contextlib.contextmanager
def memory_group(limit_mb: int) -> Iterator[MemoryGroup | None]:
    """A group with this limit and without swap; None where the groups of this machine are not ours to make."""
    name = f"railtrack-test-{uuid4().hex[:12]}"
    version_1 = (VERSION_1 / "memory.limit_in_bytes").exists()
    group = (VERSION_1 if version_1 else VERSION_2) / name
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        yield _bounded(group, limit_mb << 20, version_1)
    finally:
        _remove(group)


def _bounded(group: Path, limit: int, version_1: bool) -> MemoryGroup | None:
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] if version_1 else ["memory.max"]
    peak = "memory.max_usage_in_bytes" if version_1 else "memory.peak"
    if not all((group / needed).exists() for needed in (names[0], peak)):
        return None  # the controller is not handed down, or the kernel is older than memory.peak
    for name in names:
        if (group / name).exists():
            (group / name).write_text(str(limit))
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0")
    return MemoryGroup(group, peak)


def _remove(group: Path) -> None:
    """The kernel takes a moment to let go of a group whose last process has ended."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
    group.rmdir()
