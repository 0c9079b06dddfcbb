"""`railtrack tail` beside a client that logs."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.servers.processes import free_port
from tests.servers.railtrack import RailtrackServer, command, railtrack_server


def call(server: RailtrackServer, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@contextmanager
def tail(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = [str(Path(sys.executable).with_name("railtrack")), "tail", *arguments, "--interval", "0.5"]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with subprocess.Popen(
        program, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code"), [("FINISHED", 0), ("FAILED", 1)])
def test_metrics_are_printed_as_they_come_until_the_run_ends_and_across_a_restart(
    tmp_path: Path, status: str, code: int
) -> None:
    with railtrack_server(tmp_path / "server", workers=1) as server:
        run_id = call(server, "runs/create", {"experiment_id": "0", "run_name": "a run"})["run"]["info"]["run_id"]
        with tail(tmp_path, run_id, "--url", server.url, "--metrics", "loss,val/*") as process:
            assert line(process) == "a run, RUNNING"
            for step, key, value in [(1, "loss", 0.5), (2, "loss", 0.25), (2, "hidden", 1), (3, "val/map", "NaN")]:
                metric = {"key": key, "value": value, "step": step, "timestamp": step}
                call(server, "runs/log-metric", {"run_id": run_id, **metric})
                if key != "hidden":
                    assert line(process) == f"step {step}: {key} {value}"
            server.stop()
            server.start()
            call(
                server, "runs/log-metric", {"run_id": run_id, "key": "loss", "value": 0.125, "step": 4, "timestamp": 4}
            )
            assert line(process) == "step 4: loss 0.125"
            call(server, "runs/update", {"run_id": run_id, "status": status})
            assert line(process) == status
            assert process.wait(60) == code


def test_a_run_or_server_that_is_not_there_is_reported_in_one_line(tmp_path: Path) -> None:
    done = command(tmp_path, "tail", "0" * 32, "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(": Connection refused\n")
    with railtrack_server(tmp_path / "server", workers=1) as server:
        done = command(tmp_path, "tail", "0" * 32, MLFLOW_TRACKING_URI=server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: runs/get returned 404 Run with id={'0' * 32} not found\n"
