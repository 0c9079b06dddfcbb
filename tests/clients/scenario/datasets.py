"""Datasets as inputs of runs."""

from __future__ import annotations

import json

import mlflow
import numpy
import pandas

from scenario.registry import new_experiment, step


@step()
def datasets_are_logged_and_found() -> None:
    experiment_id = new_experiment("datasets")
    frame = pandas.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "c"]})
    table = mlflow.data.from_pandas(frame, name="train-set", targets="y")
    array = mlflow.data.from_numpy(numpy.arange(12).reshape(3, 4), name="배열")
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_input(table, context="training")
        mlflow.log_input(table, context="training")
        mlflow.log_input(array, context="validation", tags={"split": "0.2"})

    inputs = {given.dataset.name: given for given in mlflow.get_run(run.info.run_id).inputs.dataset_inputs}
    assert inputs.keys() == {"train-set", "배열"}
    assert inputs["train-set"].dataset.digest == table.digest
    assert inputs["train-set"].dataset.source_type == table.source._get_source_type()
    assert json.loads(inputs["train-set"].dataset.profile)["num_rows"] == 3
    tags = {tag.key: tag.value for tag in inputs["배열"].tags}
    assert tags == {"mlflow.data.context": "validation", "split": "0.2"}

    for condition, expected in {
        "dataset.name = 'train-set'": 1,
        "dataset.name LIKE '%set'": 1,
        "dataset.context = 'validation'": 1,
        f"dataset.digest = '{table.digest}'": 1,
        "dataset.name = 'another'": 0,
    }.items():
        found = mlflow.search_runs([experiment_id], condition, output_format="list")
        assert len(found) == expected, condition


@step(since=(3, 1))
def several_datasets_are_logged_at_once() -> None:
    experiment_id = new_experiment("log-inputs")
    arrays = [mlflow.data.from_numpy(numpy.full((2, 2), n), name=f"part-{n}") for n in range(3)]
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_inputs(
            datasets=arrays, contexts=["train", "train", "test"], tags_list=[{"n": "0"}, None, {"n": "2"}]
        )
    given = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    tags = {one.dataset.name: {tag.key: tag.value for tag in one.tags} for one in given}
    assert tags == {
        "part-0": {"mlflow.data.context": "train", "n": "0"},
        "part-1": {"mlflow.data.context": "train"},
        "part-2": {"mlflow.data.context": "test", "n": "2"},
    }
