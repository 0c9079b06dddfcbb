"""Registered models: create, get, rename, update, delete, and their tags. Messages are MLflow's."""

import asyncio
from typing import Any

import pytest
from tests.api.registry.models import (
    PROMPT,
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


async def test_create_returns_the_model_that_get_returns(client: Client) -> None:
    created = await create(client, "detector é", description="Finds cats.", tags=pairs(team="vision", **{"a b": ""}))
    assert await get(client, "detector é") == created
    times = {name: created.pop(name) for name in ("creation_timestamp", "last_updated_timestamp")}
    assert times["creation_timestamp"] == times["last_updated_timestamp"] > 1_700_000_000_000
    assert created == {
        "name": "detector é",
        "description": "Finds cats.",
        "tags": [{"key": "a b", "value": ""}, {"key": "team", "value": "vision"}],
    }


async def test_a_minimal_model_has_only_a_name_and_timestamps(client: Client) -> None:
    await create(client, "plain", description="", tags=[])
    assert set(await get(client, "plain")) == {"name", "creation_timestamp", "last_updated_timestamp"}


@pytest.mark.parametrize("name", ["a.b", "a%b", "..", "a b", "한글", "it's", 'q"q', "a\\b", "a#b?c", "x" * 256])
async def test_valid_names(client: Client, name: str) -> None:
    await create(client, name)
    assert (await get(client, name))["name"] == name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, missing_parameter("name")),
        ({"name": ""}, missing_parameter("name")),
        ({"name": 3}, "Invalid value 3 for parameter 'name' supplied:"),
        ({"name": "a/b"}, "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ({"name": "a:b", "tags": pairs(**{"a$": ""})}, "Invalid model name 'a:b'."),
        ({"name": "x" * 257}, "'name' exceeds the maximum length of 256 characters"),
        ({"name": "nul\0"}, "NUL"),
        ({"name": "n", "description": "x" * 5001}, "'description' exceeds the maximum length of 5000 characters"),
        ({"name": "n", "tags": pairs(**{"": "x"})}, "This name would resolve to '.'"),
        ({"name": "n", "tags": pairs(**{"a$": "x"})}, "Invalid value \"a$\" for parameter 'key' supplied: Names may"),
        ({"name": "n", "tags": pairs(**{"k" * 251: "x"})}, "'key' exceeds the maximum length of 250 characters"),
        ({"name": "n", "tags": pairs(k="x" * 5001)}, "'value' exceeds the maximum length of 5000 characters"),
        ({"name": "n", "tags": pairs(**{f"k{n}": "" for n in range(1001)})}, "At most 1000 tags"),
        ({"name": "n", "tags": "x"}, "Invalid value \"x\" for parameter 'tags' supplied:"),
    ],
)
async def test_an_invalid_model_is_not_created(client: Client, body: dict[str, Any], message: str) -> None:
    assert_invalid(await client.post("registered-models/create", body), message)
    assert await client.ok("GET", "registered-models/search") == {}


async def test_names_are_unique_and_case_sensitive(client: Client) -> None:
    await create(client, "name", tags=pairs(kept="1"))
    answer = await client.post("registered-models/create", {"name": "name", "tags": pairs(kept="2")})
    assert_error(answer, 400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=name) already exists.")
    assert (await get(client, "name"))["tags"] == pairs(kept="1")
    await create(client, "Name")


async def test_models_and_prompts_share_their_names(client: Client) -> None:
    await create(client, "model")
    await create(client, "prompt", tags=PROMPT[:1])
    for body, message in (
        ({"name": "prompt"}, "Tried to create a registered model with name 'prompt', but the name is already taken by"),
        (
            {"name": "model", "tags": PROMPT},
            "Tried to create a prompt with name 'model', but the name is already taken",
        ),
        ({"name": "prompt", "tags": PROMPT}, "Prompt (name=prompt) already exists."),
    ):
        answer = await client.post("registered-models/create", body)
        assert_error(answer, 400, "RESOURCE_ALREADY_EXISTS", message)


