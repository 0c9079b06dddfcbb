"""The compared servers, started as their users start them, and resource use of their processes."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers.memory_group import MemoryGroup
from tests.servers.processes import die_with_parent, free_port

from bench.processes import cpu_s, pss_mb, tree

RAILTRACK, FASTTRACKML = "Railtrack", "FastTrackML"
GUIDE_CONFIGURATION, DEFAULT_CONFIGURATION = "MLflow, 2 workers of 4 threads", "MLflow, defaults"
START_LIMIT_S = 180
STOP_LIMIT_S = 20


@dataclass(frozen=True)
class Server:
    """A running server. `start_s`: seconds from its command to its first healthy response."""

    url: str
    database: str
    pid: int
    start_s: float

    def pids(self) -> list[int]:
        return tree(self.pid)

    def pss_mb(self) -> float:
        return pss_mb(self.pids())

    def cpu_s(self) -> float:
        return cpu_s(self.pids())


class Start(Protocol):
    def __call__(self, database: str, folder: Path, group: MemoryGroup | None = None) -> AbstractContextManager[Server]:
        """Start a server on a database, with a folder for artifacts and its log, in `group`."""


@dataclass(frozen=True)
class Contender:
    """A compared server. `schema`: tables of its database, "mlflow" or "fasttrackml"."""

    name: str
    version: str
    start: Start
    schema: str = "mlflow"


def railtrack(variables: Mapping[str, str] | None = None) -> Contender:
    """Return Railtrack in the guide's configuration: two workers of four connections, and without login on loopback."""
    program = Path(sys.executable).with_name("railtrack")

    def start(database: str, folder: Path, group: MemoryGroup | None = None) -> AbstractContextManager[Server]:
        port = free_port()
        environment = {"MLFLOW_BACKEND_STORE_URI": database, "RAILTRACK_DATA": str(folder / "data")}
        environment |= variables or {}
        command = [str(program), "server", "--port", str(port)]
        return running(command, port, folder, database, environment, group)

    return Contender(RAILTRACK, _version([str(program), "--version"]), start)


def mlflow(
    python: str,
    *,
    guide: bool = True,
    destination: str = "",
    variables: Mapping[str, str] | None = None,
) -> Contender:
    """Return MLflow in the guide's configuration (two gunicorn workers of four threads, no job runner) or its defaults.

    `destination`: location of proxied artifacts. Default: its folder.
    """

    def start(database: str, folder: Path, group: MemoryGroup | None = None) -> AbstractContextManager[Server]:
        port = free_port()
        with_driver = database.replace("postgresql:", "postgresql+psycopg2:")  # SQLAlchemy would look for psycopg 3
        command = [python, "-m", "mlflow", "server", "--backend-store-uri", with_driver, "--port", str(port)]
        command += ["--artifacts-destination", destination or str(folder / "artifacts")]
        environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
        environment |= variables or {}
        if guide:
            command += ["--workers", "2", "--gunicorn-opts", "--threads 4 --timeout 120"]
            environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        return running(command, port, folder, database, environment, group)

    return Contender(
        GUIDE_CONFIGURATION if guide else DEFAULT_CONFIGURATION, _version([python, "-m", "mlflow", "--version"]), start
    )


def fasttrackml(program: str) -> Contender:
    """Return FastTrackML with its defaults, without its access log."""

    def start(database: str, folder: Path, group: MemoryGroup | None = None) -> AbstractContextManager[Server]:
        port = free_port()
        command = [program, "server", "--database-uri", database, "--listen-address", f"127.0.0.1:{port}"]
        command += ["--default-artifact-root", str(folder / "artifacts"), "--log-level", "error"]
        return running(command, port, folder, database, {}, group)

    return Contender(FASTTRACKML, _version([program, "--version"]), start, schema="fasttrackml")


def _version(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    folder: Path,
    database: str,
    environment: Mapping[str, str],
    group: MemoryGroup | None,
) -> Iterator[Server]:
    """Run the command with `folder` as its home, yield the server once it responds, stop all its processes."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    # A stray MLFLOW_ or AWS_ variable of this machine would change the results.
    clean = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment, "HOME": str(folder)}
    clean.setdefault("TMPDIR", str(folder / "tmp"))
    began = time.monotonic()
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            group.command(command) if group else command,
            cwd=folder,
            env=clean,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C must reach only the benchmark, which stops the server in order
        )
    try:
        _wait_until_healthy(process, url, folder / "server.log")
        yield Server(url, database, process.pid, time.monotonic() - began)
    finally:
        _stop(process, folder)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not healthy(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.01)


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 404  # FastTrackML has no such route: it listens
    except (OSError, http.client.HTTPException):
        return False


def _stop(process: "subprocess.Popen[bytes]", home: Path) -> None:
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
    finally:  # also after an interrupt while it stops
        _end_all(home)
        process.wait()


def _end_all(home: Path) -> None:
    """Kill remaining processes: MLflow's children sometimes outlive it."""
    deadline = time.monotonic() + STOP_LIMIT_S
    while (left := at_home(home)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def at_home(home: Path) -> list[int]:
    """Return the processes whose HOME is this folder, whatever their parents."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process may exit meanwhile, and others' environments are not readable
            if f"HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
