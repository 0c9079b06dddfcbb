"""log-inputs and outputs: datasets and models that runs read, and models that they made."""

import asyncio
from typing import Any

import pytest
from tests.api.inputs.requests import dataset, error_of, inputs_of, log_inputs, new_run, run_of, used
from tests.client import Client

from railtrack.db import Db


async def test_a_dataset_is_returned_as_it_was_logged(client: Client, run_id: str) -> None:
    full = used("größe ☃", schema='{"a": 1}', profile="{}", tags={"mlflow.data.context": "train", "b": ""})
    await log_inputs(client, run_id, full)
    assert await inputs_of(client, run_id) == {
        "dataset_inputs": [{**full, "tags": sorted(full["tags"], key=lambda tag: tag["key"])}]
    }


@pytest.mark.parametrize("empty", [{}, {"schema": "", "profile": ""}, {"schema": None, "profile": None}])
async def test_empty_fields_of_a_dataset_are_left_out(client: Client, run_id: str, empty: dict[str, Any]) -> None:
    await log_inputs(client, run_id, used(**empty))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used()]}


async def test_logging_an_input_again_changes_nothing(client: Client, db: Db, run_id: str) -> None:
    await log_inputs(client, run_id, used(tags={"a": "1"}, schema="s"))
    await log_inputs(client, run_id, used(tags={"a": "2", "b": "3"}, schema="other", source="elsewhere"))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used(tags={"a": "1"}, schema="s")]}
    assert await db.fetch_value("SELECT COUNT(*) FROM input_tags") == 1


async def test_the_first_of_repeated_datasets_counts(client: Client, run_id: str) -> None:
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


async def test_experiments_do_not_share_datasets(client: Client, db: Db, run_id: str) -> None:
    experiment = (await client.ok("POST", "experiments/create", {"name": "another"}))["experiment_id"]
    await log_inputs(client, run_id, used())
    await log_inputs(client, await new_run(client, experiment), used())
    assert await db.fetch_value("SELECT COUNT(*) FROM datasets") == 2


async def test_datasets_with_different_digests_are_different(client: Client, run_id: str) -> None:
    await log_inputs(client, run_id, used(digest="d2"), used(digest="d1"))
    assert await inputs_of(client, run_id) == {"dataset_inputs": [used(digest="d2"), used(digest="d1")]}


async def test_datasets_are_returned_in_the_order_in_which_they_were_logged(client: Client, run_id: str) -> None:
    """Training frameworks log the training set first, and scripts read `dataset_inputs[0]`."""
    await log_inputs(client, run_id, used("z"), used("a"), used("m"))
    await log_inputs(client, run_id, used("b"), used("a"), used("y"))
    names = [one["dataset"]["name"] for one in (await inputs_of(client, run_id))["dataset_inputs"]]
    assert names == ["z", "a", "m", "b", "y"]
    found = await client.ok("POST", "runs/search", {"experiment_ids": ["0"]})
    assert [one["dataset"]["name"] for one in found["runs"][0]["inputs"]["dataset_inputs"]] == names


async def test_concurrent_requests_may_log_the_same_datasets(client: Client, db: Db) -> None:
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


async def test_a_request_without_inputs_is_accepted(client: Client, run_id: str) -> None:
    assert await client.ok("POST", "runs/log-inputs", {"run_id": run_id}) == {}
    assert await client.ok("POST", "runs/log-inputs", {"run_id": run_id, "datasets": None}) == {}
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize(
    ("field", "limit"),
    [("name", 500), ("digest", 36), ("source_type", 36), ("source", 65_535), ("schema", 1_048_575)],
)
async def test_fields_of_a_dataset_are_limited(client: Client, run_id: str, field: str, limit: int) -> None:
    await log_inputs(client, run_id, {"dataset": dataset() | {field: "x" * limit}})
    body = {"run_id": run_id, "datasets": [used("kept?"), {"dataset": dataset() | {field: "x" * (limit + 1)}}]}
    assert await error_of(client, "runs/log-inputs", body) == (
        400,
        "INVALID_PARAMETER_VALUE",
        f"'{field}' exceeds the maximum length of {limit} characters",
    )
    assert len((await inputs_of(client, run_id))["dataset_inputs"]) == 1