async def test_one_of_many_concurrent_creations_of_a_name_succeeds(client: Client) -> None:
    calls = [client.post("registered-models/create", {"name": "raced"}) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    assert {answer.json["error_code"] for answer in answers if answer.status == 400} == {"RESOURCE_ALREADY_EXISTS"}


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "registered-models/get", {}),
        ("POST", "registered-models/rename", {"new_name": "x"}),
        ("PATCH", "registered-models/update", {"description": "x"}),
        ("DELETE", "registered-models/delete", {}),
        ("POST", "registered-models/set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"key": "k"}),
        ("DELETE", "registered-models/alias", {"alias": "a"}),
        ("GET", "registered-models/alias", {"alias": "a"}),
        ("GET", "registered-models/alias", {"alias": "latest"}),
        ("GET", "registered-models/get-latest-versions", {}),
        ("POST", "registered-models/get-latest-versions", {}),
        ("POST", "model-versions/create", {"source": "s3://bucket/x"}),
    ],
)
async def test_every_endpoint_rejects_an_unknown_model(
    client: Client, method: str, path: str, more: dict[str, str]
) -> None:
    for name, status, message in (
        ("nowhere", 404, "Registered Model with name=nowhere not found"),
        ("a/b", 400, "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ("", 400, missing_parameter("name")),
    ):
        sent: dict[str, Any] = {"query" if method == "GET" else "json": {"name": name, **more}}
        code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
        assert_error(await client.send(method, path, **sent), status, code, message)


async def test_renaming_keeps_versions_tags_and_aliases(client: Client) -> None:
    await create(client, "old", tags=pairs(team="vision"))
    await add_version(client, "old", tags=pairs(k="v"))
    await set_alias(client, "old", "champion", 1)
    before = await get(client, "old")
    answer = await client.ok("POST", "registered-models/rename", {"name": "old", "new_name": "new"})
    renamed = answer["registered_model"]
    assert renamed == await get(client, "new")
    assert renamed["last_updated_timestamp"] >= before["last_updated_timestamp"]
    assert (renamed["tags"], renamed["aliases"]) == (before["tags"], before["aliases"])
    version = await get_version(client, "new", 1)
    assert (version["tags"], version["aliases"]) == (pairs(k="v"), ["champion"])
    assert version["last_updated_timestamp"] == renamed["last_updated_timestamp"]
    assert_missing(await client.get("registered-models/get", {"name": "old"}), "name=old not found")


@pytest.mark.parametrize(
    ("new_name", "code", "message"),
    [
        ("taken", "RESOURCE_ALREADY_EXISTS", "Registered Model (name=taken) already exists."),
        ("", "INVALID_PARAMETER_VALUE", missing_parameter("new_name")),
        ("a/b", "INVALID_PARAMETER_VALUE", "Invalid model name 'a/b'."),
        ("x" * 257, "INVALID_PARAMETER_VALUE", "'name' exceeds the maximum length of 256 characters"),
    ],
)
async def test_an_invalid_new_name_changes_nothing(client: Client, new_name: str, code: str, message: str) -> None:
    await create(client, "old")
    await create(client, "taken")
    before = await get(client, "old")
    answer = await client.post("registered-models/rename", {"name": "old", "new_name": new_name})
    assert_error(answer, 400, code, message)
    assert await get(client, "old") == before


async def test_a_description_is_replaced_or_deleted(client: Client) -> None:
    created = await create(client, "model", description="one")
    for body, described in (({"description": "two"}, "two"), ({}, None), ({"description": "three"}, "three")):
        answer = await client.ok("PATCH", "registered-models/update", {"name": "model", **body})
        assert answer["registered_model"].get("description") == described
        assert answer["registered_model"] == await get(client, "model")
    assert answer["registered_model"]["last_updated_timestamp"] >= created["last_updated_timestamp"]
    answer = await client.send("PATCH", "registered-models/update", json={"name": "model", "description": "x" * 5001})
    assert_invalid(answer, "'description' exceeds the maximum length of 5000 characters")


async def test_tags_are_set_replaced_and_deleted_without_updating_the_timestamp(client: Client) -> None:
    created = await create(client, "model", tags=pairs(a="1"))
    for key, value in (("a", "2"), ("b/c d", "é"), ("empty", "")):
        body = {"name": "model", "key": key, "value": value}
        assert await client.ok("POST", "registered-models/set-tag", body) == {}
    assert (await get(client, "model"))["tags"] == pairs(a="2", **{"b/c d": "é"}, empty="")
    for key in ("b/c d", "empty", "never"):
        assert await client.ok("DELETE", "registered-models/delete-tag", {"name": "model", "key": key}) == {}
    model = await get(client, "model")
    assert model["tags"] == pairs(a="2")
    assert model["last_updated_timestamp"] == created["last_updated_timestamp"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, missing_parameter("key")),
        ({"key": ""}, missing_parameter("key")),
        ({"key": "a$", "value": "x"}, "Invalid value \"a$\" for parameter 'key' supplied:"),
        ({"key": "k" * 251}, "'key' exceeds the maximum length of 250 characters"),
        ({"key": "k", "value": "x" * 5001}, "'value' exceeds the maximum length of 5000 characters"),
        ({"key": "k", "value": 3}, "Invalid value 3 for parameter 'value' supplied:"),
    ],
)
async def test_an_invalid_tag_is_rejected(client: Client, body: dict[str, Any], message: str) -> None:
    await create(client, "model")
    assert_invalid(await client.post("registered-models/set-tag", {"name": "model", **body}), message)


