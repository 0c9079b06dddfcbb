"""Models: logged, registered, with aliases and stages, and loaded; and prompts of the registry."""

from __future__ import annotations

from typing import Any

import mlflow
import mlflow.pyfunc
import pandas
from mlflow import MlflowClient

from scenario.registry import VERSION, new_experiment, rejected, step, unique

FRAME = pandas.DataFrame({"x": [1, 2, 3]})
DOUBLED = [2, 4, 6]


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[int]:
        return [value * 2 for value in model_input["x"]]


def predicts(uri: str) -> bool:
    return list(mlflow.pyfunc.load_model(uri).predict(FRAME)) == DOUBLED


def log_model(prefix: str, **options: Any) -> tuple[str, Any]:
    """Log the model to a run of a new experiment. Return the run's id and the client's model info."""
    named = {"name": "model"} if VERSION >= (3,) else {"artifact_path": "model"}
    with mlflow.start_run(experiment_id=new_experiment(prefix)) as run:
        logged = mlflow.pyfunc.log_model(python_model=Doubling(), pip_requirements=[], **named, **options)
    return run.info.run_id, logged


@step()
def a_model_is_logged_registered_and_loaded_by_version_alias_and_stage() -> None:
    client, name = MlflowClient(), unique("doubling")
    run_id, logged = log_model("models", registered_model_name=name)
    assert predicts(logged.model_uri)
    again = mlflow.register_model(f"runs:/{run_id}/model", name)
    assert again.version in ("2", 2)
    client.set_registered_model_alias(name, "champion", "1")
    client.transition_model_version_stage(name, "2", "Production")
    for reference in ("/1", "/2", "@champion", "/Production"):
        assert predicts(f"models:/{name}{reference}"), reference
    version = client.get_model_version_by_alias(name, "champion")
    assert (version.version, version.run_id, version.aliases, version.status) == ("1", run_id, ["champion"], "READY")
    assert client.get_model_version_download_uri(name, "1").startswith("mlflow-artifacts:/")


@step()
def a_registered_model_is_described_tagged_renamed_and_deleted() -> None:
    client, name = MlflowClient(), unique("life")
    client.create_registered_model(name, tags={"team": "영상"}, description="one")
    with rejected("RESOURCE_ALREADY_EXISTS", "already exists"):
        client.create_registered_model(name)
    with rejected("INVALID_PARAMETER_VALUE"):
        client.create_registered_model("a/b")
    client.update_registered_model(name, "two")
    client.set_registered_model_tag(name, "stage", "draft")
    client.delete_registered_model_tag(name, "team")
    for description in ("first", "second"):
        client.create_model_version(name, "s3://bucket/model", tags={"k": description}, description=description)
    client.update_model_version(name, "1", "changed")
    client.set_model_version_tag(name, "1", "k", "w")
    client.set_registered_model_alias(name, "champion", "2")
    with rejected("INVALID_PARAMETER_VALUE", "reserved"):
        client.set_registered_model_alias(name, "latest", "1")
    client.rename_registered_model(name, f"{name}-new")
    model = client.get_registered_model(f"{name}-new")
    assert (model.description, model.tags) == ("two", {"stage": "draft"})
    assert {alias: str(version) for alias, version in model.aliases.items()} == {"champion": "2"}
    version = client.get_model_version(f"{name}-new", "1")
    assert (version.description, version.tags) == ("changed", {"k": "w"})
    client.delete_registered_model_alias(f"{name}-new", "champion")
    client.delete_model_version(f"{name}-new", "2")
    assert [one.version for one in client.search_model_versions(f"name = '{name}-new'")] == ["1"]
    client.delete_registered_model(f"{name}-new")
    with rejected("RESOURCE_DOES_NOT_EXIST", "not found"):
        client.get_registered_model(f"{name}-new")


@step()
def versions_change_stages_and_are_archived() -> None:
    client, name = MlflowClient(), unique("stages")
    client.create_registered_model(name)
    for _ in range(3):
        client.create_model_version(name, "s3://bucket/model")
    client.transition_model_version_stage(name, "1", "Staging")
    client.transition_model_version_stage(name, "2", "Staging", archive_existing_versions=True)
    client.transition_model_version_stage(name, "3", "Production")
    latest = {version.current_stage: version.version for version in client.get_latest_versions(name)}
    assert latest == {"Archived": "1", "Staging": "2", "Production": "3"}
    assert [version.version for version in client.get_latest_versions(name, ["Production"])] == ["3"]
    with rejected("INVALID_PARAMETER_VALUE", "Invalid Model Version stage"):
        client.transition_model_version_stage(name, "1", "Nowhere")


