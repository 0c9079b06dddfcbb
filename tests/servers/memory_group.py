"""Control groups, version 1 or 2, that limit the memory of the processes in them."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

VERSION_1 = Path("/sys/fs/cgroup/memory")
VERSION_2 = Path("/sys/fs/cgroup")
PEAK = {True: "memory.max_usage_in_bytes", False: "memory.peak"}
"""The file with the peak; the key is whether the group is of version 1."""


@dataclass(frozen=True)
class MemoryGroup:
    """A group. Processes join it by writing their id to `path`/cgroup.procs."""

    path: Path
    is_version_1: bool

    @property
    def peak_mb(self) -> float:
        """The highest use so far, with the page cache."""
        return self._mb(PEAK[self.is_version_1])

    @property
    def used_mb(self) -> float:
        return self._mb("memory.usage_in_bytes" if self.is_version_1 else "memory.current")

    @property
    def page_cache_mb(self) -> float:
        """The part of the current use that is page cache, which the kernel drops under pressure."""
        found = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(found["cache" if self.is_version_1 else "file"]) / (1 << 20)

    def _mb(self, file: str) -> float:
        return int((self.path / file).read_text()) / (1 << 20)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that joins the group and then runs `command`."""
        return ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh", str(self.path / "cgroup.procs"), *command]

    @property
    def oom_kills(self) -> int:
        """The number of processes that the kernel killed because memory ran out."""
        lines = [
            line.split()
            for name in ("memory.oom_control", "memory.events")
            if (self.path / name).exists()
            for line in (self.path / name).read_text().splitlines()
        ]
        return sum(int(count) for name, count in lines if name == "oom_kill")


@contextlib.contextmanager
def memory_group(limit_mb: int) -> Iterator[MemoryGroup | None]:
    """Yield a group with this limit and no swap, or None if this machine does not let us create groups."""
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
        _end(group)
        _remove(group)


def _bounded(group: Path, limit: int, version_1: bool) -> MemoryGroup | None:
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] if version_1 else ["memory.max"]
    if not all((group / needed).exists() for needed in (names[0], PEAK[version_1])):
        return None  # the controller is not delegated, or the kernel is older than memory.peak
    for name in names:
        if (group / name).exists():
            (group / name).write_text(str(limit))
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0")
    return MemoryGroup(group, version_1)


def _end(group: Path) -> None:
    """Kill what is left in the group: the workers of a master that was killed."""
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _remove(group: Path) -> None:
    """Remove the group. The kernel allows it only shortly after the last process has ended."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
    group.rmdir()
