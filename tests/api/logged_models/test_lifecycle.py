"""Logged models: create, get, finalize, delete, and their params and tags. Messages are MLflow's."""

import asyncio
import re
from typing import Any

import pytest
from tests.api.logged_models.models import (
    NOWHERE,
    assert_error,
    create,
    create_id,
    experiment,
    get,
    measure,
    missing_parameter,
    pairs,
    run_in,
)
from tests.client import Client

from railtrack.api.logged_models.queries import METRICS_LIMIT
from railtrack.db import Db

INVALID_CHARACTERS = (
    "Model name must be a non-empty string and cannot contain the following characters: "
    "('/', ':', '.', '%', '\"', \"'\")"
)


async def test_create_returns_the_model_that_get_returns(client: Client) -> None:
    experiment_id = await experiment(client)
    run_id = await run_in(client, experiment_id)
    created = await create(
        client,
        experiment_id,
        "detector é",
        model_type="sklearn",
        source_run_id=run_id,
        params=pairs(lr="0.1", **{"a b": ""}),
        tags=pairs(team="vision"),
    )
    assert await get(client, created["info"]["model_id"]) == created
    model_id = created["info"].pop("model_id")
    times = {name: created["info"].pop(name) for name in ("creation_timestamp_ms", "last_updated_timestamp_ms")}
    assert re.fullmatch(r"m-[0-9a-f]{32}", model_id)
    assert times["creation_timestamp_ms"] == times["last_updated_timestamp_ms"] > 1_700_000_000_000
    assert created == {
        "info": {
            "experiment_id": experiment_id,
            "name": "detector é",
            "artifact_uri": f"mlflow-artifacts:/{experiment_id}/models/{model_id}/artifacts",
            "status": "LOGGED_MODEL_PENDING",
            "model_type": "sklearn",
            "source_run_id": run_id,
            "tags": [{"key": "team", "value": "vision"}],
        },
        "data": {"params": [{"key": "a b", "value": ""}, {"key": "lr", "value": "0.1"}]},
    }


async def test_only_the_experiment_is_required(client: Client) -> None:
    created = await create(client, await experiment(client, artifact_location="s3://bucket/prefix/"))
    info = created["info"]
    assert created["data"] == {}
    assert "tags" not in info
    assert (info["model_type"], info["source_run_id"]) == ("", "")
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", info["name"])
    assert info["artifact_uri"] == f"s3://bucket/prefix/models/{info['model_id']}/artifacts"


async def test_names_need_not_be_unique(client: Client) -> None:
    experiment_id = await experiment(client)
    assert await create_id(client, experiment_id, "same") != await create_id(client, experiment_id, "same")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"experiment_id": ""}, 400, missing_parameter("experiment_id")),
        ({"experiment_id": 3}, 400, "Invalid value 3 for parameter 'experiment_id' supplied:  Hint: Value was of type"),
        ({"experiment_id": "abc"}, 400, "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
        ({"experiment_id": "999999"}, 404, "No Experiment with id=999999 exists"),
        ({"name": "a/b", "experiment_id": "abc"}, 400, f"Invalid model name ('a/b') provided. {INVALID_CHARACTERS}"),
        ({"name": "a.b"}, 400, f"Invalid model name ('a.b') provided. {INVALID_CHARACTERS}"),
        ({"name": 'q"'}, 400, f"Invalid model name ('q\"') provided. {INVALID_CHARACTERS}"),
        ({"name": "n" * 501}, 400, "'name' exceeds the maximum length of 500 characters"),
        ({"model_type": "n" * 501}, 400, "'model_type' exceeds the maximum length of 500 characters"),
        ({"source_run_id": "n" * 33}, 400, "'source_run_id' exceeds the maximum length of 32 characters"),
        ({"params": pairs(**{"k" * 256: ""})}, 400, "'params.key' exceeds the maximum length of 255 characters"),
        ({"tags": pairs(k="v" * 100_001)}, 400, "'tags.value' exceeds the maximum length of 100000 characters"),
        ({"params": [*pairs(k="1"), *pairs(k="1")]}, 400, "Duplicate key 'k' in 'params'"),
        ({"tags": [*pairs(k="1"), *pairs(k="2")]}, 400, "Duplicate key 'k' in 'tags'"),
        ({"tags": pairs(**{f"k{n}": "" for n in range(1001)})}, 400, "at most 1000 tags of a model. Got 1001."),
        ({"params": "x"}, 400, "Invalid value \"x\" for parameter 'params' supplied:"),
        ({"name": "nul\0"}, 400, "NUL"),
    ],
)
async def test_an_invalid_model_is_not_created(client: Client, body: dict[str, Any], status: int, message: str) -> None:
    experiment_id = await experiment(client)
    answer = await client.post("logged-models", {"experiment_id": experiment_id, **body})
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    assert_error(answer, status, code, message)
    assert await client.ok("POST", "logged-models/search", {"experiment_ids": [experiment_id]}) == {}


