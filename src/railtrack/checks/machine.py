"""Checks of the machine: memory for the workers, file descriptors, version of Python."""

import platform
import resource
import sys

from railtrack.checks import Finding, ok, problem, warning
from railtrack.checks.memory import MB, idle_memory, memory_limit, memory_needed, memory_warnings
from railtrack.config.settings import Settings
from railtrack.http_server.limits import CONNECTIONS_LIMIT
from railtrack.http_server.processes import DESCRIPTORS

TESTED_PYTHONS = ((3, 11), (3, 13))


async def check_memory(settings: Settings) -> list[Finding]:
    return [memory_finding(settings, memory_limit())]


def memory_finding(settings: Settings, limit: int | None) -> Finding:
    """Return the finding for a limit in bytes, None without one. Warnings are those of the start."""
    workers = f"{settings.server.workers} worker{'s' if settings.server.workers > 1 else ''}"
    need = f"{workers} may need {memory_needed(settings.server.workers) // MB} MB under load; "
    if limit is None:
        return ok("memory", f"{need}no limit is set")
    if limit < idle_memory(settings.server.workers):
        return problem("memory", *memory_warnings(settings, limit))
    if lines := memory_warnings(settings, limit):
        return warning("memory", *lines)
    return ok("memory", f"{need}the limit is {limit // MB} MB")


async def check_descriptors() -> list[Finding]:
    return [descriptors_finding(resource.getrlimit(resource.RLIMIT_NOFILE)[1])]


def descriptors_finding(hard: int) -> Finding:
    """Return the finding for a hard limit, to which the server raises its soft limit."""
    if hard == resource.RLIM_INFINITY:
        return ok("file descriptors", "no limit")
    if hard < DESCRIPTORS:
        message = f"The limit is {hard}; a worker with all {CONNECTIONS_LIMIT} connections needs {DESCRIPTORS}."
        return warning("file descriptors", message, "Raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile).")
    return ok("file descriptors", f"the limit is {hard}; a worker may need {DESCRIPTORS}")


async def check_python() -> list[Finding]:
    return [python_finding((sys.version_info.major, sys.version_info.minor))]


def python_finding(version: tuple[int, int]) -> Finding:
    name = f"{platform.python_implementation()} {platform.python_version()}"
    oldest, newest = (".".join(map(str, tested)) for tested in TESTED_PYTHONS)
    if not TESTED_PYTHONS[0] <= version <= TESTED_PYTHONS[1]:
        return warning("Python", f"Railtrack was not tested with {name}.", f"Use {oldest} to {newest}.")
    return ok("Python", name)
