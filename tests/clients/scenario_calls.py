"""Time calls of an unmodified client, in its virtual environment.

    python scenario_calls.py TRACKING_URI S3_LOCATION CALLS MB

Logs CALLS metrics one by one, a tenth as many batches, and a file of MB megabytes: directly to S3_LOCATION, and through
the server. Prints one line of JSON: the seconds of each call, by kind.
"""

import json
import os
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

POINTS = 100
"""Metrics of a batch."""


def main(uri: str, location: str, calls: int, megabytes: int) -> dict[str, list[float]]:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    seconds: dict[str, list[float]] = defaultdict(list)

    def timed(kind: str, call: Callable[[], object]) -> None:
        began = time.perf_counter()
        call()
        seconds[kind].append(time.perf_counter() - began)

    roots = {"direct": location, "proxied": "mlflow-artifacts:/"}
    runs = {}
    for path, root in roots.items():
        name = f"{path}-{uuid.uuid4().hex[:8]}"
        experiment = client.create_experiment(name, artifact_location=f"{root.rstrip('/')}/{name}")
        runs[path] = client.create_run(experiment).info.run_id
    run_id = runs["proxied"]
    client.log_metric(run_id, "first", 0.0)  # connects
    for step in range(calls):
        timed("log_metric", lambda step=step: client.log_metric(run_id, "loss", 1 / (step + 1), step=step))
    for number in range(calls // 10):
        now = int(time.time() * 1000)
        points = [Metric(f"key-{key}", 0.5, now, number) for key in range(POINTS)]
        timed("log_batch", lambda points=points: client.log_batch(run_id, metrics=points))
    if hasattr(mlflow, "flush_async_logging"):
        for step in range(calls):
            timed("async", lambda step=step: client.log_metric(run_id, "queued", 0.5, step=step, synchronous=False))
        timed("flush", mlflow.flush_async_logging)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.bin")
        block = os.urandom(2**20)
        with file.open("wb") as stream:
            for _ in range(megabytes):
                stream.write(block)
        for path, run in runs.items():
            client.log_text(run, "first", "first.txt")
            timed(f"{path} up", lambda run=run: client.log_artifact(run, str(file)))
            timed(f"{path} down", lambda run=run: client.download_artifacts(run, file.name, folder + os.sep))
    return seconds


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
