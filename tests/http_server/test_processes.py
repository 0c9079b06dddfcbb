"""Processes: sockets, gunicorn's configuration, and the private names of gunicorn that the worker uses."""

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gunicorn import arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.workers import base, gasgi
from tests.faults.http_load import Connection
from tests.servers.processes import free_port
from tests.servers.railtrack import command, railtrack_server

from railtrack.config.settings import load
from railtrack.errors import StartError
from railtrack.http_server.processes import DESCRIPTORS, LISTENING, Worker, addresses, listen, listeners

pytestmark = pytest.mark.slow


def test_the_platforms_port_is_listened_on_beside_ours() -> None:
    settings = load({}, {"MLFLOW_PORT": "5000", "PORT": "8080"})
    assert addresses(settings) == [("127.0.0.1", 5000, "MLFLOW_PORT"), ("127.0.0.1", 8080, "PORT")]
    assert addresses(load({}, {"MLFLOW_PORT": "5000", "PORT": "5000"})) == [("127.0.0.1", 5000, "MLFLOW_PORT")]


def test_all_addresses_means_ipv6_too_where_there_is_any() -> None:
    port = free_port()
    settings = load({"server.host": "0.0.0.0", "server.port": str(port)}, {})
    sockets = listeners(settings)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        listen(settings, sockets)
        assert sockets[0].getsockname() == ("0.0.0.0", port)
        assert [one.family for one in sockets[1:]] in ([], [socket.AF_INET6])
        for address in ["127.0.0.1", "::1"][: len(sockets)]:
            socket.create_connection((address, port), timeout=5).close()
    finally:
        for one in sockets:
            one.close()


def test_localhost_that_other_machines_can_reach_is_rejected_without_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may give the name another address. 0.0.0.0 is one that every test machine has."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, port, **options: resolve("0.0.0.0", port, **options))
    flags = {"server.host": "localhost", "server.port": str(free_port())}
    with pytest.raises(StartError, match=r"--host: localhost is 0\.0\.0\.0 here, which is no loopback address"):
        listeners(load(flags, {}))
    for one in listeners(load({**flags, "auth.mode": "on"}, {})):
        one.close()


def test_a_port_in_use_is_reported_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            listeners(load({}, {"MLFLOW_PORT": str(port)}))
    assert str(caught.value).startswith(f"MLFLOW_PORT: cannot listen on 127.0.0.1 port {port} (Address already in use)")


def test_gunicorn_has_the_names_that_the_worker_uses() -> None:
    """If one of these fails with a newer gunicorn, review http_server/processes.py before moving the pin."""
    assert "self._serve()" in inspect.getsource(gasgi.ASGIWorker.run)
    shutdown = inspect.getsource(gasgi.ASGIWorker._shutdown)
    assert "while self.nr_conns > 0" in shutdown
    assert "self.lifespan.shutdown()" in shutdown
    assert "self.alive = False" in inspect.getsource(gasgi.ASGIWorker.handle_exit_signal)
    assert "self.handle_exit_signal" in inspect.getsource(gasgi.ASGIWorker.init_signals)
    assert "self.asgi = self.app.wsgi()" in inspect.getsource(gasgi.ASGIWorker.load_wsgi)
    assert "self.ppid = " in inspect.getsource(base.Worker.__init__)
    assert {"app", "logger", "state"} <= inspect.signature(LifespanManager).parameters.keys()
    assert Worker.__mro__[1] is gasgi.ASGIWorker
    assert f'info("{LISTENING}", listeners_str' in inspect.getsource(arbiter.Arbiter.start)


SIGTERM_AT_FORK = """
import os, signal, sys
from railtrack import http_server as serving
from railtrack.config.settings import load
from railtrack.http_server.processes import Server, listeners

serving.GRACE_S = 3600

async def app(scope, receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return

class TellingServer(Server):
    def load_config(self):
        super().load_config()
        self.cfg.set("post_fork", lambda master, worker: os.kill(os.getpid(), signal.SIGTERM))
        self.cfg.set("worker_exit", lambda master, worker: os.kill(os.getppid(), signal.SIGTERM))

settings = load({"server.port": sys.argv[1], "server.workers": "1"}, {})
TellingServer(settings, listeners(settings), lambda: app).run()
"""


def test_a_worker_that_gets_sigterm_while_it_is_forked_ends() -> None:
    """Without care it takes the signal for its master's, and holds up the end for the whole grace period: an hour."""
    command = [sys.executable, "-c", SIGTERM_AT_FORK, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Worker shutting down" in done.stderr


def test_a_start_that_fails_logs_the_reason_in_one_line_and_exits_with_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command(tmp_path, "server", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: --port: cannot listen on 127.0.0.1 port")
    assert "Traceback" not in done.stderr + done.stdout


def test_a_database_that_is_not_there_ends_the_start_after_the_wait(tmp_path: Path) -> None:
    uri = f"postgresql://me:secret@127.0.0.1:{free_port()}/db"
    done = command(tmp_path, "server", MLFLOW_BACKEND_STORE_URI=uri, RAILTRACK_DB_WAIT_S="1")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Could not connect to backend store postgresql://me:***@127.0.0.1:")
    assert "secret" not in done.stderr + done.stdout


def test_a_database_in_a_folder_of_artifacts_is_not_served(tmp_path: Path) -> None:
    for setting in ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
        done = command(tmp_path, "server", **{setting: "./railtrack-data"})
        assert done.returncode == 1
        assert setting in done.stderr
        assert "contains the database" in done.stderr


@pytest.mark.parametrize("variable", ["RAILTRACK_DATA", "MLFLOW_ARTIFACTS_DESTINATION"])
def test_a_folder_that_is_none_ends_the_start_with_one_line(variable: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command(tmp_path, "server", **{variable: str(tmp_path / "file" / "below")})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {variable}: {tmp_path}/file is not a folder. ")


@pytest.mark.parametrize("proxies", ["none", "*", "10.0.0.5,172.16.0.0/12,fd00::/8"])
def test_what_a_proxy_sends_is_taken_whomever_the_setting_trusts(tmp_path: Path, proxies: str) -> None:
    with railtrack_server(tmp_path, workers=1, environment={"RAILTRACK_TRUSTED_PROXIES": proxies}) as server:
        assert asyncio.run(_asked_as_a_proxy_does(server.port)) == 200
        assert server.logged_errors() == []


async def _asked_as_a_proxy_does(port: int) -> int:
    headers = (
        "Host: localhost\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Host: a.example"
    )
    connection = Connection(port)
    answer = await connection.send(f"GET /version HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    connection.close()
    return answer.status


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"), [(256, 4096, DESCRIPTORS), (256, 600, 600), (3000, 4096, 3000), (256, 256, 256)]
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_may(soft: int, hard: int, allowed: int) -> None:
    script = (
        "import resource; from railtrack.http_server.processes import allow_descriptors; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); allow_descriptors(); "
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed), str(hard)]


def test_hundreds_of_clients_can_connect_while_the_workers_are_busy(tmp_path: Path) -> None:
    """The kernel drops the connections beyond the backlog, and their clients try again after a second or more."""
    with railtrack_server(tmp_path, workers=1) as server, contextlib.ExitStack() as clients:
        [worker] = server.wait_for_workers(1)
        os.kill(worker, signal.SIGSTOP)
        try:
            for _ in range(500):
                clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=0.9))
        finally:
            os.kill(worker, signal.SIGCONT)
