"""What every training here does: connect, resume, keep checkpoints, draw figures, choose the champion."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import boto3  # noqa: F401 (see connect)
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import psutil  # noqa: F401
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from shapes import CLASSES, as_picture

CHECKPOINTS = "checkpoints"
CHAMPION = "champion"


def connect() -> None:
    """Complete the environment for MLflow's client. Call it before start_run, when everything is imported.

    With system metrics, start_run starts a thread that imports modules, too, and two threads that import at the same
    time may wait for each other forever. For the same reason this module imports boto3 and psutil.
    """
    # The services have AWS_S3_ENDPOINT_URL, the client reads MLFLOW_S3_ENDPOINT_URL.
    if endpoint := os.environ.get("AWS_S3_ENDPOINT_URL"):
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", endpoint)
    # Retries that survive an outage: 8 minutes for the server, a few for a store that files are sent to directly.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    os.environ.setdefault("AWS_RETRY_MODE", "standard")
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "36")
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "shapes")
    # By default every 10 s, which is right for a training of hours.
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "2")


def pins(*packages: str) -> list[str]:
    """Return the installed versions as `pip_requirements` of a model.

    Without them, MLflow loads the model in another process to find out, which takes longer than these trainings.
    """
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]


class LoggedSteps:
    """The metrics and steps that a run has. A resumed training must not log them a second time."""

    def __init__(self, run: Run) -> None:
        client = mlflow.MlflowClient()
        keys = [key for key in run.data.metrics if not key.startswith("system/")]
        self._steps = {(key, metric.step) for key in keys for metric in client.get_metric_history(run.info.run_id, key)}

    def new(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """Return the metrics that were not logged for this step, and take them as logged."""
        new = {key: value for key, value in metrics.items() if (key, step) not in self._steps}
        self._steps |= {(key, step) for key in new}
        return new


class Checkpoint:
    """The last checkpoint of a run: one file, which an upload replaces as a whole."""

    def __init__(self, run_id: str, name: str) -> None:
        self.run_id, self.name = run_id, name
        self._client = mlflow.MlflowClient()
        self._pending: Path | None = None

    def download(self, folder: Path) -> Path | None:
        """Return the file from which the run continues, None if it has none yet."""
        path = f"{CHECKPOINTS}/{self.name}"
        if path not in {file.path for file in self._client.list_artifacts(self.run_id, CHECKPOINTS)}:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=self.run_id, artifact_path=path, dst_path=str(folder)))

    def upload(self, path: Path) -> None:
        """Replace the checkpoint. A failure does not end the training: the next checkpoint comes soon."""
        self._pending = path
        try:
            self._client.log_artifact(self.run_id, str(path), CHECKPOINTS)
            self._pending = None
        except Exception as error:  # MLflow's, and with a direct store boto3's
            print(f"The checkpoint was not uploaded: {error}", file=sys.stderr)

    def ensure_uploaded(self) -> None:
        """Upload the last checkpoint again if that failed. Raise if it fails now, too."""
        if self._pending:
            self._client.log_artifact(self.run_id, str(self._pending), CHECKPOINTS)


def log_picture(picture: Any, key: str, step: int) -> None:
    """Log an image of a step. The run's page shows images as a grid with a slider. None of them is worth a training."""
    try:
        mlflow.log_image(picture, key=key, step=step)
    except Exception as error:
        print(f"The image was not logged: {error}", file=sys.stderr)


def log_predictions(images: Any, labels: Sequence[int], predicted: Sequence[int], step: int) -> None:
    """Log images with a frame: green if the prediction is right, red if not."""
    for number, image in enumerate(images):
        picture = np.kron(as_picture(image), np.ones((4, 4, 1), dtype=np.uint8))
        right = predicted[number] == labels[number]
        picture[:6], picture[-6:] = ((0, 160, 0) if right else (200, 0, 0),) * 2
        log_picture(picture, f"sample {number} {CLASSES[labels[number]]}", step)


def log_confusion_matrix(labels: Sequence[int], predicted: Sequence[int]) -> None:
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(counts, (np.asarray(labels), np.asarray(predicted)), 1)
    figure, axes = plt.subplots(figsize=(4, 4))
    axes.imshow(counts, cmap="Blues")
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(CLASSES)), yticks=range(len(CLASSES)))
    axes.set_xticklabels(CLASSES)
    axes.set_yticklabels(CLASSES)
    for row, column in np.ndindex(*counts.shape):
        axes.text(column, row, counts[row, column], ha="center", va="center", color="orange")
    figure.tight_layout()
    mlflow.log_figure(figure, "confusion_matrix.png")
    plt.close(figure)


def log_learning_curves(curves: Mapping[str, Sequence[float]]) -> None:
    """Log the curves as one figure. The run's page draws each metric as well."""
    figure, axes = plt.subplots(figsize=(6, 4))
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, marker="o", label=name)
    axes.set(xlabel="epoch")
    axes.legend()
    figure.tight_layout()
    mlflow.log_figure(figure, "learning_curves.png")
    plt.close(figure)


def describe(logits: Any) -> list[str]:
    """Return the class of each row with its probability."""
    rows = np.asarray(logits)
    odds = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    return [f"{CLASSES[row.argmax()]} {row.max():.2f}" for row in shares]


def promote(name: str, candidate: str, metric: str) -> None:
    """Make this version the champion unless the present one has a higher metric."""
    client = mlflow.MlflowClient()

    def score(one: str) -> float:
        run_id = client.get_model_version(name, one).run_id
        return float(client.get_run(run_id).data.metrics.get(metric, -1.0))

    try:
        champion = client.get_model_version_by_alias(name, CHAMPION).version
    except MlflowException:  # there is none
        champion = None
    if champion is None or score(candidate) >= score(champion):
        client.set_registered_model_alias(name, CHAMPION, candidate)