async def test_a_deleted_experiment_rejects_new_models_and_keeps_existing_ones(client: Client) -> None:
    experiment_id = await experiment(client)
    model_id = await create_id(client, experiment_id)
    await client.ok("POST", "experiments/delete", {"experiment_id": experiment_id})
    answer = await client.post("logged-models", {"experiment_id": experiment_id})
    message = f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted."
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)
    assert (await get(client, model_id))["info"]["experiment_id"] == experiment_id


async def test_finalizing_sets_the_status(client: Client) -> None:
    model_id = await create_id(client, await experiment(client))
    for status in (2, "LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY"):
        answer = await client.ok("PATCH", f"logged-models/{model_id}", {"model_id": model_id, "status": status})
        assert answer["model"] == await get(client, model_id)
    info = answer["model"]["info"]
    assert info["status"] == "LOGGED_MODEL_READY"
    assert info["last_updated_timestamp_ms"] >= info["creation_timestamp_ms"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, missing_parameter("status")),
        ({"status": None}, missing_parameter("status")),
        ({"status": "READY"}, "Invalid value \"READY\" for parameter 'status'"),
        ({"status": 7}, "Invalid value 7 for parameter 'status'"),
    ],
)
async def test_an_invalid_status_is_rejected(client: Client, body: dict[str, Any], message: str) -> None:
    model_id = await create_id(client, await experiment(client))
    answer = await client.send("PATCH", f"logged-models/{model_id}", json=body)
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)
    assert (await get(client, model_id))["info"]["status"] == "LOGGED_MODEL_PENDING"


async def test_the_model_id_of_the_path_takes_precedence_over_the_body(client: Client) -> None:
    experiment_id = await experiment(client)
    meant, other = await create_id(client, experiment_id), await create_id(client, experiment_id)
    await client.ok("PATCH", f"logged-models/{meant}", {"model_id": other, "status": 2})
    assert (await get(client, other))["info"]["status"] == "LOGGED_MODEL_PENDING"
    assert (await get(client, meant))["info"]["status"] == "LOGGED_MODEL_READY"


