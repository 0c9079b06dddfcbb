"""Programs of other packages against a server: an Optuna study, and a copy by mlflow-export-import.

Run with an interpreter that has both. Print a report as JSON, which test_frameworks.py checks.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import optuna
from optuna.integration.mlflow import MLflowCallback


def main() -> None:
    folder = Path(sys.argv[1])
    study = optuna.create_study(study_name="parabola", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=3, callbacks=[MLflowCallback(metric_name="loss")])
    log_parent_and_child(folder)
    run_program("export-experiment", "--experiment", "original", "--output-dir", str(folder / "exported"))
    run_program("import-experiment", "--experiment-name", "copied", "--input-dir", str(folder / "exported"))
    trials = [{"value": one.value, "x": one.params["x"]} for one in study.trials]
    print(json.dumps({"trials": trials, **{name: shown(name) for name in ("parabola", "original", "copied")}}))


def objective(sampled: Any) -> float:
    x: float = sampled.suggest_float("x", -1, 1)
    return x**2


def log_parent_and_child(folder: Path) -> None:
    mlflow.set_experiment("original")
    (folder / "notes.txt").write_text("notes")
    with mlflow.start_run(run_name="parent"):
        mlflow.log_param("lr", 0.1)
        mlflow.set_tag("team", "vision")
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_artifact(str(folder / "notes.txt"), "sub")
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("loss", float("nan"))


def run_program(name: str, *arguments: str) -> None:
    done = subprocess.run([str(Path(sys.executable).with_name(name)), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def shown(experiment: str) -> list[dict[str, Any]]:
    """Return what is logged in the runs of an experiment, by the names of the runs."""
    client = mlflow.MlflowClient()
    runs = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return [
        {
            "name": run.info.run_name,
            "status": run.info.status,
            "params": run.data.params,
            "team": run.data.tags.get("team"),
            "is_child": "mlflow.parentRunId" in run.data.tags,
            "history": {
                key: [[point.step, repr(point.value)] for point in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            "files": [file.path for file in client.list_artifacts(run.info.run_id, "sub")],
        }
        for run in sorted(runs, key=lambda run: str(run.info.run_name))
    ]


if __name__ == "__main__":
    main()
