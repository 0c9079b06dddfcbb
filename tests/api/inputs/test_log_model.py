"""log-model: the list of models in a tag of the run, of clients before MLflow 3."""

import asyncio
import json
from typing import Any

import pytest
from tests.api.inputs.requests import error_of, run_of
from tests.client import Client


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


async def test_models_of_concurrent_requests_are_all_listed(client: Client, run_id: str) -> None:
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
async def test_an_invalid_model_is_rejected(client: Client, run_id: str, text: str, message: str) -> None:
    status, code, actual = await error_of(client, "runs/log-model", {"run_id": run_id, "model_json": text})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert actual.startswith(message)


async def test_a_list_of_models_that_is_too_long_or_malformed_is_rejected(
    client: Client, run_id: str, engine: str
) -> None:
    """PostgreSQL's column limits the list. On SQLite, where MLflow has no limit, there is a high one."""
    fits, too_long = (6000, 3000) if engine == "postgresql" else (60_000, 60_000)
    assert (await log_model(client, run_id, model(run_id, "p" * fits))).status == 200
    answer = await log_model(client, run_id, model(run_id, "p" * too_long))
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    tag = {"run_id": run_id, "key": "mlflow.log-model.history", "value": "junk"}
    await client.ok("POST", "runs/set-tag", tag)
    answer = await log_model(client, run_id, model(run_id))
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_models_are_logged_to_active_runs_only(client: Client, run_id: str) -> None:
    assert (await log_model(client, "nope", model("nope"))).status == 404
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert "'active' state" in (await log_model(client, run_id, model(run_id))).json["message"]
