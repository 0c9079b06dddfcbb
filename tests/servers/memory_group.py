"""A control group that bounds the memory of what runs in it, of either version, where this machine lets us make one."""

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
"""By whether it is version 1."""


@dataclass(frozen=True)
class MemoryGroup:
    """`path` is the group's folder, whose cgroup.procs takes processes in."""

    path: Path
    is_version_1: bool

    @property
    def peak_mb(self) -> float:
        """The most that was in use at once, pages of files that were read included."""
        return self._mb(PEAK[self.is_version_1])

    @property
    def used_mb(self) -> float:
        return self._mb("memory.usage_in_bytes" if self.is_version_1 else "memory.current")

    @property
    def page_cache_mb(self) -> float:
        """What of the present use is files, which the kernel drops when it needs the room."""
        found = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(found["cache" if self.is_version_1 else "file"]) / (1 << 20)

    def _mb(self, file: str) -> float:
        return int((self.path / file).read_text()) / (1 << 20)

    def command(self, command: Sequence[str]) -> list[str]:
        """The command, run in the group from its first moment."""
        return ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh", str(self.path / "cgroup.procs"), *command]

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
        _end(group)
        _remove(group)


def _bounded(group: Path, limit: int, version_1: bool) -> MemoryGroup | None:
    names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] if version_1 else ["memory.max"]
    if not all((group / needed).exists() for needed in (names[0], PEAK[version_1])):
        return None  # the controller is not handed down, or the kernel is older than memory.peak
    for name in names:
        if (group / name).exists():
            (group / name).write_text(str(limit))
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0")
    return MemoryGroup(group, version_1)


def _end(group: Path) -> None:
    """Stop what is left in it: of a server whose first process was killed, the others live on."""
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _remove(group: Path) -> None:
    """The kernel takes a moment to let go of a group whose last process has ended."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
    group.rmdir()
