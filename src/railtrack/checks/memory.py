"""The memory limit of the container, by its control group, and the memory that workers need."""

import os
from collections.abc import Iterator
from pathlib import Path

from railtrack.config.settings import Settings

MB = 1 << 20
MASTER_MB = 40
WORKER_MB = 100
"""The highest measured under load: eight artifact parts in transfer, full queues, searches of 1,000 runs."""
MIN_REQUEST_MB = 40
MAX_REQUEST_MB = 320
BESIDE_REQUESTS_MB = 98
"""Kept free of requests for each process: code, connections, database results, fragmentation. With that, two workers in
512 MB stay below 300 MB under the attacks of docs/hostile.md."""
SHARE_OF_MACHINE = 4
"""Without a limit, a quarter of the machine's memory counts as one."""
IDLE_MASTER_MB = 37
IDLE_WORKER_MB = 10

UNLIMITED = 1 << 60
"""Version 1 of control groups writes "no limit" as a number about 2**63."""
CONTROLLERS = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""Folder below the mount and file with the limit, by the controller in /proc/self/cgroup ("" for version 2)."""
MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def memory_warnings(settings: Settings, limit: int | None = None) -> list[str]:
    """Warn of a limit, by default that of this process, which is too low for the workers."""
    limit = memory_limit() if limit is None else limit
    needed = memory_needed(settings.server.workers)
    if limit is None or limit >= needed:
        return []
    workers = f"{settings.server.workers} worker{'s' if settings.server.workers > 1 else ''}"
    return [
        f"{workers} may need {needed // MB} MB under load, and this container has {limit // MB} MB: it may be killed. "
        f"Increase the limit{', or decrease GUNICORN_WORKERS' if settings.server.workers > 1 else ''}."
    ]


def memory_needed(workers: int) -> int:
    """Return the bytes that workers and their master need under load."""
    return (MASTER_MB + WORKER_MB * workers) * MB


def request_memory(settings: Settings, limit: int | None = None) -> int:
    """Return the bytes that clients can make one worker hold, by the setting or the limit, by default this process's.

    109 MB for each of two workers in 512 MB.
    """
    if settings.server.request_memory_mb is not None:
        return settings.server.request_memory_mb * MB
    limit = memory_limit() if limit is None else limit
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE_OF_MACHINE
    workers = settings.server.workers
    available = (machine if limit is None else limit) - BESIDE_REQUESTS_MB * MB * (workers + 1)
    return min(max(available // workers, MIN_REQUEST_MB * MB), MAX_REQUEST_MB * MB)


def idle_memory(workers: int) -> int:
    """Return the bytes used without load, as measured with PostgreSQL (PSS): 47 MB with one worker, 77 with four."""
    return (IDLE_MASTER_MB + IDLE_WORKER_MB * workers) * MB


def memory_limit(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> int | None:
    """Return the lowest limit in bytes of this process's control group and its parents. Linux only."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = [limit for line in lines for limit in _limits(line, mount)]
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def _limits(line: str, mount: Path) -> Iterator[int]:
    """Yield the limits for a line of cgroup(7), `4:memory:/path`.

    In a container the path may be the host's while only its end is mounted: missing parents are ignored, and the mount
    itself has the limit.
    """
    _, controllers, path = line.split(":", 2)
    for controller in controllers.split(","):
        if controller in CONTROLLERS:
            folder, file = CONTROLLERS[controller]
            group = Path(path.lstrip("/"))
            for ancestor in (group, *group.parents):
                try:
                    yield int((mount / folder / ancestor / file).read_text())
                except (OSError, ValueError):  # missing, or "max"
                    continue
