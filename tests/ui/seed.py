"""Log the data of the UI tests with the unmodified client 3.17.2, by the interpreter of that client.

Prints one JSON object: the ids that the tests need. There are 60 runs: 14 of vision, 1 of audio, and 45 of tuning, two
of which trained models.
"""

from __future__ import annotations

import json
import math

import mlflow
import pandas
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from seed_files import log_files, picture
from seed_models import log_models

START = 1_760_000_000_000
STEPS = 40
ARCHITECTURES = ("resnet", "vit", "yolo")
TUNED = 43


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
    audio = client.create_experiment("audio")
    _plain_run(client, audio, 0)
    tuning = client.create_experiment("tuning")
    for number in range(TUNED):
        _tuned_run(client, tuning, number)
    ids = {"vision": vision, "audio": audio, "tuning": tuning}
    ids |= {"plain": plain, "showcase": show, "parent": parent, "failed": failed.info.run_id}
    print(json.dumps(ids | log_models(client, tuning)))


def _plain_run(client: MlflowClient, experiment_id: str, number: int) -> str:
    """Log `resnet-n`: loss 1/(step+1+n), acc rising to 0.9 + n/100, two params and a tag."""
    start = START + number * 60_000
    run = client.create_run(experiment_id, start, {"mlflow.user": "민준"}, run_name=f"resnet-{number}")
    metrics = [Metric("loss", 1 / (step + 1 + number), start + step, step) for step in range(STEPS)]
    metrics += [Metric("acc", (0.9 + number / 100) * step / (STEPS - 1), start + step, step) for step in range(STEPS)]
    params = [Param("lr", str(0.1 / (number + 1))), Param("optimizer", "adam" if number % 2 else "sgd")]
    client.log_batch(run.info.run_id, metrics, params, [RunTag("stage", "production" if number else "draft")])
    client.set_terminated(run.info.run_id, "FINISHED", start + 30_000)
    return run.info.run_id


def _showcase(client: MlflowClient, experiment_id: str) -> str:
    """Log one run with every kind of data that a page can preview."""
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
        log_files(frame)
        for step in range(3):
            mlflow.log_image(picture(step), key="predicted mask", step=step, synchronous=True)
        questions = {"question": ["왜?", "how?"], "answer": ["because", "so"], "score": [1, 2]}
        mlflow.log_table(questions, "eval_table.json")
    return run_id


def _tuned_run(client: MlflowClient, experiment_id: str, number: int) -> None:
    """Log `tuned-nn`: one of three architectures, a score number/100 after five steps, one of two datasets."""
    start = START + number * 60_000
    run = client.create_run(experiment_id, start, run_name=f"tuned-{number:02}")
    params = [Param("architecture", ARCHITECTURES[number % 3]), Param("batch", str(2 ** (number % 4)))]
    scores = [Metric("score", number / 100 * step / 4, start + step * 1000, step) for step in range(5)]
    times = [Metric("seconds", number % 7 + step, start + step * 1000, step) for step in range(5)]
    client.log_batch(run.info.run_id, scores + times, params, [RunTag("half", str(number % 2))])
    name = ("coco", "kitti")[number % 2]
    dataset = Dataset(name, f"{name}-1", "local", json.dumps({"uri": f"/data/{name}"}))
    client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "eval")])])
    client.set_terminated(run.info.run_id, "FINISHED", start + 30_000)


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
