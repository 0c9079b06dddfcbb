"""What runs read and made: datasets, model inputs and outputs, and the list of models of old clients."""

import asyncio
import json
from typing import Any

import pytest
from tests.client import Client

from railtrack.db import Db

SEARCH = "/ajax-api/2.0/mlflow/experiments/search-datasets"


def dataset(name: str = "images", digest: str = "d1", **more: Any) -> dict[str, Any]:
    return {"name": name, "digest": digest, "source_type": "local", "source": '{"uri": "x"}', **more}


def used(*args: Any, tags: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A dataset input."""
    listed = [{"key": key, "value": value} for key, value in (tags or {}).items()]
    return {"dataset": dataset(*args, **more), **({"tags": listed} if listed else {})}


async def new_run(client: Client, experiment_id: str = "0") -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": experiment_id})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


@pytest.fixture
async def run_id(client: Client) -> str:
    return await new_run(client)


async def log_inputs(client: Client, run_id: str, *datasets: Any, models: Any = ()) -> None:
    body = {"run_id": run_id, "datasets": list(datasets), "models": [{"model_id": model} for model in models]}
    assert await client.ok("POST", "runs/log-inputs", body) == {}


async def run_of(client: Client, run_id: str) -> Any:
    return (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]


async def inputs_of(client: Client, run_id: str) -> Any:
    return (await run_of(client, run_id))["inputs"]


async def refusal(client: Client, path: str, body: Any) -> tuple[int, str, str]:
    answer = await client.post(path, body)
    return answer.status, answer.json["error_code"], answer.json["message"]


# Datasets


async def test_a_dataset_comes_back_as_it_was_logged(client: Client, run_id: str) -> None:
    full = used("größe ☃", schema='{"a": 1}', profile="{}", tags={"mlflow.data.context": "train", "b": ""})
    await log_inputs(client, run_id, full)
    assert await inputs_of(client, run_id) == {
        "dataset_inputs": [{**full, "tags": sorted(full["tags"], key=lambda tag: tag["key"])}]
    }


@pytest.mark.parametrize("empty", [{}, {"schema": "", "profile": ""}, {"schema": None, "profile": None}])
async def test_what_is_empty_of_a_dataset_is_left_out(client: Client, run_id: str, empty: dict[str, Any]) -> None:
    await log_inputs(client, run_id, used(**empty))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used()]}


async def test_logging_an_input_again_changes_nothing(client: Client, db: Db, run_id: str) -> None:
    await log_inputs(client, run_id, used(tags={"a": "1"}, schema="s"))
    await log_inputs(client, run_id, used(tags={"a": "2", "b": "3"}, schema="other", source="elsewhere"))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used(tags={"a": "1"}, schema="s")]}
    assert await db.fetch_value("SELECT COUNT(*) FROM input_tags") == 1


async def test_of_a_dataset_named_twice_in_a_request_the_first_counts(client: Client, run_id: str) -> None:
    await log_inputs(client, run_id, used(tags={"a": "1"}), used(tags={"a": "2", "b": "3"}, schema="late"))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used(tags={"a": "1"})]}


async def test_runs_of_an_experiment_share_a_dataset_but_not_its_tags(client: Client, db: Db, run_id: str) -> None:
    other = await new_run(client)
    await log_inputs(client, run_id, used(tags={"context": "train"}, schema="s"))
    await log_inputs(client, other, used(tags={"context": "eval"}, schema="another"), used("more"))
    assert await inputs_of(client, other) == {
        "dataset_inputs": [used(tags={"context": "eval"}, schema="s"), used("more")]
    }
    assert await db.fetch_value("SELECT COUNT(*) FROM datasets") == 2


async def test_an_experiment_has_datasets_of_its_own(client: Client, db: Db, run_id: str) -> None:
    experiment = (await client.ok("POST", "experiments/create", {"name": "another"}))["experiment_id"]
    await log_inputs(client, run_id, used())
    await log_inputs(client, await new_run(client, experiment), used())
    assert await db.fetch_value("SELECT COUNT(*) FROM datasets") == 2


async def test_a_version_of_a_dataset_is_told_by_its_digest(client: Client, run_id: str) -> None:
    await log_inputs(client, run_id, used(digest="d2"), used(digest="d1"))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used(digest="d1"), used(digest="d2")]}


async def test_many_writers_log_the_same_datasets_at_once(client: Client, db: Db) -> None:
    runs = [await new_run(client) for _ in range(4)]
    names = [f"n{number}" for number in range(20)]
    await asyncio.gather(
        *(
            log_inputs(client, run_id, *(used(name, tags={"a": "1"}) for name in order))
            for run_id in runs
            for order in (names, names[::-1])
        )
    )
    counts = [await db.fetch_value(f"SELECT COUNT(*) FROM {table}") for table in ("datasets", "inputs", "input_tags")]
    assert counts == [20, 80, 80]


async def test_nothing_to_log_is_fine(client: Client, run_id: str) -> None:
    assert await client.ok("POST", "runs/log-inputs", {"run_id": run_id}) == {}
    assert await client.ok("POST", "runs/log-inputs", {"run_id": run_id, "datasets": None}) == {}
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize(
    ("field", "limit"),
    [("name", 500), ("digest", 36), ("source_type", 36), ("source", 65_535), ("schema", 1_048_575)],
)
async def test_a_dataset_has_limits(client: Client, run_id: str, field: str, limit: int) -> None:
    await log_inputs(client, run_id, {"dataset": dataset() | {field: "x" * limit}})
    body = {"run_id": run_id, "datasets": [used("kept?"), {"dataset": dataset() | {field: "x" * (limit + 1)}}]}
    assert await refusal(client, "runs/log-inputs", body) == (
        400,
        "INVALID_PARAMETER_VALUE",
        f"'{field}' exceeds the maximum length of {limit} characters",
    )
    assert len((await inputs_of(client, run_id))["dataset_inputs"]) == 1


@pytest.mark.parametrize(("key", "value", "field"), [(256, 1, "key"), (1, 501, "value")])
async def test_input_tags_have_limits(client: Client, run_id: str, key: int, value: int, field: str) -> None:
    await log_inputs(client, run_id, used(tags={"k" * 255: "v" * 500}))
    body = {"run_id": run_id, "datasets": [used("other", tags={"k" * key: "v" * value})]}
    status, _, message = await refusal(client, "runs/log-inputs", body)
    assert status == 400
    assert message.startswith(f"'{field}' exceeds the maximum length of")


async def test_one_tag_twice_is_refused(client: Client, run_id: str) -> None:
    body = {"run_id": run_id, "datasets": [{"dataset": dataset(), "tags": [{"key": "a", "value": v} for v in "12"]}]}
    assert (await refusal(client, "runs/log-inputs", body))[:2] == (400, "BAD_REQUEST")
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize("path", ["runs/log-inputs", "runs/outputs"])
async def test_only_an_active_run_has_inputs_and_outputs_logged(client: Client, run_id: str, path: str) -> None:
    models = [{"model_id": "m-1"}]
    assert await refusal(client, path, {"run_id": "nope", "models": models}) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Run with id=nope not found",
    )
    status, _, message = await refusal(client, path, {"models": models})
    assert (status, message.partition(".")[0]) == (400, "Missing value for required parameter 'run_id'")
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert await refusal(client, path, {"run_id": run_id, "models": models}) == (
        400,
        "INVALID_PARAMETER_VALUE",
        f"The run {run_id} must be in the 'active' state. Current state is deleted.",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"datasets": "x"},
        {"datasets": ["x"]},
        {"datasets": [{"dataset": 3}]},
        {"models": [3]},
        {"datasets": [{"tags": 1}]},
    ],
)
async def test_a_body_of_another_shape_is_refused(client: Client, run_id: str, body: dict[str, Any]) -> None:
    assert (await refusal(client, "runs/log-inputs", {"run_id": run_id, **body}))[:2] == (
        400,
        "INVALID_PARAMETER_VALUE",
    )
    assert await inputs_of(client, run_id) == {}


# Models


async def test_model_inputs_are_kept_once_and_told_by_id(client: Client, run_id: str) -> None:
    await log_inputs(client, run_id, models=["m-2", "m-1", "m-2"])
    await log_inputs(client, run_id, models=["m-1"])
    assert await inputs_of(client, run_id) == {"model_inputs": [{"model_id": "m-1"}, {"model_id": "m-2"}]}


async def outputs_of(client: Client, run_id: str) -> list[tuple[str, int]]:
    outputs = (await run_of(client, run_id))["outputs"]
    return [(model["model_id"], model["step"]) for model in outputs.get("model_outputs", [])]


def output(model_id: str, step: int) -> dict[str, Any]:
    return {"model_id": model_id, "step": step}


async def test_outputs_are_told_by_id_each_with_its_step(client: Client, run_id: str) -> None:
    body = {"run_id": run_id, "models": [output("m-2", 3), output("m-1", -4), {"model_id": "m-3"}]}
    assert await client.ok("POST", "runs/outputs", body) == {}
    assert await client.ok("POST", "runs/outputs", body) == {}
    assert await outputs_of(client, run_id) == [("m-1", -4), ("m-2", 3), ("m-3", 0)]
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize("models", [[output("m-2", 1), output("m-1", 9)], [output("m-3", 1), output("m-3", 2)]])
async def test_an_output_at_another_step_is_refused_and_nothing_kept(client: Client, run_id: str, models: Any) -> None:
    await client.ok("POST", "runs/outputs", {"run_id": run_id, "models": [output("m-1", 1)]})
    status, code, message = await refusal(client, "runs/outputs", {"run_id": run_id, "models": models})
    assert (status, code) == (400, "BAD_REQUEST")
    assert "already, of step 1" in message
    assert await outputs_of(client, run_id) == [("m-1", 1)]


async def test_outputs_have_to_be_named_and_fit(client: Client, run_id: str) -> None:
    assert await client.ok("POST", "runs/outputs", {"run_id": run_id, "models": []}) == {}
    _, _, message = await refusal(client, "runs/outputs", {"run_id": run_id})
    assert message.startswith("Missing value for required parameter 'models'.")
    for path in ("runs/outputs", "runs/log-inputs"):
        _, _, message = await refusal(client, path, {"run_id": run_id, "models": [{"model_id": "m" * 37}]})
        assert message == "'model_id' exceeds the maximum length of 36 characters"


# The list of models of clients before MLflow 3


def model(run_id: str, path: str = "model", **more: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "artifact_path": path,
        "utc_time_created": "2023-11-01 10:00:00.123456",
        "flavors": {"sklearn": {"config": {"x": 1}, "version": "1.3"}, "odd": "text"},
        **more,
    }


async def log_model(client: Client, run_id: str, logged: Any) -> Any:
    return await client.post("runs/log-model", {"run_id": run_id, "model_json": json.dumps(logged)})


async def history_of(client: Client, run_id: str) -> Any:
    tags = {tag["key"]: tag["value"] for tag in (await run_of(client, run_id))["data"]["tags"]}
    return json.loads(tags["mlflow.log-model.history"])


async def test_models_are_listed_in_a_tag_of_the_run(client: Client, run_id: str) -> None:
    first, second = model(run_id, signature={"inputs": "[]"}), model("other", "größe", model_uuid="u")
    for logged in (first, second, first):
        assert (await log_model(client, run_id, logged)).json == {}
    flavors = {"sklearn": {"version": "1.3"}, "odd": "text"}
    created = "2023-11-01 10:00:00.123456"
    entry = {"run_id": run_id, "artifact_path": "model", "utc_time_created": created, "model_uuid": None}
    other = {"run_id": "other", "artifact_path": "größe", "utc_time_created": created, "model_uuid": "u"}
    expected = [{**each, "flavors": flavors} for each in (entry, other, entry)]
    assert await history_of(client, run_id) == expected


async def test_models_logged_at_once_are_all_listed(client: Client, run_id: str) -> None:
    await asyncio.gather(*(log_model(client, run_id, model(run_id, f"m{number}")) for number in range(8)))
    assert {entry["artifact_path"] for entry in await history_of(client, run_id)} == {f"m{n}" for n in range(8)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bad", "Malformed model info. \n {bad \n is not a valid JSON."),
        ("[1]", "Malformed model info. \n [1] \n is not a JSON object."),
        ("[" * 100_000, "Malformed model info."),
        (
            "{}",
            "Model json is missing mandatory fields: {'artifact_path', 'flavors', 'run_id', 'utc_time_created'}",
        ),
        ('{"run_id": 1, "artifact_path": 1, "utc_time_created": 1, "flavors": []}', "Malformed model info: 'flavors'"),
        ("", "Missing value for required parameter 'model_json'."),
    ],
)
async def test_a_model_that_is_none_is_refused(client: Client, run_id: str, text: str, message: str) -> None:
    status, code, told = await refusal(client, "runs/log-model", {"run_id": run_id, "model_json": text})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert told.startswith(message)


async def test_a_list_of_models_that_is_too_long_or_damaged_is_refused(client: Client, run_id: str) -> None:
    answer = await log_model(client, run_id, model(run_id, "p" * 8000))
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    tag = {"run_id": run_id, "key": "mlflow.log-model.history", "value": "junk"}
    await client.ok("POST", "runs/set-tag", tag)
    answer = await log_model(client, run_id, model(run_id))
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_models_are_logged_to_active_runs(client: Client, run_id: str) -> None:
    assert (await log_model(client, "nope", model("nope"))).status == 404
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert "'active' state" in (await log_model(client, run_id, model(run_id))).json["message"]


# The datasets of an experiment


async def test_the_datasets_of_experiments_are_told_once_for_each_context(client: Client, run_id: str) -> None:
    context = "mlflow.data.context"
    other = (await client.ok("POST", "experiments/create", {"name": "another"}))["experiment_id"]
    second = await new_run(client)
    await log_inputs(client, run_id, used("b", tags={context: "train"}), used("a", "z"), used("a", tags={context: ""}))
    await log_inputs(client, second, used("b", tags={context: "eval"}), used("a", "z", tags={context: "train"}))
    await log_inputs(client, await new_run(client), used("b", tags={context: "train", "x": "y"}))
    await log_inputs(client, await new_run(client, other), used("c"))
    await client.ok("POST", "runs/delete", {"run_id": run_id})

    def summary(name: str, digest: str, use: str | None = None, experiment: str = "0") -> dict[str, str]:
        return {"experiment_id": experiment, "name": name, "digest": digest, **({"context": use} if use else {})}

    found = await client.ok("POST", SEARCH, {"experiment_ids": ["0", "0"]})
    assert found["dataset_summaries"] == [
        summary("a", "d1"),
        summary("a", "z", "train"),
        summary("a", "z"),
        summary("b", "d1", "eval"),
        summary("b", "d1", "train"),
    ]
    assert await client.ok("POST", SEARCH, {"experiment_ids": [other]}) == {
        "dataset_summaries": [summary("c", "d1", experiment=other)]
    }
    assert await client.ok("POST", SEARCH, {"experiment_ids": ["987654", "9" * 40]}) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "SearchDatasets request must specify at least one experiment_id."),
        ({"experiment_ids": []}, "SearchDatasets request must specify at least one experiment_id."),
        (
            {"experiment_ids": ["x"] * 21},
            "SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids.",
        ),
        ({"experiment_ids": ["abc"]}, "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ],
)
async def test_a_search_for_datasets_names_its_experiments(client: Client, body: Any, message: str) -> None:
    assert await refusal(client, SEARCH, body) == (400, "INVALID_PARAMETER_VALUE", message)
