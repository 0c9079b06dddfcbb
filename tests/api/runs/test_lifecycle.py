"""runs/get, update, delete, restore and delete-tag."""

from typing import Any

import pytest
from tests.api.runs.stored import store_run
from tests.client import Client

from railtrack.db import Db


async def test_get_returns_the_same_run_as_a_search(client: Client, db: Db) -> None:
    values = [0.1, -2.5, 1e22, 5e-324, -1.7976931348623157e308, 3.0, None]
    what: dict[str, Any] = {
        "metrics": {f"größe {at}": value for at, value in enumerate(values)},
        "params": {"lr": "0.1", "text": 'ein "Wort" \\ ☃\n', "none": ""},
        "tags": {"a": "1", "mlflow.note.content": "🜚" * 2000, "unset": None},
        "end_time": 0,
    }
    run_id = await store_run(db, "", None, **what)
    await store_run(db, "beside it", **what)
    models = [f"m-{number:032x}" for number in (3, 1, 2)]
    datasets = [{"dataset": {"name": name, "digest": "d", "source_type": "s", "source": "{}"}} for name in "ba"]
    inputs = {"run_id": run_id, "datasets": datasets, "models": [{"model_id": model} for model in models]}
    await client.ok("POST", "runs/log-inputs", inputs)
    made = [{"model_id": model, "step": step} for step, model in enumerate(models)]
    await client.ok("POST", "runs/outputs", {"run_id": run_id, "models": made})
    run = (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]
    found = (await client.ok("POST", "runs/search", {"experiment_ids": ["0"]}))["runs"]
    [in_a_page] = [one for one in found if one["info"]["run_id"] == run_id]
    assert _in_order(run) == _in_order(in_a_page)
    shown = ["NaN" if value is None else value for value in values]
    assert [metric["value"] for metric in run["data"]["metrics"]] == shown
    assert [model["model_id"] for model in run["inputs"]["model_inputs"]] == sorted(models)
    assert [model["step"] for model in run["outputs"]["model_outputs"]] == [1, 2, 0]
    assert [used["dataset"]["name"] for used in run["inputs"]["dataset_inputs"]] == ["b", "a"]


def _in_order(run: Any) -> Any:
    """Sort the lists of the run whose order is not defined."""
    for listed in run["data"].values():
        listed.sort(key=lambda one: one["key"])
    return run


async def test_an_update_changes_only_the_fields_that_it_has(client: Client, run_id: str) -> None:
    info = (await client.ok("POST", "runs/update", {"run_id": run_id, "status": 3, "end_time": "7"}))["run_info"]
    assert (info["status"], info["end_time"], info["run_name"]) == ("FINISHED", 7, "first")
    info = (await client.ok("POST", "runs/update", {"run_uuid": run_id, "run_name": "second"}))["run_info"]
    assert (info["status"], info["end_time"], info["run_name"]) == ("FINISHED", 7, "second")
    run = (await client.ok("GET", "runs/get", query={"run_uuid": run_id}))["run"]
    assert run["data"]["tags"] == [{"key": "mlflow.runName", "value": "second"}]


@pytest.mark.parametrize("status", ["DONE", 99, 0, True, ["FINISHED"]])
async def test_an_unknown_status_is_rejected(client: Client, run_id: str, status: Any) -> None:
    answer = await client.post("runs/update", {"run_id": run_id, "status": status, "end_time": 1})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "for parameter 'status' supplied:" in answer.json["message"]


async def test_an_end_time_of_zero_means_no_end_time(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/update", {"run_id": run_id, "end_time": 7})
    info = (await client.ok("POST", "runs/update", {"run_id": run_id, "end_time": 0}))["run_info"]
    assert "end_time" not in info


async def test_a_deleted_run_rejects_updates_until_it_is_restored(client: Client, run_id: str) -> None:
    for _ in range(2):
        assert await client.ok("POST", "runs/delete", {"run_id": run_id}) == {}
    for path, body in (("runs/update", {"run_name": "x"}), ("runs/delete-tag", {"key": "mlflow.runName"})):
        answer = await client.post(path, {"run_id": run_id, **body})
        assert answer.status == 400
        assert answer.json["message"].endswith("Current state is deleted.")
    run = (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]
    assert (run["info"]["lifecycle_stage"], run["info"]["run_name"]) == ("deleted", "first")
    for _ in range(2):
        assert await client.ok("POST", "runs/restore", {"run_id": run_id}) == {}
    info = (await client.ok("POST", "runs/update", {"run_id": run_id, "run_name": "x"}))["run_info"]
    assert (info["lifecycle_stage"], info["run_name"]) == ("active", "x")


async def test_the_deletion_time_is_stored_until_the_run_is_restored(client: Client, db: Db, run_id: str) -> None:
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    assert await db.fetch_value("SELECT deleted_time FROM runs") > 1_700_000_000_000
    await client.ok("POST", "runs/restore", {"run_id": run_id})
    assert await db.fetch_value("SELECT deleted_time FROM runs") is None


async def test_a_tag_can_be_deleted_once(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/set-tag", {"run_id": run_id, "key": "team", "value": "vision"})
    assert await client.ok("POST", "runs/delete-tag", {"run_id": run_id, "key": "team"}) == {}
    answer = await client.post("runs/delete-tag", {"run_id": run_id, "key": "team"})
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert answer.json["message"] == f"No tag with name: team in run with id {run_id}"


@pytest.mark.parametrize("path", ["runs/update", "runs/delete", "runs/restore", "runs/delete-tag"])
async def test_a_missing_run_is_not_found(client: Client, path: str) -> None:
    answer = await client.post(path, {"run_id": "nope", "key": "k"})
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert answer.json["message"] == "Run with id=nope not found"
