"""What processes take: memory, processor time, files; and a memory cgroup to hold them in. Linux only."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

SAMPLE_S = 0.2
REMOVE_LIMIT_S = 10
CONTROLLERS = Path("/sys/fs/cgroup")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(below for child in children for below in tree(int(child)))]
    return []


def pss_mb(pids: Sequence[int]) -> float:
    """Memory of the processes together, each shared page counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # it may end meanwhile
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0])
    return total / 1024


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that the living processes have taken so far, in user space and in the kernel."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


def files_mb(folders: Sequence[Path], pids: Sequence[int]) -> float:
    """Bytes in files below the folders, and in files that the processes have open but that have no name any more."""
    total = 0
    for folder in folders:
        for inner, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):
                    total += Path(inner, name).lstat().st_size
    for pid in pids:
        with suppress(OSError):
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if str(Path(descriptor.path).readlink()).endswith(" (deleted)"):
                        total += descriptor.stat().st_size
    return total / 2**20


class Watch:
    """The peaks of memory and of files while it runs, sampled every SAMPLE_S; files beyond those there at the start."""

    def __init__(self, pids: Callable[[], Sequence[int]], folders: Sequence[Path]) -> None:
        self.peak_mb = 0.0
        self.files_mb = 0.0
        self._pids = pids
        self.folders = folders
        self._files_before = files_mb(folders, pids())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            pids = self._pids()
            self.peak_mb = max(self.peak_mb, pss_mb(pids))
            self.files_mb = max(self.files_mb, files_mb(self.folders, pids) - self._files_before)


class MemoryCgroup:
    """A group of processes that the kernel holds to a number of bytes, page cache and socket buffers included."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self._is_v2 = (CONTROLLERS / "cgroup.controllers").exists()
        folder.mkdir()
        try:
            self._write("memory.max" if self._is_v2 else "memory.limit_in_bytes", limit)
        except OSError:
            folder.rmdir()
            raise

    @classmethod
    @contextmanager
    def of(cls, limit: int) -> "Iterator[MemoryCgroup | None]":
        """A group of its own, None where this user may make none."""
        try:
            group = cls(_own_group() / f"bench-{os.getpid()}", limit)
        except OSError:
            yield None
            return
        try:
            yield group
        finally:
            group.remove()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process, and whatever it starts meanwhile, belongs to the group; what it started stays there."""
        before = _own_group() / "cgroup.procs"
        self._write("cgroup.procs", os.getpid())
        try:
            yield
        finally:
            before.write_text(str(os.getpid()))

    @property
    def peak_mb(self) -> float:
        name = "memory.peak" if self._is_v2 else "memory.max_usage_in_bytes"
        return int((self.folder / name).read_text()) / 2**20

    @property
    def used_mb(self) -> float:
        return int((self.folder / ("memory.current" if self._is_v2 else "memory.usage_in_bytes")).read_text()) / 2**20

    @property
    def killed(self) -> int:
        """Processes that the kernel has ended because the group had no room left."""
        lines = (self.folder / ("memory.events" if self._is_v2 else "memory.oom_control")).read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def command(self, command: Sequence[str]) -> list[str]:
        """The command, run in the group from its first moment."""
        return ["sh", "-c", 'echo $$ >"$1" && shift && exec "$@"', "sh", str(self.folder / "cgroup.procs"), *command]

    @property
    def page_cache_mb(self) -> float:
        """What of the present use is files, which the kernel drops when it needs the room."""
        found = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(found["file" if self._is_v2 else "cache"]) / 2**20

    def remove(self) -> None:
        """End what is left in it: of a server whose first process was killed, the others live on."""
        deadline = time.monotonic() + REMOVE_LIMIT_S
        while time.monotonic() < deadline and (left := (self.folder / "cgroup.procs").read_text().split()):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.05)
        with suppress(OSError):
            self.folder.rmdir()

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))


def _own_group() -> Path:
    """The memory group that this process is in, as a folder."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            mounted = CONTROLLERS / controllers
            inside = mounted / path.lstrip("/")
            return inside if inside.exists() else mounted
    raise OSError("no memory controller")