async def test_a_deleted_model_is_not_found_but_can_be_deleted_and_finalized(client: Client) -> None:
    model_id = await create_id(client, await experiment(client))
    for _ in range(2):
        assert await client.ok("DELETE", f"logged-models/{model_id}", {}) == {}
    answer = await client.get(f"logged-models/{model_id}")
    assert_error(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{model_id}' not found.")
    answer = await client.ok("PATCH", f"logged-models/{model_id}", {"status": "LOGGED_MODEL_READY"})
    assert answer["model"]["info"]["status"] == "LOGGED_MODEL_READY"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"status": 2}),
        ("DELETE", "", {}),
        ("POST", "/params", {"params": pairs(a="b")}),
        ("PATCH", "/tags", {"tags": []}),
        ("DELETE", "/tags/a", {}),
    ],
)
async def test_every_endpoint_rejects_an_unknown_model(
    client: Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = await client.send(method, f"logged-models/{NOWHERE}{path}", json=body)
    assert_error(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{NOWHERE}' not found.")


async def test_params_are_immutable(client: Client) -> None:
    model_id = await create_id(client, await experiment(client), params=pairs(lr="0.1"))
    path = f"logged-models/{model_id}/params"
    assert await client.ok("POST", path, {"params": pairs(depth="3", lr="0.1")}) == {}
    assert await client.ok("POST", path, {"params": pairs(depth="3")}) == {}
    assert await client.ok("POST", path, {}) == {}
    answer = await client.post(path, {"params": pairs(new="x", lr="0.2")})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "key='lr' was already logged with value='0.1'")
    assert (await get(client, model_id))["data"]["params"] == pairs(depth="3", lr="0.1")


async def test_concurrent_writes_of_the_same_params_store_them_once(client: Client) -> None:
    model_id = await create_id(client, await experiment(client))
    params = pairs(**{f"p{n:02}": "x" for n in range(20)})
    calls = [client.post(f"logged-models/{model_id}/params", {"params": params}) for _ in range(8)]
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 8
    assert (await get(client, model_id))["data"]["params"] == params


async def test_tags_are_set_replaced_and_deleted(client: Client) -> None:
    model_id = await create_id(client, await experiment(client), tags=pairs(team="vision"))
    before = (await get(client, model_id))["info"]["last_updated_timestamp_ms"]
    path = f"logged-models/{model_id}/tags"
    tags = [*pairs(team="speech", **{"a/b c%": "é"}), {"key": "empty"}, *pairs(twice="1"), *pairs(twice="2")]
    assert await client.ok("PATCH", path, {"tags": tags}) == {}
    info = (await get(client, model_id))["info"]
    assert info["tags"] == pairs(**{"a/b c%": "é"}, empty="", team="speech", twice="2")
    assert info["last_updated_timestamp_ms"] == before
    for key in ("a%2Fb%20c%25", "twice", "empty"):
        assert await client.ok("DELETE", f"{path}/{key}", {}) == {}
    answer = await client.send("DELETE", f"{path}/twice", json={})
    assert_error(
        answer, 404, "RESOURCE_DOES_NOT_EXIST", f"No tag with key 'twice' found for model with ID '{model_id}'."
    )
    assert (await get(client, model_id))["info"]["tags"] == pairs(team="speech")


async def test_metrics_logged_by_a_run_for_a_model_are_returned_with_the_model(client: Client) -> None:
    experiment_id = await experiment(client)
    run_id, model_id = await run_in(client, experiment_id), await create_id(client, experiment_id)
    await measure(client, run_id, model_id, "acc", 0.5)
    await measure(client, run_id, model_id, "acc", 0.75, timestamp=2, step=2, dataset_name="d", dataset_digest="x")
    await measure(client, run_id, model_id, "loss", "NaN")
    assert (await get(client, model_id))["data"]["metrics"] == [
        {"key": "acc", "value": 0.5, "timestamp": 1, "step": 1, "model_id": model_id, "run_id": run_id},
        {
            "key": "acc",
            "value": 0.75,
            "timestamp": 2,
            "step": 2,
            "dataset_name": "d",
            "dataset_digest": "x",
            "model_id": model_id,
            "run_id": run_id,
        },
        {"key": "loss", "value": 0.0, "timestamp": 1, "step": 1, "model_id": model_id, "run_id": run_id},
    ]


async def test_the_latest_points_of_a_long_history_are_returned(client: Client, db: Db) -> None:
    experiment_id = await experiment(client)
    run_id, model_id = await run_in(client, experiment_id), await create_id(client, experiment_id)
    await measure(client, run_id, model_id, "once", 7.0)
    async with db.write() as tx:
        await tx.execute_rows(
            """
            INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,
                experiment_id, run_id)
            SELECT model_id, 'often', step, step, 1.5, experiment_id, run_id FROM {rows}
            """,
            {"model_id": "text", "run_id": "text", "experiment_id": "integer", "step": "bigint"},
            [(model_id, run_id, int(experiment_id), step) for step in range(2 * METRICS_LIMIT)],
        )
    metrics = (await get(client, model_id))["data"]["metrics"]
    steps = [metric["step"] for metric in metrics if metric["key"] == "often"]
    assert [metric["value"] for metric in metrics if metric["key"] == "once"] == [7.0]
    assert steps == list(range(METRICS_LIMIT + 1, 2 * METRICS_LIMIT))
