"""Train a detector of Ultralytics, with its MLflow callback."""

import argparse
import base64
import csv
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")  # no weights, no fonts, no usage statistics
sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import mlflow
import mlflow.pyfunc
from ultralytics import YOLO, settings

import tracking
from shapes import detection

MODEL = "detector"
MAP = "metrics/mAP50B"
"""Ultralytics' metrics/mAP50(B), as its callback logs it: without the parentheses."""


def start_run() -> tuple[Any, str | None]:
    """Start the run. Return it, and the run from whose checkpoint it continues.

    A resumed training has other params. Ultralytics' callback logs them, gets an error, and logs nothing more. So the
    training gets a new run, below the first one.
    """
    first = os.environ.get("MLFLOW_RUN_ID")  # start_run removes it
    if not first or not mlflow.get_run(first).data.params:
        return mlflow.start_run(log_system_metrics=True), None
    del os.environ["MLFLOW_RUN_ID"]
    client = mlflow.MlflowClient()
    parent = client.get_run(first)
    below = f"tags.mlflow.parentRunId = '{first}'"
    newest_first = ["attributes.start_time DESC"]
    later = client.search_runs([parent.info.experiment_id], below, order_by=newest_first)
    with_checkpoint = (one for one in (*later, parent) if client.list_artifacts(one.info.run_id, tracking.CHECKPOINTS))
    previous = next((one.info.run_id for one in with_checkpoint), None)
    run = mlflow.start_run(
        run_name=f"{parent.info.run_name}-resumed",
        parent_run_id=first,
        tags={"resumed_from": previous or first},
        log_system_metrics=True,
    )
    return run, previous


def log_missing(run_id: str, trainer: Any) -> None:
    """Log what Ultralytics' callback did not: after one call that fails, it logs nothing any more."""

    def plain(metrics: dict[str, Any]) -> dict[str, float]:
        return {re.sub("[()]", "", name): float(value) for name, value in metrics.items()}

    logged = tracking.LoggedSteps(mlflow.get_run(run_id))
    with trainer.csv.open() as rows:
        for row in csv.DictReader(rows, skipinitialspace=True):
            step, _ = int(row.pop("epoch")) - 1, row.pop("time")
            if step >= trainer.start_epoch and (lost := logged.new(plain(row), step)):
                mlflow.log_metrics(lost, step=step)
    after_last = trainer.epoch + 1  # the step of the best weights
    if lost := logged.new(plain(trainer.metrics), after_last):
        mlflow.log_metrics(lost, step=after_last)
    if "results.csv" not in {file.path for file in mlflow.MlflowClient().list_artifacts(run_id)}:
        mlflow.log_artifacts(str(trainer.save_dir))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    settings.update({"mlflow": True})
    work = Path(tempfile.mkdtemp(prefix="shapes-"))
    data = detection(work / "data", train=192, val=32)
    samples = sorted((work / "data" / "images" / "val").glob("*.png"))[:4]

    tracking.connect()
    run, previous = start_run()
    with run:
        mlflow.set_tag("framework", "ultralytics")
        checkpoint = tracking.Checkpoint(run.info.run_id, "last.pt")
        resume_from = tracking.Checkpoint(previous, "last.pt").download(work) if previous else None

        def on_train_epoch_start(trainer: Any) -> None:
            """Upload the checkpoint of the epoch before: by now its metrics are logged, so a resumed run lacks none."""
            if trainer.last.exists() and trainer.epoch > trainer.start_epoch:
                checkpoint.upload(trainer.last)
                for number, result in enumerate(YOLO(trainer.last).predict(samples, conf=0.1, verbose=False)):
                    tracking.log_picture(result.plot()[..., ::-1], f"sample {number}", trainer.epoch - 1)

        model = YOLO(resume_from or "yolo11n.yaml")
        model.add_callback("on_train_epoch_start", on_train_epoch_start)
        model.train(
            data=str(data), epochs=options.epochs, imgsz=64, batch=16, optimizer="AdamW", lr0=0.003, warmup_epochs=1,
            mosaic=0, device="cpu", workers=0, seed=0, pretrained=False, resume=bool(resume_from),
            project=str(work), name="train", save_dir=str(work / "train"),
        )  # fmt: skip
        checkpoint.ensure_uploaded()
        log_missing(run.info.run_id, model.trainer)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("detector.py")),
            artifacts={"weights": str(model.trainer.best)},
            registered_model_name=MODEL,
            pip_requirements=tracking.pins("torch", "torchvision", "ultralytics", "mlflow"),
        )
        tracking.promote(MODEL, info.registered_model_version, MAP)

    champion = mlflow.pyfunc.load_model(f"models:/{MODEL}@{tracking.CHAMPION}")
    (found,) = YOLO(model.trainer.best).predict(samples[0], imgsz=64, conf=0.1, verbose=False)
    print("The model predicts   ", [found.names[int(label)] for label in found.boxes.cls])
    (boxes,) = champion.predict([base64.b64encode(samples[0].read_bytes()).decode()])
    print("The champion predicts", [box["class"] for box in boxes])


if __name__ == "__main__":
    main()
