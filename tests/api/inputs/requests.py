"""Requests that the tests of inputs share."""

from typing import Any

from tests.client import Client


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


async def log_inputs(client: Client, run_id: str, *datasets: Any, models: Any = ()) -> None:
    body = {"run_id": run_id, "datasets": list(datasets), "models": [{"model_id": model} for model in models]}
    assert await client.ok("POST", "runs/log-inputs", body) == {}


async def run_of(client: Client, run_id: str) -> Any:
    return (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]


async def inputs_of(client: Client, run_id: str) -> Any:
    return (await run_of(client, run_id))["inputs"]


async def error_of(client: Client, path: str, body: Any) -> tuple[int, str, str]:
    answer = await client.post(path, body)
    return answer.status, answer.json["error_code"], answer.json["message"]
