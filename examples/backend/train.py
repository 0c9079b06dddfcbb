"""Train a small detector of digits with scikit-learn, on CPU and without a download: the backend starts it.

Alone: python train.py --epochs 30, with MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN and, for an s3:// root, the keys of
the bucket in the environment.
"""

import argparse
import os
from importlib.metadata import version

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

MODEL = os.environ.get("MODEL_NAME", "detector")
CHAMPION = "champion"
METRIC = "val_accuracy"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=0.0003)
    options = parser.parse_args()
    # The service has AWS_S3_ENDPOINT_URL, MLflow's client reads MLFLOW_S3_ENDPOINT_URL.
    if endpoint := os.environ.get("AWS_S3_ENDPOINT_URL"):
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", endpoint)
    os.environ.setdefault("AWS_RETRY_MODE", "standard")
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "36")

    images, labels = load_digits(return_X_y=True)
    train_images, val_images, train_labels, val_labels = train_test_split(
        images, labels, test_size=0.25, random_state=0
    )
    classes = np.unique(labels)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=options.learning_rate, random_state=0)

    if "MLFLOW_RUN_ID" not in os.environ:
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", MODEL))
    with mlflow.start_run():
        mlflow.log_params({"epochs": options.epochs, "learning_rate": options.learning_rate})
        for epoch in range(options.epochs):
            model.partial_fit(train_images, train_labels, classes=classes)
            metrics = {
                "train_loss": log_loss(train_labels, model.predict_proba(train_images)),
                "val_loss": log_loss(val_labels, model.predict_proba(val_images)),
                METRIC: model.score(val_images, val_labels),
            }
            mlflow.log_metrics(metrics, step=epoch)
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            # Without these two, MLflow finds them out, which takes longer than this training.
            signature=mlflow.models.infer_signature(val_images, model.predict(val_images)),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn")],
        )
        promote(str(logged.registered_model_version))


def promote(candidate: str) -> None:
    """Make this version the champion unless the present one is better."""
    client = mlflow.MlflowClient()

    def score(number: str) -> float:
        run_id = str(client.get_model_version(MODEL, number).run_id)
        return float(client.get_run(run_id).data.metrics.get(METRIC, -1.0))

    try:
        champion = client.get_model_version_by_alias(MODEL, CHAMPION).version
    except MlflowException:  # there is none yet
        champion = None
    if champion is None or score(candidate) >= score(champion):
        client.set_registered_model_alias(MODEL, CHAMPION, candidate)


if __name__ == "__main__":
    main()
