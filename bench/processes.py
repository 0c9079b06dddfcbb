"""Measure memory, CPU time and files of processes. Linux only; tests/servers/memory_group.py limits memory."""

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
    """Return a process and its descendants."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(below for child in children for below in tree(int(child)))]
    return []


def pss_mb(pids: Sequence[int]) -> float:
    """Return the memory of the processes, with shared pages counted once."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # a process may exit meanwhile
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0])
    return total / 1024


def cpu_s(pids: Sequence[int]) -> float:
    """Return the user and system CPU time of the processes and of their exited children.

    PostgreSQL serves short connections in processes that exit soon.
    """
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_S


def files_mb(folders: Sequence[Path], pids: Sequence[int]) -> float:
    """Return bytes of files in the folders, and of deleted files that the processes have open."""
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
    """Record peaks of memory and of files beyond the initial ones, sampled every SAMPLE_S."""

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