async def test_deleting_a_model_deletes_versions_tags_and_aliases(client: Client) -> None:
    await create(client, "model", tags=pairs(a="1"))
    for stage in ("Staging", "Production", "Archived"):
        version = await add_version(client, "model", tags=pairs(k="v"))
        await transition(client, "model", version["version"], stage)
    await set_alias(client, "model", "champion", 2)
    await client.ok("DELETE", "model-versions/delete", {"name": "model", "version": "1"})
    assert await client.ok("DELETE", "registered-models/delete", {"name": "model"}) == {}
    assert_missing(await client.get("registered-models/get", {"name": "model"}), "name=model not found")
    assert await client.ok("GET", "model-versions/search") == {}
    await create(client, "model")
    assert set(await get(client, "model")) == {"name", "creation_timestamp", "last_updated_timestamp"}
    assert (await add_version(client, "model"))["version"] == "1"


async def test_a_model_whose_name_is_longer_than_a_new_one_may_be_can_be_read_changed_and_deleted(
    client: Client, db: Db, engine: str
) -> None:
    """MLflow on SQLite stores such names. On PostgreSQL there can be none."""
    name = "n" * 260
    new = await client.post("registered-models/create", {"name": name})
    assert new.json["message"] == "'name' exceeds the maximum length of 256 characters"
    if engine == "sqlite":
        async with db.write() as tx:
            await tx.execute("INSERT INTO registered_models (workspace, name) VALUES ('default', $1)", name)
    expected = 200 if engine == "sqlite" else 404
    source = {"name": name, "source": "s3://bucket/model"}
    version = {"name": name, "version": "1"}
    for method, path, fields in (
        ("GET", "registered-models/get", {"name": name}),
        ("PATCH", "registered-models/update", {"name": name, "description": "d"}),
        ("POST", "registered-models/set-tag", {"name": name, "key": "k", "value": "v"}),
        ("POST", "model-versions/create", source),
        ("GET", "model-versions/get", version),
        ("POST", "registered-models/alias", {**version, "alias": "best"}),
        ("DELETE", "model-versions/delete", version),
        ("POST", "registered-models/rename", {"name": name, "new_name": "short"}),
        ("DELETE", "registered-models/delete", {"name": "short"}),
    ):
        query = fields if method == "GET" else None
        response = await client.send(method, path, query=query, json=None if method == "GET" else fields)
        assert response.status == expected, (method, path, response.text)
