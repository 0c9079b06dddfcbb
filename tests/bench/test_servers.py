"""Stopping a measured server leaves no process behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.processes import cpu_s
from bench.servers import at_home, running
from tests.servers.processes import free_port

pytestmark = pytest.mark.slow

# A server whose child, in a separate session, outlives it.
SERVER = """
import http.server, subprocess, sys
subprocess.Popen(["sleep", "600"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_child_that_outlives_its_server_is_killed(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    with running(command, port, tmp_path, "", {}, None) as server:
        assert len(at_home(tmp_path)) == 2
        assert server.pid in at_home(tmp_path)
    assert at_home(tmp_path) == []


def test_a_server_that_exits_at_startup_is_reported_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such option')"]
    with pytest.raises(RuntimeError, match="no such option"), running(command, 1, tmp_path, "", {}, None):
        pass


def test_cpu_time_includes_exited_children() -> None:
    before = cpu_s([os.getpid()])
    subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
    assert cpu_s([os.getpid()]) - before >= 0.05


# Ignores SIGTERM and interrupts its parent.
STUBBORN = f"""
import os, signal

signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGUSR1))
{SERVER}"""


def test_an_interrupt_while_a_server_stops_leaves_no_process(tmp_path: Path) -> None:
    port = free_port()
    before = signal.signal(signal.SIGUSR1, lambda *_: signal.default_int_handler(signal.SIGINT, None))
    command = [sys.executable, "-c", STUBBORN, str(port)]
    try:
        with pytest.raises(KeyboardInterrupt), running(command, port, tmp_path, "", {}, None):
            pass
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert at_home(tmp_path) == []
