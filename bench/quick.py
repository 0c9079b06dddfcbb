"""A first comparison: start, memory and logging of Railtrack, and of MLflow with 2 workers of 4 threads.

    python -m bench.quick [--mlflow PYTHON]     PYTHON: an interpreter that has mlflow 3.17.2 and psycopg2
                                                (`make bench` gives it one)

Both on one PostgreSQL that makes its commits durable. Prints a table; figures of a busy machine are worth little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer, postgres_cluster
from tests.servers.railtrack import RailtrackServer

from bench.mlflow_server import mlflow_server
from bench.processes import pss_mb

CONNECTIONS = 16
SECONDS = 10


@dataclass
class Figures:
    start_s: float
    idle_mb: float
    log_metric: float
    log_batch: float
    after_mb: float
    failed: int


def measure(url: str, pss_mb: Callable[[], float], start_s: float) -> Figures:
    """Load the server at `url` with single metrics, then with batches of 100."""
    time.sleep(2)
    idle = pss_mb()
    run_id = _new_run(url)
    metric, metric_failed = _load(url, "log-metric", run_id)
    batch, batch_failed = _load(url, "log-batch", run_id)
    return Figures(start_s, idle, metric, batch, pss_mb(), metric_failed + batch_failed)


def _new_run(url: str) -> str:
    body = json.dumps({"experiment_id": "0", "run_name": "bench"}).encode()
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/runs/create", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        run_id: str = json.load(answer)["run"]["info"]["run_id"]
    return run_id


def _load(url: str, kind: str, run_id: str) -> tuple[float, int]:
    """Requests a second that were answered 2xx, and how many were not."""
    command = [sys.executable, "-m", "bench.load", url, str(CONNECTIONS), str(SECONDS), kind, run_id]
    counts = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=SECONDS + 120).stdout)
    return counts["ok"] / counts["seconds"], counts["failed"]


def railtrack(postgres: PostgresServer, folder: Path) -> Figures:
    """The second start is timed: the first one creates the tables."""
    with scratch_database("postgresql", folder, postgres) as database:
        server = RailtrackServer(folder, database, {})
        server.start()
        server.stop()
        server.start()
        try:
            return measure(server.url, server.pss_mb, server.started_in)
        finally:
            server.stop()


def mlflow(postgres: PostgresServer, folder: Path, python: str) -> Figures:
    """Here too the second start is timed."""
    with scratch_database("postgresql", folder, postgres) as database:
        with_driver = database.replace("postgresql:", "postgresql+psycopg2:")  # SQLAlchemy would look for psycopg 3
        with mlflow_server(python, with_driver, folder):
            pass
        with mlflow_server(python, with_driver, folder) as server:
            return measure(server.url, lambda: pss_mb(server.pids()), server.started_in)


def table(rows: dict[str, Figures]) -> str:
    lines = [
        "| server | start | idle | log-metric | log-batch of 100 | after the loads | failed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {row.start_s:.1f} s | {row.idle_mb:.0f} MB | {row.log_metric:.0f}/s | {row.log_batch:.0f}/s "
        f"| {row.after_mb:.0f} MB | {row.failed} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", metavar="PYTHON", help="also measure the MLflow of this interpreter")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(postgres_cluster(fsync=True))
        rows = {"Railtrack": railtrack(postgres, folder)}
        if options.mlflow:
            rows["MLflow 3.17.2"] = mlflow(postgres, folder, str(Path(options.mlflow).absolute()))
    print(table(rows))


if __name__ == "__main__":
    main()
