"""Run a long mixed load on the container image and on MLflow, each in a memory cgroup of 512 MB without swap.

    make soak            ten minutes of load, and two on MLflow; writes docs/soak.md

PostgreSQL, the S3 store and the 16 clients are outside the cgroup.
"""

import argparse
import asyncio
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.servers.container import Container, ContainerOptions
from tests.servers.databases import scratch_database
from tests.servers.image import ROOT, built_image
from tests.servers.memory_group import MemoryGroup, memory_group
from tests.servers.postgres import PostgresServer, postgres_cluster
from tests.servers.s3 import S3Server, fast_s3_server

from bench.artifacts import machine
from bench.loads import Request, get_history, new_runs, post, run_page, runs_table
from bench.processes import pss_mb, tree
from bench.report import table
from bench.seed import LARGE, seed_some
from bench.servers import mlflow

RECORD = ROOT / "docs" / "soak.md"
BUCKET = "soak"
LIMIT_MB = 512
ARTIFACT_MB = 700
RUNS = 3000
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
RESPONSE_LIMIT_S = 120
MLFLOW_LIMIT_S = 120
"""Two minutes suffice to show how often the kernel kills MLflow."""


@dataclass
class Soak:
    """The measurements. `responses`: (kind, outcome) -> count; `memory`: (second, PSS MB, cgroup MB)."""

    responses: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest_s: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: float = 0.0
    killed: int = 0
    cgroup_peak_mb: float = 0.0
    started: str = ""

    def note(self, kind: str, outcome: str, seconds: float) -> None:
        self.responses[kind, outcome] += 1
        self.slowest_s[kind] = max(self.slowest_s.get(kind, 0.0), seconds)


class Client:
    """One keep-alive connection, which is reopened when it is lost."""

    def __init__(self, url: str, soak: Soak) -> None:
        self._address = urlsplit(url).netloc
        self._soak = soak
        self._connection = http.client.HTTPConnection(self._address, timeout=RESPONSE_LIMIT_S)

    def send(self, kind: str, request: Request) -> bytes:
        """Return the body of the response, empty if the request failed."""
        began = time.monotonic()
        body = b""
        try:
            headers = {"Content-Type": "application/json"}
            self._connection.request(request.method, request.path, request.body.encode() or None, headers)
            response = self._connection.getresponse()
            body = response.read()
            outcome = "ok" if response.status == 200 else str(response.status)
        except (OSError, http.client.HTTPException):
            outcome = "lost"
            self._connection.close()
            self._connection = http.client.HTTPConnection(self._address, timeout=RESPONSE_LIMIT_S)
            time.sleep(0.1)
        self._soak.note(kind, outcome, time.monotonic() - began)
        return body if outcome == "ok" else b""


Role = Callable[[Client, int, str], None]
"""Send one turn of a connection, given a growing number and the connection's run."""


def log_metrics(client: Client, number: int, run: str) -> None:
    point = {"key": "loss", "value": number / 7, "timestamp": number, "step": number}
    client.send("log-metric", post("runs/log-metric", {"run_id": run, **point}))


def log_batches(client: Client, number: int, run: str) -> None:
    metrics = [{"key": f"metric_{at}", "value": at / 7, "timestamp": number, "step": number} for at in range(100)]
    client.send("log-batch of 100", post("runs/log-batch", {"run_id": run, "metrics": metrics}))


def search_all(client: Client, _number: int, _run: str) -> None:
    """Search all runs in pages of 1,000."""
    page: dict[str, object] = {"experiment_ids": [str(LARGE)], "max_results": 1000}
    while True:
        body = client.send("search, page of 1,000", post("runs/search", page))
        token = json.loads(body).get("next_page_token") if body else None
        if not token:
            return
        page["page_token"] = token


def read_history(client: Client, _number: int, _run: str) -> None:
    client.send("get-history, 20,000 points", get_history("")[0])


def open_pages(client: Client, number: int, _run: str) -> None:
    for request in (run_page if number % 2 else runs_table)(""):
        client.send("web page's requests", request)


ROLES: tuple[Role, ...] = (*[log_metrics] * 5, *[log_batches] * 4, *[search_all] * 2, read_history, *[open_pages] * 2)
"""Sixteen connections, together with the two that transfer artifacts."""


