"""The memory that a container may use, as its control group says, against what that many workers can come to need."""

from collections.abc import Iterator
from pathlib import Path

from railtrack.config.settings import Settings

MB = 1 << 20
MASTER_MB = 40
WORKER_MB = 100
"""The most that was measured under load: eight parts of artifacts in flight, full queues, searches of 1,000 runs."""
REST_MASTER_MB = 27
REST_WORKER_MB = 10

UNLIMITED = 1 << 60
"""Version 1 of control groups writes "no limit" as a number about 2**63."""
CONTROLLERS = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""By the controller in /proc/self/cgroup (none: version 2): its folder below the mount, and the file with the limit."""
MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def memory_warnings(settings: Settings, limit: int | None = None) -> list[str]:
    """What to say when the limit, by default that of this process, is too low for the workers."""
    limit = memory_limit() if limit is None else limit
    needed = memory_needed(settings.server.workers)
    if limit is None or limit >= needed:
        return []
    workers = f"{settings.server.workers} worker{'s' if settings.server.workers > 1 else ''}"
    return [
        f"{workers} may need {needed // MB} MB under load, and this container has {limit // MB} MB: it may be killed. "
        f"Give it more{', or set GUNICORN_WORKERS lower' if settings.server.workers > 1 else ''}."
    ]


def memory_needed(workers: int) -> int:
    """Bytes for that many workers under load, their master included."""
    return (MASTER_MB + WORKER_MB * workers) * MB


def memory_at_rest(workers: int) -> int:
    """Bytes without any load, as measured on PostgreSQL (PSS): 37 MB with one worker, 47 with two, 67 with four."""
    return (REST_MASTER_MB + REST_WORKER_MB * workers) * MB


def memory_limit(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> int | None:
    """The lowest limit in bytes of this process's group and those above it, None without any. Linux only."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = [limit for line in lines for limit in _limits(line, mount)]
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def _limits(line: str, mount: Path) -> Iterator[int]:
    """A line of cgroup(7), `4:memory:/path`. In a container the path may be the host's, with only its end mounted:
    what is not there is passed over, the mount itself is what counts then."""
    _, controllers, path = line.split(":", 2)
    for controller in controllers.split(","):
        if controller in CONTROLLERS:
            folder, file = CONTROLLERS[controller]
            group = Path(path.lstrip("/"))
            for ancestor in (group, *group.parents):
                try:
                    yield int((mount / folder / ancestor / file).read_text())
                except (OSError, ValueError):  # not there; "max"
                    continue
