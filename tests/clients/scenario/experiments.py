"""Experiments: life cycle, tags, and search with pagination."""

from __future__ import annotations

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType

from scenario.registry import new_experiment, rejected, step, unique


@step()
def an_experiment_is_created_renamed_and_found() -> None:
    client = MlflowClient()
    name = unique("실험 é")
    experiment_id = client.create_experiment(name, tags={"team": "vision", "empty": ""})
    experiment = client.get_experiment(experiment_id)
    assert experiment.name == name
    assert experiment.lifecycle_stage == "active"
    assert experiment.tags == {"team": "vision", "empty": ""}
    assert experiment.artifact_location
    assert 0 < experiment.creation_time <= experiment.last_update_time
    assert mlflow.get_experiment_by_name(name).experiment_id == experiment_id
    assert mlflow.get_experiment_by_name(unique("nobody")) is None

    client.rename_experiment(experiment_id, name + " 2")
    assert mlflow.get_experiment_by_name(name) is None
    assert mlflow.set_experiment(name + " 2").experiment_id == experiment_id


@step()
def experiment_tags_are_set_and_overwritten() -> None:
    experiment_id = new_experiment("tags")
    mlflow.set_experiment(experiment_id=experiment_id)
    mlflow.set_experiment_tag("owner", "an")
    mlflow.set_experiment_tags({"owner": "민준", "stage": "draft", "long": "x" * 5000})
    tags = mlflow.get_experiment(experiment_id).tags
    assert tags == {"owner": "민준", "stage": "draft", "long": "x" * 5000}


@step(since=(3, 10))
def an_experiment_tag_is_deleted() -> None:
    client = MlflowClient()
    experiment_id = client.create_experiment(unique("untagged"), tags={"a": "1", "b": "2"})
    client.delete_experiment_tag(experiment_id, "a")
    assert client.get_experiment(experiment_id).tags == {"b": "2"}


@step()
def a_deleted_experiment_keeps_its_name_and_is_restored() -> None:
    client = MlflowClient()
    name = unique("deleted")
    experiment_id = client.create_experiment(name)
    with mlflow.start_run(experiment_id=experiment_id):
        mlflow.log_metric("m", 1)
    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    assert _names(ViewType.ACTIVE_ONLY, name) == []
    assert _names(ViewType.DELETED_ONLY, name) == [name]
    with rejected("RESOURCE_ALREADY_EXISTS"):
        client.create_experiment(name)
    with rejected("INVALID_PARAMETER_VALUE"):
        client.create_run(experiment_id)

    client.restore_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"
    runs = mlflow.search_runs([experiment_id], output_format="list")
    assert [run.data.metrics for run in runs] == [{"m": 1.0}]


def _names(view_type: int, name: str) -> list[str]:
    found = MlflowClient().search_experiments(view_type=view_type, filter_string=f"name = '{name}'")
    return [experiment.name for experiment in found]


@step()
def a_duplicate_name_and_a_missing_experiment_are_rejected() -> None:
    client = MlflowClient()
    name = unique("taken")
    client.create_experiment(name)
    with rejected("RESOURCE_ALREADY_EXISTS", name):
        client.create_experiment(name)
    with rejected("RESOURCE_DOES_NOT_EXIST"):
        client.get_experiment("987654321")


@step()
def experiments_are_searched_in_order_and_by_pages() -> None:
    client = MlflowClient()
    prefix = unique("page")
    for number in range(7):
        client.create_experiment(f"{prefix}-{number}", tags={"batch": prefix, "parity": str(number % 2)})

    names: list[str] = []
    token = None
    while True:
        page = client.search_experiments(
            filter_string=f"tags.batch = '{prefix}'", order_by=["name DESC"], max_results=3, page_token=token
        )
        assert 1 <= len(page) <= 3
        names += [experiment.name for experiment in page]
        token = page.token
        if not token:
            break
    assert names == [f"{prefix}-{number}" for number in reversed(range(7))]

    odd = mlflow.search_experiments(filter_string=f"name LIKE '{prefix}%' AND tags.parity = '1'", order_by=["name ASC"])
    assert [experiment.name for experiment in odd] == [f"{prefix}-{number}" for number in (1, 3, 5)]
    upper = mlflow.search_experiments(filter_string=f"name ILIKE '{prefix.upper()}-_'")
    assert len(upper) == 7
