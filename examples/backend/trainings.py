"""The processes of trainings: start and stop them, and close the runs of those that ended. Nothing here knows HTTP.

The run exists before its process and is closed by the exit code. So no run stays RUNNING after its process, also if
the process was killed, this backend was restarted, or the tracking server was away at that moment.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

log = logging.getLogger("uvicorn.error")

HERE = Path(__file__).parent
BACKEND_TAG, PROCESS_TAG = "backend", "backend.process"
"""Which backend started a run, and the host and id of its process: how a restarted backend finds runs to close."""
BACKEND = os.environ.get("RAILWAY_SERVICE_NAME") or socket.gethostname()
CHECK_INTERVAL_S = 1.0
ORPHANS_INTERVAL_S = 60.0
STOP_TIMEOUT_S = 10.0


class Program(NamedTuple):
    path: Path
    options: tuple[str, ...]
    """Of the options in a request, those that the program has as flags."""


PROGRAMS = {
    "digits": Program(HERE / "train.py", ("epochs", "learning_rate")),
    "timm": Program(HERE.parent / "timm" / "train.py", ("epochs",)),
    "ultralytics": Program(HERE.parent / "ultralytics" / "train.py", ("epochs",)),
    "huggingface": Program(HERE.parent / "huggingface" / "train.py", ("epochs",)),
    "lightning": Program(HERE.parent / "lightning" / "train.py", ("epochs",)),
}
"""What a request may start, by name. A request never contains a path or a command."""


class LimitReachedError(Exception):
    """As many trainings run as may run at the same time."""


class Trainings:
    """`environment`: of the trainings, without MLFLOW_RUN_ID. `limit`: how many run at the same time."""

    def __init__(self, client: MlflowClient, environment: Mapping[str, str], python: str, limit: int) -> None:
        self._client = client
        self._environment = dict(environment)
        self._python = python
        self._limit = limit
        self._lock = threading.Lock()
        self._starting = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        """Running, or ended and not closed yet, by run id."""
        self._opened_ms = 0
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="trainings", daemon=True)

    def open(self) -> None:
        self._opened_ms = int(time.time() * 1000)
        self._watcher.start()

    def close(self) -> None:
        """Stop all trainings and close their runs. The platform's grace period limits how long this may take."""
        self._stopping.set()
        self._watcher.join()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._close_ended()

    def start(self, name: str, experiment_id: str, options: Mapping[str, float]) -> str:
        """Create a run, start its process, return the run id. Raise LimitReachedError."""
        program = PROGRAMS[name]
        with self._lock:
            running = sum(1 for process in self._processes.values() if process.poll() is None)
            if running + self._starting >= self._limit:
                raise LimitReachedError
            self._starting += 1
        try:
            run_id: str = self._client.create_run(
                experiment_id, tags={"training": name, BACKEND_TAG: BACKEND, PROCESS_TAG: ""}
            ).info.run_id
            flags = [
                word
                for option in program.options
                if option in options
                for word in (f"--{option.replace('_', '-')}", str(options[option]))
            ]
            try:
                process = subprocess.Popen(
                    [self._python, str(program.path), *flags],
                    env={**self._environment, "MLFLOW_RUN_ID": run_id},
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                self._client.set_terminated(run_id, "FAILED")
                raise
            with self._lock:
                self._processes[run_id] = process
        finally:
            with self._lock:
                self._starting -= 1
        try:
            self._client.set_tag(run_id, PROCESS_TAG, f"{socket.gethostname()}/{process.pid}")
        except MlflowException as error:  # only a restarted backend needs it
            log.warning("The process of run %s is not recorded: %s", run_id, error)
        return run_id

    def stop(self, run_id: str) -> bool:
        """Ask the process of a run to end. Return whether it has one that runs."""
        process = self._processes.get(run_id)
        if process is None or process.poll() is not None:
            return False
        process.terminate()
        return True

    def _watch(self) -> None:
        rounds = int(ORPHANS_INTERVAL_S / CHECK_INTERVAL_S)
        number = 0
        while not self._stopping.wait(CHECK_INTERVAL_S):
            self._close_ended()
            if number % rounds == 0:
                self._close_orphans()
            number += 1

    def _close_ended(self) -> None:
        with self._lock:
            ended = {run_id: process for run_id, process in self._processes.items() if process.poll() is not None}
        for run_id, process in ended.items():
            try:
                self._close(run_id, process.returncode)
            except MlflowException as error:
                log.warning("Run %s is not closed yet: %s", run_id, error)  # the next round tries again
            else:
                with self._lock:
                    del self._processes[run_id]

    def _close(self, run_id: str, code: int) -> None:
        """Record the end of a process. Its exit code decides: a program that calls sys.exit() may leave FINISHED."""
        if code == 0 and self._client.get_run(run_id).info.status == "FINISHED":
            return
        self._client.set_tag(run_id, "exit_code", str(code))
        was_stopped = -code in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
        self._client.set_terminated(run_id, "FINISHED" if code == 0 else "KILLED" if was_stopped else "FAILED")

    def _close_orphans(self) -> None:
        """Close the running runs of an earlier backend whose process is gone. Its exit code is not known."""
        try:
            experiments = [one.experiment_id for one in self._client.search_experiments(max_results=100)]
            runs = self._client.search_runs(experiments, f"status = 'RUNNING' AND tags.{BACKEND_TAG} = '{BACKEND}'")
            for run in runs:
                is_earlier = run.info.start_time < self._opened_ms
                if is_earlier and not _has_process(run.info.run_id, run.data.tags):
                    log.warning("Run %s has no process: it is closed", run.info.run_id)
                    self._client.set_terminated(run.info.run_id, "KILLED")
        except MlflowException as error:
            log.warning("Dead runs are not closed yet: %s", error)


def _has_process(run_id: str, tags: Mapping[str, str]) -> bool:
    """Return whether the recorded process is on this host and has the run. Ids of processes are used again."""
    host, _, pid = tags.get(PROCESS_TAG, "").partition("/")
    if host != socket.gethostname():
        return False  # another container, which a new deployment replaced
    try:
        return f"MLFLOW_RUN_ID={run_id}".encode() in Path(f"/proc/{int(pid)}/environ").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False


def interpreter() -> str:
    """Return the Python that runs the trainings: TRAINING_PYTHON, this one otherwise."""
    return os.environ.get("TRAINING_PYTHON") or sys.executable
