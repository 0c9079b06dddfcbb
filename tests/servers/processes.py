"""What all servers under test need: a free port, a way to wait, and an end when the test process ends."""

import asyncio
import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

TIMEOUT_S = 120
"""How long a test waits for an event. It is far above what a busy machine needs, and only ends a test that fails."""
PORTS = range(20_000, 30_000)
"""Below the range from which the kernel assigns ports to clients. A client that keeps dialling a stopped server could
otherwise get the port that it dials and connect to itself, and the server could not start again.
"""
_used_ports: set[int] = set()


def free_port() -> int:
    """Return a free port, each only once: nothing may listen on it until the caller binds it, or ever."""
    ports = worker_ports(os.environ)
    for _ in range(1000):
        port = random.choice(ports)
        if port in _used_ports:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _used_ports.add(port)
            return port
    raise RuntimeError(f"no free port between {ports[0]} and {ports[-1]}")


def worker_address() -> str:
    """Return a loopback address of this worker of pytest-xdist alone, for a server that needs a fixed port."""
    return f"127.0.1.{int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw')) + 1}"


def worker_ports(environ: Mapping[str, str]) -> range:
    """Return the part of PORTS that this worker of pytest-xdist has for itself; all of them without xdist."""
    worker = int(environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    per_worker = len(PORTS) // int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return PORTS[worker * per_worker : (worker + 1) * per_worker]


def find_program(*names: str) -> str:
    """Return the path of the first of these programs that is installed. Fail the test if there is none."""
    for name in names:
        # Debian installs some of them in /usr/sbin, which is not on every PATH.
        if path := shutil.which(name) or shutil.which(name, path="/usr/sbin"):
            return path
    pytest.fail(f"{names[0]} is not installed. Run `tools/get_programs {names[0]}`.", pytrace=False)


def coverage_environment() -> dict[str, str]:
    """Return the variable by which `make coverage` measures a subprocess too; none when it does not run."""
    name = "COVERAGE_PROCESS_CONFIG"
    return {name: os.environ[name]} if name in os.environ else {}


def wait_until(condition: Callable[[], object], describe: Callable[[], object] = str) -> None:
    """Return when `condition()` is true. Fail with what `describe()` returns if that takes too long."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.02)


def wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path, *, host: str = "127.0.0.1") -> None:
    """Return when the process accepts connections. Raise RuntimeError with its log if it ends or the time is over."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text() if log.exists() else ''}")


async def until(condition: Callable[[], object], describe: Callable[[], object] = str) -> None:
    """Do as wait_until(), while the event loop runs."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, describe()
        await asyncio.sleep(0.01)


def die_with_parent() -> None:
    """Have the kernel stop this child when the test process dies, even by SIGKILL. For use as `preexec_fn`."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGQUIT)
