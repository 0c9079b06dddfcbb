"""Statistics of a process from the kernel: whether it is alive, and its memory. Linux only."""

import os
import re
from pathlib import Path
from typing import NamedTuple

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessMemory(NamedTuple):
    """Bytes: `resident` counts shared pages in full (RSS), `proportional` the process's share of them (PSS)."""

    resident: int
    proportional: int


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of a process, None if it has ended or the kernel does not report it."""
    folder = Path(f"/proc/{pid}")
    try:
        resident = int((folder / "statm").read_text().split()[1]) * PAGE_BYTES
        pss = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    except (OSError, IndexError, ValueError):
        return None
    return ProcessMemory(resident, int(pss[1]) * 1024) if pss else None
