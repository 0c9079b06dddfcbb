"""Client program of the outage tests: calls six operations in a loop, one thread each, until standard input closes.

Usage: program.py RECORD FOLDER, run by a client's own interpreter, which has neither pytest nor Railtrack. Appends one
JSON object per call to RECORD; the first line has the client's version and retry policies.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

PAUSE_S = 0.25
METRICS_PER_BATCH = 20


class Recorder:
    """Append to the record, from any thread."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()


class Operations:
    """The operations. Each method makes call number `n` and returns what the server acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._client = MlflowClient()
        self._folder = folder
        self._model = f"model-{mlflow.__version__}"
        self._run = self._client.create_run("0", run_name=f"main-{mlflow.__version__}")
        self._run_id = self._run.info.run_id
        self._client.create_registered_model(self._model)

    def log_metric(self, n: int) -> list[Any]:
        self._client.log_metric(self._run_id, "single", n / 8, step=n)
        return [self._run_id, n]

    def log_batch(self, n: int) -> list[Any]:
        steps = range(n * METRICS_PER_BATCH, (n + 1) * METRICS_PER_BATCH)
        metrics = [Metric("batch", step / 8, 1_700_000_000_000 + step, step) for step in steps]
        self._client.log_batch(self._run_id, metrics, [Param(f"param {n}", str(n))], [RunTag(f"batch {n}", str(n))])
        return [self._run_id, n, steps.start, steps.stop]

    def set_tag(self, n: int) -> list[Any]:
        self._client.set_tag(self._run_id, f"tag {n}", str(n))
        return [self._run_id, n]

    def create_run(self, n: int) -> list[Any]:
        run = self._client.create_run("0", run_name=f"{mlflow.__version__} {n}")
        return [run.info.run_id]

    def log_artifact(self, n: int) -> list[Any]:
        file = self._folder / f"{n}.txt"
        content = f"{mlflow.__version__} {n}\n" * 1000
        file.write_text(content)
        self._client.log_artifact(self._run_id, str(file), "files")
        file.unlink()
        return [self._run_id, f"files/{file.name}", content]

    def create_model_version(self, n: int) -> list[Any]:
        source = f"{self._run.info.artifact_uri}/files"
        version = self._client.create_model_version(self._model, source, self._run_id, tags={"number": str(n)})
        return [self._model, int(version.version), n]


def repeat(operation: Callable[[int], list[Any]], recorder: Recorder, stopped: threading.Event) -> None:
    """Call the operation until `stopped` is set. All processes of a machine share the monotonic clock."""
    n = 0
    while not stopped.is_set():
        n += 1
        began = time.monotonic()
        acknowledged, error = None, None
        try:
            acknowledged = operation(n)
        except Exception as failure:  # a training sees whatever a client raises
            error = f"{type(failure).__name__}: {failure}"[:2000]
        recorder.write(
            operation=operation.__name__,
            began=began,
            ended=time.monotonic(),
            acknowledged=acknowledged,
            error=error,
        )
        stopped.wait(PAUSE_S)


def retry_policies() -> list[dict[str, Any]]:
    """Read the retry policies from the HTTP sessions that the client has opened."""
    policies: list[dict[str, Any]] = []
    for adapter in [one for one in gc.get_objects() if isinstance(one, HTTPAdapter)]:
        retry = adapter.max_retries
        if retry.total:
            policy = {"retried_statuses": sorted(retry.status_forcelist), "delays_s": delays(retry)}
            if policy not in policies:
                policies.append(policy)
    return policies


def delays(retry: Any) -> list[float]:
    """Return the delays between the attempts of a call that always fails, without their jitter."""
    retry = retry.new(backoff_jitter=0.0)
    seconds: list[float] = []
    while True:
        try:
            retry = retry.increment("POST", "/", error=NewConnectionError(None, "refused"))  # type: ignore[arg-type]
        except MaxRetryError:
            return seconds
        seconds.append(retry.get_backoff_time())


def main() -> None:
    recorder = Recorder(sys.argv[1])
    operations = Operations(Path(sys.argv[2]))
    calls = [
        operations.log_metric,
        operations.log_batch,
        operations.set_tag,
        operations.create_run,
        operations.log_artifact,
        operations.create_model_version,
    ]
    for call in calls:
        call(0)  # opens the sessions
    recorder.write(version=mlflow.__version__, policies=retry_policies())
    stopped = threading.Event()
    threads = [threading.Thread(target=repeat, args=(call, recorder, stopped)) for call in calls]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopped.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
