"""What the UI tests look at, logged by the unmodified client 3.17.2; run by that client's interpreter.

Prints one JSON object: the ids that the tests need.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import mlflow
import numpy
import pandas
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

START = 1_760_000_000_000
STEPS = 40


def main() -> None:
    client = MlflowClient()
    vision = client.create_experiment("vision 시각", tags={"team": "영상"})
    client.set_experiment_tag(vision, "mlflow.note.content", "Finds **cats**.")
    plain = [_plain_run(client, vision, number) for number in range(8)]
    show = _showcase(client, vision)
    parent = _nested(client, vision)
    failed = client.create_run(vision, START - 60_000, run_name="diverged")
    client.log_metric(failed.info.run_id, "loss", math.nan, START, 3)
    client.set_terminated(failed.info.run_id, "FAILED", START - 51_000)
    other = client.create_experiment("audio")
    _plain_run(client, other, 0)
    print(
        json.dumps(
            {
                "vision": vision,
                "audio": other,
                "plain": plain,
                "showcase": show,
                "parent": parent,
                "failed": failed.info.run_id,
            }
        )
    )


def _plain_run(client: MlflowClient, experiment_id: str, number: int) -> str:
    """`resnet-n`: loss 1/(step+1+n), acc rising to 0.9 + n/100, two params and a tag."""
    start = START + number * 60_000
    run = client.create_run(experiment_id, start, {"mlflow.user": "민준"}, run_name=f"resnet-{number}")
    metrics = [Metric("loss", 1 / (step + 1 + number), start + step, step) for step in range(STEPS)]
    metrics += [Metric("acc", (0.9 + number / 100) * step / (STEPS - 1), start + step, step) for step in range(STEPS)]
    params = [Param("lr", str(0.1 / (number + 1))), Param("optimizer", "adam" if number % 2 else "sgd")]
    client.log_batch(run.info.run_id, metrics, params, [RunTag("stage", "production" if number else "draft")])
    client.set_terminated(run.info.run_id, "FINISHED", start + 30_000)
    return run.info.run_id


def _showcase(client: MlflowClient, experiment_id: str) -> str:
    """One run with everything that a page can preview."""
    mlflow.set_experiment(experiment_id=experiment_id)
    with mlflow.start_run(run_name="showcase", description="## Everything\nthat a run can hold") as run:
        run_id = run.info.run_id
        mlflow.log_params({"epochs": 3, "긴 이름/a.b": "값"})
        mlflow.set_tag("reviewed by", "an")
        points = [Metric("loss", math.exp(-step / 10), START + step * 1000, step) for step in range(STEPS)]
        points += [Metric("val/f1", math.nan if step == 5 else step / 10, START + step, step) for step in range(10)]
        points.append(Metric("ceiling", math.inf, START, 0))
        for name in ("cpu_utilization_percentage", "system_memory_usage_megabytes"):
            points += [Metric(f"system/{name}", 30 + tick % 7, START + tick * 10_000, tick) for tick in range(20)]
        client.log_batch(run_id, points)
        frame = pandas.DataFrame({"x": [1, 2, 3], "label": ["cat", "dog", "고양이"]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="pets"), context="training")
        _artifacts(frame)
        for step in range(3):
            mlflow.log_image(_picture(step), key="predicted mask", step=step, synchronous=True)
        questions = {"question": ["왜?", "how?"], "answer": ["because", "so"], "score": [1, 2]}
        mlflow.log_table(questions, "eval_table.json")
    return run_id


def _artifacts(frame: pandas.DataFrame) -> None:
    mlflow.log_text("first line\n둘째 줄", "notes/readme.txt")
    mlflow.log_dict({"model": {"layers": [1, 2, 3], "이름": "고양이"}}, "notes/config.json")
    mlflow.log_text("# Title\n\nSome *text*.", "notes/doc.md")
    mlflow.log_text("<h1 id='hello'>Hello HTML</h1>", "notes/page.html")
    mlflow.log_image(_picture(1), "picture 1.png")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        frame.to_csv(path, index=False)
        mlflow.log_artifact(str(path), "notes")


def _picture(step: int) -> numpy.ndarray:
    pixels = numpy.zeros((60, 90, 3), dtype=numpy.uint8)
    pixels[:, : 30 * (step + 1), step] = 220
    return pixels


def _nested(client: MlflowClient, experiment_id: str) -> str:
    mlflow.set_experiment(experiment_id=experiment_id)
    with mlflow.start_run(run_name="sweep") as parent:
        mlflow.log_metric("best", 0.5)
        mlflow.log_param("long", "x" * 3000)
        for number in range(3):
            with mlflow.start_run(run_name=f"trial-{number}", nested=True):
                mlflow.log_param("width", 2**number)
                mlflow.log_metric("loss", 0.5 + number)
    return parent.info.run_id


if __name__ == "__main__":
    main()
