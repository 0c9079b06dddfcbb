"""Log a run as a training program does, read it back, and print its id. Runs in the client's virtual environment."""

import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient

WEIGHTS = os.urandom(100_000)


def main(experiment: str) -> None:
    if experiment:
        mlflow.set_experiment(experiment)
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
        mlflow.log_params({"rate": 0.1, "model": "resnet"})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        file = Path(folder, "weights.bin")
        file.write_bytes(WEIGHTS)
        mlflow.log_artifact(str(file), "model")
    client, run_id = MlflowClient(), run.info.run_id
    found = client.get_run(run_id)
    assert found.data.params == {"rate": "0.1", "model": "resnet"}
    assert [point.value for point in client.get_metric_history(run_id, "loss")] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert found.info.status == "FINISHED"
    assert [entry.path for entry in client.list_artifacts(run_id, "model")] == ["model/weights.bin"]
    with tempfile.TemporaryDirectory() as folder:
        assert Path(client.download_artifacts(run_id, "model/weights.bin", folder)).read_bytes() == WEIGHTS
    print(run_id)


if __name__ == "__main__":
    main(sys.argv[1])
