"""Model versions: get, update, stages, delete, and their tags. Messages are MLflow's."""

import asyncio
from typing import Any

import pytest
from tests.api.registry.models import (
    add_version,
    assert_error,
    assert_invalid,
    assert_missing,
    create,
    get,
    get_version,
    missing_parameter,
    pairs,
    set_alias,
    transition,
)
from tests.client import Client

from railtrack.db import Db


@pytest.fixture
async def model(client: Client) -> str:
    await create(client, "model")
    return "model"


async def stages(client: Client, name: str) -> list[tuple[str, str]]:
    query = {"filter": f"name = '{name}'", "order_by": "version_number"}
    answer = await client.ok("GET", "model-versions/search", query=query)
    return [(version["version"], version["current_stage"]) for version in answer["model_versions"]]


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        ("", 400, missing_parameter("version")),
        ("abc", 400, "Parameter 'version' must be an integer, got 'abc'."),
        ("1.0", 400, "Parameter 'version' must be an integer, got '1.0'."),
        ("9", 404, "Model Version (name=model, version=9) not found"),
        ("-1", 404, "Model Version (name=model, version=-1) not found"),
        ("99999999999999999999", 404, "Model Version (name=model, version=99999999999999999999) not found"),
        ("2", 404, "Model Version (name=model, version=2) not found"),
    ],
)
async def test_every_endpoint_rejects_an_unknown_version(
    client: Client, model: str, version: str, status: int, message: str
) -> None:
    for _ in range(2):
        await add_version(client, model)
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "2"})
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    for method, path, more in (
        ("GET", "get", {}),
        ("GET", "get-download-uri", {}),
        ("PATCH", "update", {"description": "x"}),
        ("POST", "transition-stage", {"stage": "Staging", "archive_existing_versions": True}),
        ("DELETE", "delete", {}),
        ("POST", "set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "delete-tag", {"key": "k"}),
    ):
        sent: dict[str, Any] = {"query" if method == "GET" else "json": {"name": model, "version": version, **more}}
        assert_error(await client.send(method, f"model-versions/{path}", **sent), status, code, message)
    assert await stages(client, model) == [("1", "None")]


async def test_a_number_may_have_leading_zeros_or_spaces(client: Client, model: str) -> None:
    created = await add_version(client, model)
    for version in ("01", " 1", "1 "):
        assert await get_version(client, model, version) == created


async def test_a_description_of_a_version_is_replaced_or_deleted(client: Client, model: str) -> None:
    await add_version(client, model, description="one")
    before = (await get(client, model))["last_updated_timestamp"]
    for body, described in (({"description": "two"}, "two"), ({}, None), ({"description": ""}, "")):
        answer = await client.ok("PATCH", "model-versions/update", {"name": model, "version": "1", **body})
        assert answer["model_version"].get("description") == described
        assert answer["model_version"] == await get_version(client, model, 1)
    assert (await get(client, model))["last_updated_timestamp"] == before
    body = {"name": model, "version": "1", "description": "x" * 5001}
    answer = await client.send("PATCH", "model-versions/update", json=body)
    assert_invalid(answer, "'description' exceeds the maximum length of 5000 characters")


async def test_a_version_transitions_through_the_stages(client: Client, model: str) -> None:
    for _ in range(4):
        await add_version(client, model)
    moved = await transition(client, model, 1, "staging")
    assert (moved["current_stage"], moved) == ("Staging", await get_version(client, model, 1))
    assert (await get(client, model))["last_updated_timestamp"] == moved["last_updated_timestamp"]
    await transition(client, model, 2, "STAGING")
    await transition(client, model, 3, "Staging", archive=True)
    assert await stages(client, model) == [("1", "Archived"), ("2", "Archived"), ("3", "Staging"), ("4", "None")]
    archived = await get_version(client, model, 1)
    assert archived["last_updated_timestamp"] == (await get_version(client, model, 3))["last_updated_timestamp"]
    await transition(client, model, 3, "Production", archive=True)
    await transition(client, model, 3, "Production", archive=True)
    await transition(client, model, 4, "Archived")
    assert await stages(client, model) == [("1", "Archived"), ("2", "Archived"), ("3", "Production"), ("4", "Archived")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"stage": ""}, missing_parameter("stage")),
        (
            {"stage": "Bad"},
            "Invalid Model Version stage: Bad. Value must be one of None, Staging, Production, Archived.",
        ),
        ({"stage": "Deleted_Internal"}, "Invalid Model Version stage: Deleted_Internal."),
        ({"stage": 3}, "Invalid value 3 for parameter 'stage' supplied:"),
        ({"archive_existing_versions": "true"}, "Invalid value \"true\" for parameter 'archive_existing_versions'"),
        (
            {"stage": "none", "archive_existing_versions": True},
            "cannot archive existing model versions because 'None' is not an Active stage. "
            "Valid stages are ['Staging', 'Production']",
        ),
    ],
)
async def test_an_invalid_stage_is_rejected(client: Client, model: str, body: dict[str, Any], message: str) -> None:
    await add_version(client, model)
    body = {"name": model, "version": "1", "stage": "Staging", **body}
    assert_invalid(await client.post("model-versions/transition-stage", body), message)
    assert await stages(client, model) == [("1", "None")]


