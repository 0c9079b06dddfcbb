"""Requests that the tests of metrics share."""

from typing import Any

from tests.client import Client

INTERVAL = "metrics/get-history-bulk-interval"


def point(value: Any, timestamp: int, step: int, key: str = "m") -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


async def new_run(client: Client) -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


async def log(client: Client, run_id: str, points: list[dict[str, Any]]) -> None:
    for at in range(0, len(points), 1000):
        await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": points[at : at + 1000]})


async def error_message(client: Client, path: str, query: dict[str, Any]) -> str:
    answer = await client.get(path, query)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    message: str = answer.json["message"]
    return message
