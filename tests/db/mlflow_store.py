"""Run by MLflow's own interpreter: opens a database with MLflow's tracking store, as its server does.

    python mlflow_store.py create URL    makes an empty database MLflow's
    python mlflow_store.py open URL      only looks whether all is as it should be
    python mlflow_store.py write URL     logs one of everything
    python mlflow_store.py read URL      prints all that is there, as JSON

Nothing here may import Railtrack.
"""

import json
import sys
from typing import Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    ExperimentTag,
    InputTag,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

NAN, INFINITY = float("nan"), float("inf")


def write(store: SqlAlchemyStore) -> None:
    """An experiment with a full run, a run that was deleted, and an experiment that was deleted."""
    experiment = store.create_experiment("by MLflow: größe", tags=[ExperimentTag("team", "비전")])
    run_id = _started(store, experiment, "first").info.run_id
    store.log_batch(
        run_id,
        metrics=[Metric("loss", 0.1 + step / 7, 1_700_000_000_000 + step, step) for step in range(20)],
        params=[Param("lr", "0.001"), Param("layers", "[64, 32]")],
        tags=[RunTag("stage", "☃")],
    )
    for step, value in enumerate((NAN, INFINITY, -INFINITY)):
        store.log_metric(run_id, Metric("odd", value, 1_700_000_000_000, step))
    store.log_metric(run_id, Metric("nan at last", NAN, 1_700_000_000_000, 0))
    dataset = Dataset("images", "d1g35t", "local", json.dumps({"uri": "file:///images"}), "{}", "{}")
    store.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])
    store.update_run_info(run_id, RunStatus.FINISHED, 1_700_000_099_000, "first, renamed")
    store.delete_run(_started(store, experiment, "deleted").info.run_id)
    store.delete_experiment(store.create_experiment("deleted by MLflow"))


def _started(store: SqlAlchemyStore, experiment_id: str, name: str) -> Run:
    return store.create_run(experiment_id, "somebody", 1_700_000_000_000, [RunTag("mlflow.note", name)], name)


def everything(store: SqlAlchemyStore) -> list[dict[str, Any]]:
    """Every experiment with its runs and all that was logged to them, in the order of names."""
    experiments = store.search_experiments(view_type=ViewType.ALL)
    return sorted((_experiment(store, experiment) for experiment in experiments), key=_name)


def _experiment(store: SqlAlchemyStore, experiment: Experiment) -> dict[str, Any]:
    runs = store.search_runs([experiment.experiment_id], "", ViewType.ALL)
    return {
        "name": experiment.name,
        "artifact_location": experiment.artifact_location,
        "lifecycle_stage": experiment.lifecycle_stage,
        "tags": experiment.tags,
        "runs": sorted((_run(store, run) for run in runs), key=_name),
    }


def _run(store: SqlAlchemyStore, run: Run) -> dict[str, Any]:
    inputs = run.inputs.dataset_inputs
    return {
        "name": run.info.run_name,
        "artifact_uri": run.info.artifact_uri,
        "lifecycle_stage": run.info.lifecycle_stage,
        "status": run.info.status,
        "times": [run.info.start_time, run.info.end_time],
        "user": run.info.user_id,
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {metric.key: _point(metric) for metric in run.data._metric_objs},
        "history": {key: _history(store, run.info.run_id, key) for key in run.data.metrics},
        "datasets": [[each.dataset.to_dictionary(), {tag.key: tag.value for tag in each.tags}] for each in inputs],
    }


def _history(store: SqlAlchemyStore, run_id: str, key: str) -> list[list[Any]]:
    return sorted(_point(metric) for metric in store.get_metric_history(run_id, key))


def _point(metric: Metric) -> list[Any]:
    """Step, time, and the value as text, which JSON can hold whatever it is."""
    return [metric.step, metric.timestamp, repr(metric.value)]


def _name(entry: dict[str, Any]) -> str:
    name: str = entry["name"]
    return name


if __name__ == "__main__":
    command, url = sys.argv[1:]
    store = SqlAlchemyStore(url, "mlflow-artifacts:/")
    if command == "write":
        write(store)
    elif command == "read":
        print(json.dumps(everything(store)))
