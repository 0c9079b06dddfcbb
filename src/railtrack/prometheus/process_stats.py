"""What the kernel tells of a process: whether it lives, and its memory. Nothing of it is known outside Linux."""

import os
import re
from pathlib import Path
from typing import NamedTuple

PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """Bytes. `resident` has the pages that processes share in full, `proportional` a fair share of them."""

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


def memory(pid: int) -> Memory | None:
    """None where the kernel doesn't tell, or the process has just ended."""
    folder = Path(f"/proc/{pid}")
    try:
        resident = int((folder / "statm").read_text().split()[1]) * PAGE
        found = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    except (OSError, IndexError, ValueError):
        return None
    return Memory(resident, int(found[1]) * 1024) if found else None