def load(soak: Soak, url: str, seconds: float) -> None:
    """Run all roles concurrently for `seconds`."""
    until = time.monotonic() + seconds
    runs = new_runs(url, len(ROLES))

    def play(role: Role, run: str) -> None:
        client = Client(url, soak)
        for number in count():
            if time.monotonic() > until:
                return
            role(client, number, run)

    threads = [threading.Thread(target=play, args=pair, daemon=True) for pair in zip(ROLES, runs, strict=True)]
    threads += [threading.Thread(target=_artifacts, args=(soak, url, at, until), daemon=True) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _artifacts(soak: Soak, url: str, number: int, until: float) -> None:
    """Upload and download one file of 700 MB in turn."""
    while time.monotonic() < until:
        for method in ("PUT", "GET"):
            began = time.monotonic()
            command = [sys.executable, "-m", "bench.transfer", method, "1", str(ARTIFACT_MB)]
            done = subprocess.run(
                [*command, f"{url}{PROXY}/large-{number}.bin"], capture_output=True, text=True, check=False, cwd=ROOT
            )
            failed = done.returncode != 0 or json.loads(done.stdout)["failed"]
            kind = f"{ARTIFACT_MB} MB {'up' if method == 'PUT' else 'down'}"
            soak.note(kind, "failed" if failed else "ok", time.monotonic() - began)


@contextmanager
def watched(soak: Soak, pids: Callable[[], list[int]], group: MemoryGroup) -> Iterator[None]:
    """Sample memory every second, and read the group's counters at the end."""
    over = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        soak.memory.append((time.monotonic() - began, pss_mb(pids()), group.used_mb))

    def watch() -> None:
        while not over.wait(1):
            sample()

    sample()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        soak.seconds = time.monotonic() - began
        soak.killed = group.oom_kills
        soak.cgroup_peak_mb = group.peak_mb


def railtrack(postgres: PostgresServer, s3: S3Server, folder: Path, seconds: float) -> Soak:
    """Load the image as the guide runs it, but with artifacts through the server."""
    soak = Soak()
    with ExitStack() as stack:
        image = stack.enter_context(built_image(ROOT, {}))
        database = stack.enter_context(scratch_database("postgresql", folder, postgres))
        group = _group(stack)
        variables = {
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/railtrack",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_THREADS": "4",
            "RAILTRACK_AUTH": "off",
            **s3.environment,
        }
        server = Container(image, folder / "railtrack", variables, ContainerOptions(cgroup=group.path))
        (folder / "railtrack").mkdir()
        server.start()
        stack.callback(server.stop)
        soak.started = f"healthy after {server.started_in:.1f} s"
        asyncio.run(seed_some(database, RUNS))
        with watched(soak, lambda: tree(server.pid), group):
            load(soak, server.url, seconds)
    return soak


def mlflow_beside(postgres: PostgresServer, s3: S3Server, folder: Path, python: str, seconds: float) -> Soak:
    """MLflow in the guide's options. Its tables and data are made outside the cgroup, before."""
    soak = Soak()
    variables = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url}
    options: dict[str, Any] = {"destination": f"s3://{BUCKET}/mlflow", "variables": variables}
    with ExitStack() as stack:
        database = stack.enter_context(scratch_database("postgresql", folder, postgres))
        with mlflow(python, **options).start(database, folder / "mlflow"):
            asyncio.run(seed_some(database, RUNS))
        group = _group(stack)
        try:
            server = stack.enter_context(mlflow(python, **options).start(database, folder / "mlflow", group))
        except RuntimeError:
            soak.started = "never healthy: exited, or not healthy after 180 s"
            soak.killed, soak.cgroup_peak_mb = group.oom_kills, group.peak_mb
            return soak
        soak.started = f"healthy after {server.start_s:.1f} s"
        with watched(soak, server.pids, group):
            load(soak, server.url, seconds)
    return soak


def _group(stack: ExitStack) -> MemoryGroup:
    group = stack.enter_context(memory_group(LIMIT_MB))
    if group is None:
        raise SystemExit("This user cannot create a memory cgroup here. Run it as root on Linux.")
    return group


def report(where: str, found: dict[str, Soak]) -> str:
    parts = [
        "<!-- Written by `make soak`. -->\n# Ten minutes in 512 MB\n\n"
        f"{where} Only the server's processes are in a memory cgroup of {LIMIT_MB} MB without swap. Its use includes "
        "page cache and socket buffers. Sixteen concurrent connections: single metrics, batches of 100, searches over "
        f"{RUNS:,} runs in pages of 1,000, a history of 20,000 points, artifacts of {ARTIFACT_MB} MB up and down "
        "through the server, and the requests of the web interface's pages.",
        _memory(found),
    ]
    parts += [f"## {name}\n\n{_responses(soak)}" for name, soak in found.items() if soak.responses]
    return "\n\n".join(parts) + "\n"


def _memory(found: dict[str, Soak]) -> str:
    rows = []
    for name, soak in found.items():
        pss = [one for _, one, _ in soak.memory] or [0.0]
        rows.append(
            [
                name,
                soak.started,
                f"{soak.seconds / 60:.1f} min",
                f"{pss[0]:.0f} MB",
                f"{max(pss):.0f} MB",
                f"{pss[-1]:.0f} MB",
                f"{soak.cgroup_peak_mb:.0f} MB",
                str(soak.killed),
            ]
        )
    heads = ["server", "start", "load", "idle PSS", "peak PSS", "final PSS", "cgroup peak", "killed"]
    return table(heads, rows)


def _responses(soak: Soak) -> str:
    rows = []
    for kind in sorted({kind for kind, _ in soak.responses}):
        outcomes = {outcome: number for (one, outcome), number in soak.responses.items() if one == kind}
        ok = outcomes.pop("ok", 0)
        failed = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "none"
        rows.append([kind, f"{ok:,}", f"{ok / soak.seconds:.1f}/s", failed, f"{soak.slowest_s[kind]:.1f} s"])
    return table(["request", "succeeded", "rate", "failed", "slowest"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", metavar="PYTHON", help="also the MLflow of this interpreter")
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    where = machine()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="railtrack-soak-")))
        postgres = stack.enter_context(postgres_cluster(fsync=True))
        s3 = stack.enter_context(fast_s3_server())
        s3.new_bucket(BUCKET)
        found = {"Railtrack's image": railtrack(postgres, s3, folder, options.minutes * 60)}
        if options.mlflow:
            python = str(Path(options.mlflow).absolute())
            limit = min(MLFLOW_LIMIT_S, options.minutes * 60)
            found["MLflow 3.17.2, 2 workers of 4 threads"] = mlflow_beside(postgres, s3, folder, python, limit)
    RECORD.write_text(report(where, found))
    print(RECORD.read_text())


if __name__ == "__main__":
    main()
