"""What processes take: memory, processor time, files. Linux only; tests/servers/memory_group.py bounds memory."""

import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

SAMPLE_S = 0.2
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
    """Processor time so far, in user space and in the kernel, of the processes and of their children that have ended.

    A PostgreSQL that is asked over a new connection each time works in processes that are soon gone.
    """
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
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
