"""A run's life: create, get, update, delete, restore, and taking a tag off."""

from tests.client import Client


async def test_a_created_run_is_what_get_returns(client: Client) -> None:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": "first", "start_time": 12})
    run = await client.ok("GET", "runs/get", query={"run_id": created["run"]["info"]["run_id"]})
    assert run == {"run": {**created["run"], "outputs": {}}}
    assert run["run"]["info"]["run_name"] == "first"
    assert run["run"]["info"]["start_time"] == 12
    assert run["run"]["data"]["tags"] == [{"key": "mlflow.runName", "value": "first"}]