@step()
def models_and_versions_are_searched_in_order_and_by_pages() -> None:
    client, prefix = MlflowClient(), unique("found")
    for number in range(3):
        client.create_registered_model(f"{prefix}-{number}", tags={"even": str(number % 2 == 0)})
        client.create_model_version(f"{prefix}-{number}", f"s3://bucket/{number}", run_id=f"run{number}")
    mine = f"name LIKE '{prefix}%'"
    first = client.search_registered_models(mine, max_results=2, order_by=["name DESC"])
    assert [model.name for model in first] == [f"{prefix}-2", f"{prefix}-1"]
    rest = client.search_registered_models(mine, max_results=2, order_by=["name DESC"], page_token=first.token)
    assert [model.name for model in rest] == [f"{prefix}-0"]
    even = client.search_registered_models(f"{mine} AND tags.even = 'True'")
    assert [model.name for model in even] == [f"{prefix}-0", f"{prefix}-2"]
    assert [
        version.name
        for version in client.search_model_versions("run_id = 'run1'")
        if version.name in {f"{prefix}-{number}" for number in range(3)}
    ] == [f"{prefix}-1"]
    versions = client.search_model_versions(f"name = '{prefix}-2'", max_results=1, order_by=["version_number DESC"])
    assert [(version.version, version.source) for version in versions] == [("1", "s3://bucket/2")]


@step(since=(3, 0))
def a_logged_model_gets_metrics_and_is_found_and_loaded_by_its_id() -> None:
    client = MlflowClient()
    run_id, logged = log_model("logged", params={"depth": 3}, tags={"team": "영상"})
    data = mlflow.data.from_pandas(FRAME, name="pets")
    with mlflow.start_run(experiment_id=client.get_run(run_id).info.experiment_id):
        mlflow.log_metric("acc", 0.75, model_id=logged.model_id)
        mlflow.log_metric("acc", 0.9, step=1, model_id=logged.model_id, dataset=data)
    assert predicts(f"models:/{logged.model_id}")
    model = mlflow.get_logged_model(logged.model_id)
    assert (model.name, model.status, model.source_run_id, model.params) == ("model", "READY", run_id, {"depth": "3"})
    assert model.tags["team"] == "영상"
    assert [(one.value, one.dataset_name) for one in model.metrics] == [(0.75, None), (0.9, "pets")]
    outputs = client.get_run(run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [logged.model_id]

    def found(text: str, **more: Any) -> int:
        return len(
            mlflow.search_logged_models(
                experiment_ids=[model.experiment_id], filter_string=text, output_format="list", **more
            )
        )

    on = {"datasets": [{"dataset_name": "pets", "dataset_digest": data.digest}]}
    assert found("metrics.acc > 0.8") == found("metrics.acc > 0.8", **on) == found("params.depth = '3'") == 1
    assert found("metrics.acc < 0.8", **on) == found("metrics.acc > 0.95") == found("name = 'other'") == 0


@step(since=(3, 0))
def an_external_model_is_finalized_tagged_and_deleted() -> None:
    client, experiment_id = MlflowClient(), new_experiment("elsewhere")
    models = [
        client.create_logged_model(experiment_id, name=name, model_type="agent", params={"k": "v"})
        for name in ("first", "second")
    ]
    model = client.finalize_logged_model(models[0].model_id, "READY")
    assert (model.status, model.model_type, model.params) == ("READY", "agent", {"k": "v"})
    client.set_logged_model_tags(model.model_id, {"a b": "1", "gone": "2"})
    client.delete_logged_model_tag(model.model_id, "gone")
    assert client.get_logged_model(model.model_id).tags["a b"] == "1"
    order = [{"field_name": "creation_timestamp", "ascending": True}]
    found = client.search_logged_models([experiment_id], order_by=order)
    assert [one.name for one in found] == ["first", "second"]
    client.delete_logged_model(model.model_id)
    assert [one.name for one in client.search_logged_models([experiment_id])] == ["second"]
    with rejected("RESOURCE_DOES_NOT_EXIST", "not found"):
        client.get_logged_model(model.model_id)


@step(since=(3, 1))
def a_prompt_is_registered_loaded_by_version_and_alias_and_found() -> None:
    client, name = MlflowClient(), unique("greeting")
    for number, template in enumerate(("Hello {{name}}!", "안녕 {{name}}!"), 1):
        made = client.register_prompt(name, template, commit_message=f"take {number}", tags={"lang": str(number)})
        assert made.version == number
    assert client.load_prompt(f"prompts:/{name}/1").template == "Hello {{name}}!"
    loaded = client.load_prompt(name, version=2)
    assert (loaded.format(name="민준"), loaded.commit_message, loaded.tags["lang"]) == ("안녕 민준!", "take 2", "2")
    client.set_prompt_alias(name, "production", 1)
    assert client.load_prompt(f"prompts:/{name}@production").version == 1
    assert [one.name for one in client.search_prompts(f"name = '{name}'")] == [name]
    assert client.search_registered_models(f"name = '{name}'") == []
    with rejected("RESOURCE_ALREADY_EXISTS", "already taken by a prompt"):
        client.create_registered_model(name)
    client.delete_prompt_alias(name, "production")
    client.delete_prompt_version(name, "1")
    assert client.load_prompt(name, version=2).template == "안녕 {{name}}!"
