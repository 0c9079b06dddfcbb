"""Helpers for tests of logged models: create an experiment, runs and models, and log metrics for a model."""

from typing import Any

from tests.client import Client, Response

NOWHERE = "m-0123456789abcdef0123456789abcdef"
"""The id of a model that doesn't exist."""


async def experiment(client: Client, name: str = "models", **more: Any) -> str:
    answer = await client.ok("POST", "experiments/create", {"name": name, **more})
    experiment_id: str = answer["experiment_id"]
    return experiment_id


async def run_in(client: Client, experiment_id: str) -> str:
    answer = await client.ok("POST", "runs/create", {"experiment_id": experiment_id})
    run_id: str = answer["run"]["info"]["run_id"]
    return run_id


async def create(client: Client, experiment_id: str, name: str = "", **more: Any) -> dict[str, Any]:
    answer = await client.ok("POST", "logged-models", {"experiment_id": experiment_id, "name": name, **more})
    model: dict[str, Any] = answer["model"]
    return model


async def create_id(client: Client, experiment_id: str, name: str = "", **more: Any) -> str:
    model = await create(client, experiment_id, name, **more)
    model_id: str = model["info"]["model_id"]
    return model_id


async def get(client: Client, model_id: str) -> dict[str, Any]:
    answer = await client.ok("GET", f"logged-models/{model_id}")
    model: dict[str, Any] = answer["model"]
    return model


async def measure(client: Client, run_id: str, model_id: str, key: str, value: float | str, **more: Any) -> None:
    """Log a metric point of the model, by default with timestamp and step 1."""
    point = {"run_id": run_id, "model_id": model_id, "key": key, "value": value, "timestamp": 1, "step": 1, **more}
    await client.ok("POST", "runs/log-metric", point)


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def assert_error(answer: Response, status: int, code: str, message: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.text
    assert message in answer.json["message"]


def missing_parameter(name: str) -> str:
    return f"Missing value for required parameter '{name}'. See the API docs for more information"
