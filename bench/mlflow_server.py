"""MLflow's own server in the shape of the deployment guide, 2 gunicorn workers of 4 threads, to measure beside ours."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.processes import end_with_the_tests, free_port

from bench.processes import tree

START_LIMIT_S = 180


class MlflowServer(NamedTuple):
    url: str
    pid: int
    started_in: float
    """Seconds to the first healthy answer."""

    def pids(self) -> list[int]:
        return tree(self.pid)


@contextmanager
def mlflow_server(
    python: str, database: str, folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """`python`: an interpreter that has mlflow; `options` are further ones of `mlflow server`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port), *options]
    command += ["--workers", "2", "--gunicorn-opts", "--threads 4 --timeout 120"]
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    variables["PATH"] = f"{Path(python).parent}:{variables['PATH']}"
    began = time.monotonic()
    with (folder / "mlflow.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**variables, **(environment or {})},
            stdout=log,
            stderr=log,
            preexec_fn=end_with_the_tests,
        )
    try:
        while not _healthy(url):
            if process.poll() is not None or time.monotonic() - began > START_LIMIT_S:
                raise RuntimeError((folder / "mlflow.log").read_text())
            time.sleep(0.05)
        yield MlflowServer(url, process.pid, time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(60)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
