"""Train a detector of Ultralytics, with its MLflow callback."""

import argparse
import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")  # no weights, no fonts, no usage statistics
sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))

import mlflow
import mlflow.pyfunc
import tracking
from shapes import detection
from ultralytics import YOLO, settings

MODEL = "detector"
MAP = "metrics/mAP50B"
"""Ultralytics' metrics/mAP50(B), as its callback logs it: without the parentheses."""


def start_run() -> tuple[Any, str | None]:
    """Start the run. Return it, and the run from whose checkpoint it continues.

    A resumed training has other params. Ultralytics' callback logs them, gets an error, and logs nothing more. So it gets
    a new run, below the first one.
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
                    mlflow.log_image(result.plot()[..., ::-1], key=f"sample {number}", step=trainer.epoch - 1)

        model = YOLO(resume_from or "yolo11n.yaml")
        model.add_callback("on_train_epoch_start", on_train_epoch_start)
        model.train(
            data=str(data), epochs=options.epochs, imgsz=64, batch=16, device="cpu", workers=0, seed=0, pretrained=False,
            optimizer="AdamW", lr0=0.003, warmup_epochs=1, mosaic=0, project=str(work), name="train",
            resume=bool(resume_from), save_dir=str(work / "train"),
        )  # fmt: skip
        checkpoint.ensure_uploaded()
        weights = model.trainer.best
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("detector.py")),
            artifacts={"weights": str(weights)},
            registered_model_name=MODEL,
            pip_requirements=tracking.pins("torch", "torchvision", "ultralytics", "mlflow"),
        )
        tracking.promote(MODEL, info.registered_model_version, MAP)

    champion = mlflow.pyfunc.load_model(f"models:/{MODEL}@{tracking.CHAMPION}")
    print("The champion's boxes:", champion.predict([base64.b64encode(samples[0].read_bytes()).decode()]))


if __name__ == "__main__":
    main()
