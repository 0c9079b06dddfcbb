"""Helpers for tests of the registry: create models and versions, and assert errors."""

from typing import Any

from tests.client import Client, Response

SOURCE = "s3://bucket/model"


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


PROMPT = pairs(**{"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "Say {{it}}."})


async def create(client: Client, name: str, **more: Any) -> dict[str, Any]:
    answer = await client.ok("POST", "registered-models/create", {"name": name, **more})
    model: dict[str, Any] = answer["registered_model"]
    return model


async def get(client: Client, name: str) -> dict[str, Any]:
    answer = await client.ok("GET", "registered-models/get", query={"name": name})
    model: dict[str, Any] = answer["registered_model"]
    return model


async def add_version(client: Client, name: str, source: str = SOURCE, **more: Any) -> dict[str, Any]:
    answer = await client.ok("POST", "model-versions/create", {"name": name, "source": source, **more})
    version: dict[str, Any] = answer["model_version"]
    return version


async def get_version(client: Client, name: str, version: str | int) -> dict[str, Any]:
    answer = await client.ok("GET", "model-versions/get", query={"name": name, "version": str(version)})
    found: dict[str, Any] = answer["model_version"]
    return found


async def transition(
    client: Client, name: str, version: str | int, stage: str, *, archive: bool = False
) -> dict[str, Any]:
    body = {"name": name, "version": str(version), "stage": stage, "archive_existing_versions": archive}
    answer = await client.ok("POST", "model-versions/transition-stage", body)
    moved: dict[str, Any] = answer["model_version"]
    return moved


async def set_alias(client: Client, name: str, alias: str, version: str | int) -> None:
    body = {"name": name, "alias": alias, "version": str(version)}
    assert await client.ok("POST", "registered-models/alias", body) == {}


def assert_error(answer: Response, status: int, code: str, message: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.text
    assert message in answer.json["message"]


def assert_invalid(answer: Response, message: str) -> None:
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", message)


def assert_missing(answer: Response, message: str) -> None:
    assert_error(answer, 404, "RESOURCE_DOES_NOT_EXIST", message)


def missing_parameter(name: str) -> str:
    return f"Missing value for required parameter '{name}'. See the API docs for more information"
