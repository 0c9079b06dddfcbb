"""runs/create."""

import re
from typing import Any

import pytest
from tests.client import Client

from railtrack.db import Db


async def test_a_created_run_is_what_get_returns(client: Client) -> None:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": "first", "start_time": 12})
    run = await client.ok("GET", "runs/get", query={"run_id": created["run"]["info"]["run_id"]})
    assert run == {"run": {**created["run"], "outputs": {}}}
    assert run["run"]["info"]["run_name"] == "first"
    assert run["run"]["info"]["start_time"] == 12
    assert run["run"]["data"]["tags"] == [{"key": "mlflow.runName", "value": "first"}]


async def test_a_run_without_a_name_gets_a_random_one_and_its_tag(client: Client) -> None:
    run = (await client.ok("POST", "runs/create", {"experiment_id": "0"}))["run"]
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,3}", run["info"]["run_name"])
    assert run["data"]["tags"] == [{"key": "mlflow.runName", "value": run["info"]["run_name"]}]


async def test_a_name_and_a_name_tag_must_agree(client: Client) -> None:
    tag = {"key": "mlflow.runName", "value": "a"}
    run = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": "a", "tags": [tag]})
    assert run["run"]["info"]["run_name"] == "a"
    answer = await client.post("runs/create", {"experiment_id": "0", "run_name": "b", "tags": [tag]})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "(run_name='b', mlflow.runName='a')" in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "required parameter 'experiment_id'"),
        ({"experiment_id": 3}, 400, "Invalid value 3 for parameter 'experiment_id'"),
        ({"experiment_id": "abc"}, 400, "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
        ({"experiment_id": "999999"}, 404, "No Experiment with id=999999 exists"),
        ({"experiment_id": "9" * 40}, 404, "No Experiment with id="),
        ({"experiment_id": "0", "user_id": "u" * 257}, 400, "'user_id' exceeds"),
        ({"experiment_id": "0", "run_name": "n" * 251}, 400, "'run_name' exceeds"),
        ({"experiment_id": "0", "tags": [{"key": "k" * 251}]}, 400, "'key' exceeds"),
        ({"experiment_id": "0", "tags": [{"key": "a"}, {"key": "a"}]}, 400, "Duplicate tag key 'a'"),
        ({"experiment_id": "0", "tags": [{"key": f"t{number}"} for number in range(1001)]}, 400, "at most 1000 tags"),
    ],
)
async def test_an_invalid_request_creates_no_run(
    client: Client, db: Db, body: dict[str, Any], status: int, message: str
) -> None:
    answer = await client.post("runs/create", body)
    assert answer.status == status
    assert message in answer.json["message"]
    assert await db.fetch_value("SELECT count(*) FROM runs") == 0


async def test_a_deleted_experiment_accepts_no_runs(client: Client, db: Db) -> None:
    await db.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = 0")
    answer = await client.post("runs/create", {"experiment_id": "0"})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"] == "The experiment 0 must be in the 'active' state. Current state is deleted."
