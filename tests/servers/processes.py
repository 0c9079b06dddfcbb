"""What the servers of tests have in common: a free port, patience, and an end together with the tests."""

import asyncio
import contextlib
import ctypes
import random
import signal
import socket
import sys
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120
"""How long a test waits for what is bound to happen, however busy the machine is: it only ends a test that fails."""
_given: set[int] = set()


def free_port() -> int:
    """A free port that was given to nobody before, below the range that the system hands out to clients.

    Within that range a client that keeps dialling a stopped server can be given the very port it dials, and
    connects to itself, after which the server cannot start again. And between being given and being bound, or while
    nothing is to listen there, a port is free for everybody: so nobody else is given it.
    """
    for _ in range(1000):
        port = random.randint(20_000, 29_999)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise RuntimeError("no free port between 20000 and 29999")


def wait_until(happened: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Return once `happened()` is true; fail with what `told()` returns when it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


async def until(happened: Callable[[], object], told: Callable[[], object] = str) -> None:
    """As wait_until(), while the event loop goes on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, told()
        await asyncio.sleep(0.01)


def end_with_the_tests() -> None:
    """Have the kernel stop a child when the test process dies, however it dies; a `preexec_fn`."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGQUIT)
