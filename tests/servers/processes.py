"""What the servers of tests have in common: a free port, and an end together with the tests."""

import contextlib
import ctypes
import random
import signal
import socket
import sys


def free_port() -> int:
    """A free port below the range that the system hands out to clients.

    Within that range a client that keeps dialling a stopped server can be given the very port it dials, and
    connects to itself, after which the server cannot start again.
    """
    for _ in range(100):
        port = random.randint(20_000, 29_999)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 29999")


def end_with_the_tests() -> None:
    """Have the kernel stop a child when the test process dies, however it dies; a `preexec_fn`."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGQUIT)