async def test_concurrent_transitions_leave_one_version_in_the_stage(client: Client, model: str) -> None:
    for _ in range(6):
        await add_version(client, model)
    await asyncio.gather(*(transition(client, model, number, "Production", archive=True) for number in range(1, 7)))
    assert [stage for _, stage in await stages(client, model)].count("Production") == 1


async def test_the_latest_version_of_each_stage(client: Client, model: str) -> None:
    for _ in range(5):
        await add_version(client, model, tags=pairs(k="v"))
    for number, stage in ((1, "Production"), (2, "Staging"), (3, "Production"), (4, "Archived")):
        await transition(client, model, number, stage)
    await set_alias(client, model, "champion", 3)

    async def latest(**query: Any) -> list[tuple[str, str]]:
        response = await client.ok("GET", "registered-models/get-latest-versions", query={"name": model, **query})
        posted = await client.ok("POST", "registered-models/get-latest-versions", {"name": model, **query})
        assert response == posted
        return [(version["version"], version["current_stage"]) for version in response.get("model_versions", [])]

    everyone = [("3", "Production"), ("2", "Staging"), ("4", "Archived"), ("5", "None")]
    assert await latest() == everyone
    assert await latest(stages=["production", "None"]) == [("3", "Production"), ("5", "None")]
    answer = await client.ok("GET", "registered-models/get-latest-versions", query={"name": model, "stages": "Staging"})
    assert answer == {"model_versions": [await get_version(client, model, 2)]}
    answer = await client.ok("GET", "registered-models/get-latest-versions", query={"name": model})
    assert answer["model_versions"][0] == await get_version(client, model, 3)
    answer = await client.get("registered-models/get-latest-versions", {"name": model, "stages": "Bad"})
    assert_invalid(answer, "Invalid Model Version stage: Bad.")
    shown = (await get(client, model))["latest_versions"]
    assert [(version["version"], version["current_stage"]) for version in shown] == everyone
    assert shown[0]["tags"] == pairs(k="v")
    assert "aliases" not in shown[0]


async def test_a_deleted_version_leaves_a_redacted_row(client: Client, model: str, db: Db) -> None:
    await add_version(client, model, run_id="secret", run_link="https://secret", description="secret")
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "1"})
    assert "latest_versions" not in await get(client, model)
    answer = await client.send("DELETE", "model-versions/delete", json={"name": model, "version": "1"})
    assert_missing(answer, "Model Version (name=model, version=1) not found")
    row = await db.fetch_row("SELECT current_stage, source, run_id, run_link, description FROM model_versions")
    assert row is not None
    # As MLflow leaves it.
    assert tuple(row) == (
        "Deleted_Internal",
        "REDACTED-SOURCE-PATH",
        "REDACTED-RUN-ID",
        "REDACTED-RUN-LINK",
        None,
    )


async def test_tags_of_a_version_are_set_replaced_and_deleted(client: Client, model: str) -> None:
    created = await add_version(client, model, tags=pairs(a="1"))
    for key, value in (("a", "2"), ("b/c d", "é"), ("empty", "")):
        body = {"name": model, "version": "1", "key": key, "value": value}
        assert await client.ok("POST", "model-versions/set-tag", body) == {}
    assert (await get_version(client, model, 1))["tags"] == pairs(a="2", **{"b/c d": "é"}, empty="")
    for key in ("b/c d", "empty", "never"):
        body = {"name": model, "version": "1", "key": key}
        assert await client.ok("DELETE", "model-versions/delete-tag", body) == {}
    assert await get_version(client, model, 1) == {**created, "tags": pairs(a="2")}
    for body, message in (
        ({}, missing_parameter("key")),
        ({"key": "a$", "value": "x"}, "Invalid value \"a$\" for parameter 'key' supplied:"),
        ({"key": "k", "value": "x" * 100_001}, "'value' exceeds the maximum length of 100000 characters"),
    ):
        answer = await client.post("model-versions/set-tag", {"name": model, "version": "1", **body})
        assert_invalid(answer, message)
