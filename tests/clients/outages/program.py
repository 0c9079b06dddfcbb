"""The client's side of an outage test: one thread per operation, calling again and again, until stdin is closed.

Run by a client's own interpreter (which has neither pytest nor Railtrack) as `program.py RECORD FOLDER`, with default
settings. Appends a JSON object per call to RECORD; the first line describes the client and its retry policies.
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
BATCH_METRICS = 20


class Recorder:
    """Appends to the record, from any thread."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 (open as long as the process)
        self._lock = threading.Lock()

    def write(self, **entry: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()


class Operations:
    """What a training does. Each method makes call number `n` and returns what the server acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._client = MlflowClient()
        self._folder = folder
        self._model = f"model-{mlflow.__version__}"
        self._run = self._client.create_run("0", run_name=f"main-{mlflow.__version__}")
        self._run_id = self._run.info.run_id
        self._client.create_registered_model(self._model)

    def log_metric(self, n: int) -> list[Any]:
        self._client.log_metric(self._run_id, "single", n / 8, step=n)
        return [self._run_id, "single", n, n / 8]

    def log_batch(self, n: int) -> list[Any]:
        steps = range(n * BATCH_METRICS, (n + 1) * BATCH_METRICS)
        metrics = [Metric("batch", step / 8, 1_700_000_000_000 + step, step) for step in steps]
        self._client.log_batch(self._run_id, metrics, [Param(f"param {n}", str(n))], [RunTag(f"batch {n}", str(n))])
        return [self._run_id, n, steps.start, steps.stop]

    def set_tag(self, n: int) -> list[Any]:
        self._client.set_tag(self._run_id, f"tag {n}", str(n))
        return [self._run_id, f"tag {n}", str(n)]

    def create_run(self, n: int) -> list[Any]:
        run = self._client.create_run("0", run_name=f"{mlflow.__version__} {n}")
        return [run.info.run_id]

    def log_artifact(self, n: int) -> list[Any]:
        file = self._folder / f"{n}.txt"
        file.write_text(f"{mlflow.__version__} {n}\n" * 1000)
        self._client.log_artifact(self._run_id, str(file), "files")
        file.unlink()
        return [self._run_id, f"files/{file.name}", f"{mlflow.__version__} {n}\n" * 1000]

    def register(self, n: int) -> list[Any]:
        source = f"{self._run.info.artifact_uri}/files"
        version = self._client.create_model_version(self._model, source, self._run_id, tags={"number": str(n)})
        return [self._model, int(version.version), n]


def repeat(operation: Callable[[int], list[Any]], recorder: Recorder, ended: threading.Event) -> None:
    """Call until `ended` is set. The clock is the system's monotonic one, which all processes share."""
    n = 0
    while not ended.is_set():
        n += 1
        began = time.monotonic()
        acknowledged, error = None, None
        try:
            acknowledged = operation(n)
        except Exception as failure:  # whatever a client raises, training code gets to see it
            error = f"{type(failure).__name__}: {failure}"[:2000]
        recorder.write(
            operation=operation.__name__,
            began=began,
            ended=time.monotonic(),
            acknowledged=acknowledged,
            error=error,
        )
        ended.wait(PAUSE_S)


def retry_policies() -> list[dict[str, Any]]:
    """What the HTTP sessions that this client has made do with failures: statuses, read errors, and the pauses."""
    found: list[dict[str, Any]] = []
    for adapter in [one for one in gc.get_objects() if isinstance(one, HTTPAdapter)]:
        retry = adapter.max_retries
        if not retry.total:
            continue
        policy = {
            "statuses": sorted(retry.status_forcelist),
            "read_errors": retry.read is not False,
            "pauses_s": pauses(retry),
        }
        if policy not in found:
            found.append(policy)
    return found


def pauses(retry: Any) -> list[float]:
    """The seconds between the attempts of a call that is never answered, without their random part."""
    retry = retry.new(backoff_jitter=0.0)
    found: list[float] = []
    while True:
        try:
            retry = retry.increment("POST", "/", error=NewConnectionError(None, "refused"))  # type: ignore[arg-type]
        except MaxRetryError:
            return found
        found.append(retry.get_backoff_time())


def main() -> None:
    recorder = Recorder(sys.argv[1])
    operations = Operations(Path(sys.argv[2]))
    calls = [
        operations.log_metric,
        operations.log_batch,
        operations.set_tag,
        operations.create_run,
        operations.log_artifact,
        operations.register,
    ]
    # Each once, so that all sessions exist and their policies can be read.
    for call in calls:
        call(0)
    recorder.write(version=mlflow.__version__, policies=retry_policies())
    ended = threading.Event()
    threads = [threading.Thread(target=repeat, args=(call, recorder, ended)) for call in calls]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
