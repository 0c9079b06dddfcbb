"""A real `railtrack server` for tests: master and workers on a loopback port, with its log in a file."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from tests.servers.processes import TIMEOUT_S, coverage_environment, die_with_parent, free_port, wait_until

STOP_TIMEOUT_S = 30


WITH_CONSTANTS = """
import importlib, sys
from railtrack import cli
for path, value in {constants}.items():
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    setattr(importlib.import_module(module), name, value)
sys.argv[1:] = ["server"]
sys.exit(cli.main())
"""


class RailtrackServer:
    """A server that can be stopped and started again. `folder` holds its data and log.

    `constants`: values that replace constants of the server ({"railtrack.http_server.processes.GRACE_S": 5}).
    """

    def __init__(
        self,
        folder: Path,
        database: str | None,
        environment: Mapping[str, str],
        constants: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started_in = 0.0
        self._log = folder / "server.log"
        self.artifacts = folder / "data" / "mlartifacts"
        self.environment = {
            # Only these: an MLFLOW_ or AWS_ variable of this machine would change what is tested.
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **coverage_environment(),
            "MLFLOW_HOST": "127.0.0.1",
            "MLFLOW_PORT": str(self.port),
            "RAILTRACK_DATA": str(folder / "data"),
            **({"MLFLOW_BACKEND_STORE_URI": database} if database else {}),
            **environment,
        }
        self.command = [str(Path(sys.executable).with_name("railtrack")), "server"]
        if constants:
            self.command = [sys.executable, "-c", WITH_CONSTANTS.format(constants=constants)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the master."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def launch(self) -> None:
        """Start the processes without waiting for a response."""
        with self._log.open("ab") as log:
            self._process = self._spawn(log)

    def _spawn(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env=self.environment,
            preexec_fn=die_with_parent,
        )

    def start(self) -> None:
        """Start, return at the first healthy response, and set `started_in` to the seconds that it took."""
        began = time.monotonic()
        self.launch()
        self.wait_until_healthy()
        self.started_in = time.monotonic() - began

    def wait_until_healthy(
        self, seconds: float = TIMEOUT_S, path: str = "/health", status: int = HTTPStatus.OK
    ) -> None:
        """Return when `path` responds with `status`. Raise RuntimeError with the log if it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"railtrack ended:\n{self.log()}")
            if self._responds(path, status):
                return
            time.sleep(0.01)
        raise RuntimeError(f"railtrack did not respond to {path} with {status} within {seconds} s:\n{self.log()}")

    def _responds(self, path: str, status: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """Return the process ids of the running workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if is_running(int(pid))]

    def wait_for_workers(self, count: int, besides: Collection[int] = ()) -> list[int]:
        """Wait for `count` workers that are not in `besides`, and return their process ids."""

        def found() -> list[int]:
            return [pid for pid in self.workers() if pid not in besides]

        wait_until(lambda: len(found()) >= count, lambda: f"{found()} are not {count} workers:\n{self.log()}")
        return found()

    def open_artifacts(self) -> list[str]:
        """Return the files that workers have open in the artifacts folder: uploads in progress, named or not."""
        found = []
        for pid in self.workers():
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # it was closed since
                    found.append(str(entry.readlink()))
        return [path for path in found if path.startswith(f"{self.artifacts}/") and not Path(path).is_dir()]

    def pss_mb(self) -> float:
        """Return the memory of master and workers, with each shared page counted once (the kernel's Pss)."""
        return sum(_pss_kb(pid) for pid in [self.pid, *self.workers()]) / 1024

    def anonymous_mb(self) -> float:
        """Return the part of pss_mb() that does not depend on which files other processes have mapped."""
        return sum(_pss_kb(pid, "Pss_Anon") for pid in [self.pid, *self.workers()]) / 1024

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the master and return at once."""
        os.kill(self.pid, number)

    def wait_ended(self, seconds: float = STOP_TIMEOUT_S) -> int:
        """Wait until the master ends and return its exit code."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self._process = None
        return code

    def stop(self) -> None:
        """Stop it as a platform does. Send SIGKILL and raise RuntimeError if SIGTERM does not end it in time."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.send_signal(signal.SIGTERM)
        try:
            self.wait_ended()
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"railtrack did not end within {STOP_TIMEOUT_S} s:\n{self.log()}") from None

    def kill(self) -> None:
        """Send SIGKILL to master and workers, and return when they hold nothing any more, not even the port."""
        self.send_signal(signal.SIGSTOP)
        wait_until(lambda: _state(self.pid) == "T")  # so that it does not replace a killed worker
        killed = [self.pid, *self.workers()]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        self.wait_ended()
        wait_until(lambda: not any(is_running(pid) for pid in killed))

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def logged_errors(self) -> list[str]:
        """Return the lines of the log that report errors or tracebacks."""
        return [
            line for line in self.log().splitlines() if re.search(r"\[(ERROR|CRITICAL)\]|Traceback|\bERROR\b", line)
        ]


@contextlib.contextmanager
def railtrack_server(
    folder: Path,
    database: str | None = None,
    *,
    workers: int = 2,
    environment: Mapping[str, str] | None = None,
    constants: Mapping[str, float] | None = None,
) -> Iterator[RailtrackServer]:
    """Run a server with its data in `folder`, on SQLite unless `database` is a URL."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"GUNICORN_WORKERS": str(workers), **(environment or {})}
    server = RailtrackServer(folder, database, environment, constants)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def command(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `railtrack` with these arguments, and without the environment of this machine, until it ends."""
    program = [str(Path(sys.executable).with_name("railtrack")), *arguments]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **coverage_environment(), **environ}
    return subprocess.run(
        program, cwd=folder, env=clean, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def is_running(pid: int) -> bool:
    return _state(pid) not in ("", "Z")


def _state(pid: int) -> str:
    """Return the kernel's letter for the state of a process, "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second if it ends between open and read
        return ""


def _pss_kb(pid: int, kind: str = "Pss") -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(rf"^{kind}:\s+(\d+) kB", rollup, re.MULTILINE)[0])
