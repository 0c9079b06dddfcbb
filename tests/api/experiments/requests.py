"""Requests that the tests of experiments share."""

from typing import Any

from tests.client import Client, Response


async def create(client: Client, name: str, **more: Any) -> str:
    answer = await client.ok("POST", "experiments/create", {"name": name, **more})
    experiment_id: str = answer["experiment_id"]
    return experiment_id


async def get(client: Client, experiment_id: str) -> dict[str, Any]:
    answer = await client.ok("GET", "experiments/get", query={"experiment_id": experiment_id})
    experiment: dict[str, Any] = answer["experiment"]
    return experiment


def assert_rejected(answer: Response, status: int, code: str, message: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.text
    assert message in answer.json["message"]


def missing(name: str) -> str:
    return f"Missing value for required parameter '{name}'. See the API docs for more information"