@pytest.mark.parametrize(("key", "value", "field"), [(256, 1, "key"), (1, 501, "value")])
async def test_input_tags_are_limited(client: Client, run_id: str, key: int, value: int, field: str) -> None:
    await log_inputs(client, run_id, used(tags={"k" * 255: "v" * 500}))
    body = {"run_id": run_id, "datasets": [used("other", tags={"k" * key: "v" * value})]}
    status, _, message = await error_of(client, "runs/log-inputs", body)
    assert status == 400
    assert message.startswith(f"'{field}' exceeds the maximum length of")


async def test_a_repeated_tag_is_rejected(client: Client, run_id: str) -> None:
    body = {"run_id": run_id, "datasets": [{"dataset": dataset(), "tags": [{"key": "a", "value": v} for v in "12"]}]}
    assert (await error_of(client, "runs/log-inputs", body))[:2] == (400, "BAD_REQUEST")
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize("path", ["runs/log-inputs", "runs/outputs"])
async def test_inputs_and_outputs_are_logged_to_active_runs_only(client: Client, run_id: str, path: str) -> None:
    models = [{"model_id": "m-1"}]
    assert await error_of(client, path, {"run_id": "nope", "models": models}) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Run with id=nope not found",
    )
    status, _, message = await error_of(client, path, {"models": models})
    assert (status, message.partition(".")[0]) == (400, "Missing value for required parameter 'run_id'")
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert await error_of(client, path, {"run_id": run_id, "models": models}) == (
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
async def test_a_body_with_wrong_types_is_rejected(client: Client, run_id: str, body: dict[str, Any]) -> None:
    assert (await error_of(client, "runs/log-inputs", {"run_id": run_id, **body}))[:2] == (
        400,
        "INVALID_PARAMETER_VALUE",
    )
    assert await inputs_of(client, run_id) == {}


async def test_model_inputs_are_stored_once_and_sorted_by_id(client: Client, run_id: str) -> None:
    await log_inputs(client, run_id, models=["m-2", "m-1", "m-2"])
    await log_inputs(client, run_id, models=["m-1"])
    assert await inputs_of(client, run_id) == {"model_inputs": [{"model_id": "m-1"}, {"model_id": "m-2"}]}


async def outputs_of(client: Client, run_id: str) -> list[tuple[str, int]]:
    outputs = (await run_of(client, run_id))["outputs"]
    return [(model["model_id"], model["step"]) for model in outputs.get("model_outputs", [])]


def output(model_id: str, step: int) -> dict[str, Any]:
    return {"model_id": model_id, "step": step}


async def test_outputs_are_sorted_by_id_each_with_its_step(client: Client, run_id: str) -> None:
    body = {"run_id": run_id, "models": [output("m-2", 3), output("m-1", -4), {"model_id": "m-3"}]}
    assert await client.ok("POST", "runs/outputs", body) == {}
    assert await client.ok("POST", "runs/outputs", body) == {}
    assert await outputs_of(client, run_id) == [("m-1", -4), ("m-2", 3), ("m-3", 0)]
    assert await inputs_of(client, run_id) == {}


@pytest.mark.parametrize("models", [[output("m-2", 1), output("m-1", 9)], [output("m-3", 1), output("m-3", 2)]])
async def test_an_output_at_another_step_is_rejected(client: Client, run_id: str, models: Any) -> None:
    await client.ok("POST", "runs/outputs", {"run_id": run_id, "models": [output("m-1", 1)]})
    status, code, message = await error_of(client, "runs/outputs", {"run_id": run_id, "models": models})
    assert (status, code) == (400, "BAD_REQUEST")
    assert "already, of step 1" in message
    assert await outputs_of(client, run_id) == [("m-1", 1)]


async def test_model_ids_are_required_and_limited(client: Client, run_id: str) -> None:
    assert await client.ok("POST", "runs/outputs", {"run_id": run_id, "models": []}) == {}
    _, _, message = await error_of(client, "runs/outputs", {"run_id": run_id})
    assert message.startswith("Missing value for required parameter 'models'.")
    for path in ("runs/outputs", "runs/log-inputs"):
        _, _, message = await error_of(client, path, {"run_id": run_id, "models": [{"model_id": "m" * 37}]})
        assert message == "'model_id' exceeds the maximum length of 36 characters"
