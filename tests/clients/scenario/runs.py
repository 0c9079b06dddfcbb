"""Runs: nesting, names, tags, final status, deletion."""

from __future__ import annotations

import re
import time

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType

from scenario.registry import new_experiment, new_run, rejected, step


@step()
def runs_are_nested_and_tagged_with_their_parents() -> None:
    experiment_id = new_experiment("nested")
    with mlflow.start_run(experiment_id=experiment_id, run_name="outer") as outer:
        with (
            mlflow.start_run(experiment_id=experiment_id, run_name="middle", nested=True) as middle,
            mlflow.start_run(experiment_id=experiment_id, nested=True) as inner,
        ):
            mlflow.log_param("depth", 2)
        mlflow.log_param("depth", 0)

    assert mlflow.get_parent_run(inner.info.run_id).info.run_id == middle.info.run_id
    assert mlflow.get_parent_run(middle.info.run_id).info.run_id == outer.info.run_id
    assert mlflow.get_parent_run(outer.info.run_id) is None
    children = mlflow.search_runs(
        [experiment_id], f"tags.mlflow.parentRunId = '{outer.info.run_id}'", output_format="list"
    )
    assert [run.info.run_id for run in children] == [middle.info.run_id]
    assert mlflow.get_run(inner.info.run_id).data.params == {"depth": "2"}


@step(since=(2, 17))
def a_run_is_nested_by_the_id_of_its_parent() -> None:
    experiment_id = new_experiment("parent-id")
    with mlflow.start_run(experiment_id=experiment_id) as parent:
        pass
    with mlflow.start_run(experiment_id=experiment_id, parent_run_id=parent.info.run_id) as child:
        pass
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


@step()
def a_run_has_a_name_and_is_renamed() -> None:
    client = MlflowClient()
    experiment_id = new_experiment("names")
    given = client.create_run(experiment_id, run_name="학습 #1 / 100%")
    assert given.info.run_name == "학습 #1 / 100%"
    assert given.data.tags["mlflow.runName"] == "학습 #1 / 100%"
    generated = client.create_run(experiment_id)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", generated.info.run_name), generated.info.run_name

    client.update_run(given.info.run_id, name="renamed")
    assert client.get_run(given.info.run_id).info.run_name == "renamed"
    assert client.get_run(given.info.run_id).data.tags["mlflow.runName"] == "renamed"
    client.set_tag(given.info.run_id, "mlflow.runName", "by tag")
    assert client.get_run(given.info.run_id).info.run_name == "by tag"


@step()
def a_run_ends_with_the_given_status() -> None:
    client = MlflowClient()
    experiment_id = new_experiment("ends")
    with mlflow.start_run(experiment_id=experiment_id) as finished:
        assert mlflow.active_run().info.run_id == finished.info.run_id
        assert client.get_run(finished.info.run_id).info.status == "RUNNING"
    ended = client.get_run(finished.info.run_id).info
    assert ended.status == "FINISHED"
    assert 0 < ended.start_time <= ended.end_time

    try:
        with mlflow.start_run(experiment_id=experiment_id) as failed:
            raise ArithmeticError("the training diverged")
    except ArithmeticError:
        pass
    assert client.get_run(failed.info.run_id).info.status == "FAILED"

    killed = client.create_run(experiment_id, start_time=1_600_000_000_000)
    client.set_terminated(killed.info.run_id, status="KILLED", end_time=1_600_000_060_000)
    info = client.get_run(killed.info.run_id).info
    assert (info.status, info.start_time, info.end_time) == ("KILLED", 1_600_000_000_000, 1_600_000_060_000)

    mlflow.set_experiment(experiment_id=experiment_id)
    with mlflow.start_run(run_id=killed.info.run_id):
        mlflow.log_metric("again", 1)
    assert client.get_run(killed.info.run_id).info.status == "FINISHED"


@step()
def run_tags_are_set_overwritten_and_deleted() -> None:
    with new_run("tags") as run_id:
        mlflow.set_tag("owner", "an")
        mlflow.set_tags({"owner": "민준", "dataset/version": 3, "note": "두 줄\n둘째 줄", "long": "x" * 5000})
        mlflow.set_tag("gone", "soon")
        mlflow.delete_tag("gone")
        with rejected("RESOURCE_DOES_NOT_EXIST"):
            mlflow.delete_tag("gone")
        tags = mlflow.get_run(run_id).data.tags
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    assert own == {"owner": "민준", "dataset/version": "3", "note": "두 줄\n둘째 줄", "long": "x" * 5000}


@step()
def a_run_gets_a_description_at_its_start() -> None:
    experiment_id = new_experiment("described")
    with mlflow.start_run(experiment_id=experiment_id, description="첫 **시도**", tags={"a": "b"}) as run:
        pass
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["mlflow.note.content"] == "첫 **시도**"
    assert tags["a"] == "b"
    assert tags["mlflow.source.type"] == "LOCAL"


@step()
def a_deleted_run_rejects_writes_until_it_is_restored() -> None:
    client = MlflowClient()
    experiment_id = new_experiment("deleted-run")
    run_id = client.create_run(experiment_id).info.run_id
    client.log_metric(run_id, "m", 1.5)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment_id]) == []
    deleted = client.search_runs([experiment_id], run_view_type=ViewType.DELETED_ONLY)
    assert [run.info.run_id for run in deleted] == [run_id]
    assert len(client.search_runs([experiment_id], run_view_type=ViewType.ALL)) == 1
    with rejected("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
        client.log_metric(run_id, "m", 2.5, timestamp=int(time.time() * 1000))
    with rejected("INVALID_PARAMETER_VALUE"):
        client.set_tag(run_id, "t", "v")

    client.restore_run(run_id)
    client.log_metric(run_id, "m", 3.5, step=1)
    assert client.get_run(run_id).data.metrics == {"m": 3.5}


@step()
def a_missing_run_is_reported() -> None:
    with rejected("RESOURCE_DOES_NOT_EXIST", "not found"):
        MlflowClient().get_run("0" * 32)
