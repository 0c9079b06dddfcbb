"""Aliases: set, reassign, delete, and get a version by alias. Messages are MLflow's."""

import pytest
from tests.api.registry.models import (
    add_version,
    assert_invalid,
    assert_missing,
    create,
    get,
    get_version,
    missing_parameter,
    set_alias,
    transition,
)
from tests.client import Client


@pytest.fixture
async def model(client: Client) -> str:
    """Create a model with three versions, the second in production."""
    await create(client, "model")
    for _ in range(3):
        await add_version(client, "model")
    await transition(client, "model", 2, "Production")
    return "model"


async def by_alias(client: Client, name: str, alias: str) -> str:
    answer = await client.ok("GET", "registered-models/alias", query={"name": name, "alias": alias})
    assert answer["model_version"] == await get_version(client, name, answer["model_version"]["version"])
    version: str = answer["model_version"]["version"]
    return version


async def test_an_alias_refers_to_one_version_until_it_is_reassigned(client: Client, model: str) -> None:
    before = (await get(client, model))["last_updated_timestamp"]
    await set_alias(client, model, "champion", 1)
    await set_alias(client, model, "challenger", 1)
    assert await by_alias(client, model, "champion") == "1"
    assert (await get_version(client, model, 1))["aliases"] == ["challenger", "champion"]
    await set_alias(client, model, "champion", 3)
    assert await by_alias(client, model, "champion") == "3"
    assert (await get_version(client, model, 1))["aliases"] == ["challenger"]
    found = await get(client, model)
    assert found["aliases"] == [{"alias": "challenger", "version": "1"}, {"alias": "champion", "version": "3"}]
    assert found["last_updated_timestamp"] == before


async def test_latest_refers_to_the_highest_number_in_any_stage(client: Client, model: str) -> None:
    assert await by_alias(client, model, "latest") == "3"
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "3"})
    await transition(client, model, 2, "Archived")
    assert await by_alias(client, model, "Latest") == "2"


async def test_latest_of_a_model_without_versions_is_not_found(client: Client) -> None:
    await create(client, "empty")
    answer = await client.get("registered-models/alias", {"name": "empty", "alias": "latest"})
    assert_missing(answer, "Latest version not found for model empty.")


@pytest.mark.parametrize("alias", ["a", "A", "1", "12", "a-b", "a_b", "한글", "v", "v1a", "None", "-", "x" * 255])
async def test_valid_aliases(client: Client, model: str, alias: str) -> None:
    await set_alias(client, model, alias, 1)
    assert await by_alias(client, model, alias) == "1"


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("", missing_parameter("alias")),
        ("latest", "'latest' alias name (case insensitive) is reserved."),
        ("LATEST", "'latest' alias name (case insensitive) is reserved."),
        ("v1", "Version alias name 'v1' is reserved."),
        ("V12", "Version alias name 'V12' is reserved."),
        ("a b", "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and dashes (-)."),
        ("a/b", "Invalid alias name: 'a/b'."),
        ("a@b", "Invalid alias name: 'a@b'."),
        ("a\n", "Invalid alias name: 'a\n'."),
        ("x" * 256, "'Registered model alias name' exceeds the maximum length of 255 characters"),
    ],
)
async def test_an_invalid_alias_is_rejected(client: Client, model: str, alias: str, message: str) -> None:
    answer = await client.post("registered-models/alias", {"name": model, "alias": alias, "version": "1"})
    assert_invalid(answer, message)
    assert "aliases" not in await get(client, model)


async def test_an_alias_for_an_unknown_version_is_rejected(client: Client, model: str) -> None:
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "1"})
    for version in ("1", "9", "-1", "99999999999999999999"):
        answer = await client.post("registered-models/alias", {"name": model, "alias": "a", "version": version})
        assert_missing(answer, f"Model Version (name=model, version={version}) not found")
    answer = await client.post("registered-models/alias", {"name": model, "alias": "a", "version": "x"})
    assert_invalid(answer, "Parameter 'version' must be an integer, got 'x'.")
    answer = await client.post("registered-models/alias", {"name": model, "alias": "a", "version": 2})
    assert_invalid(answer, "Invalid value 2 for parameter 'version' supplied:")
    answer = await client.post("registered-models/alias", {"name": "none", "alias": "a", "version": "1"})
    assert_missing(answer, "Model Version (name=none, version=1) not found")


async def test_a_deleted_alias_is_unknown(client: Client, model: str) -> None:
    await set_alias(client, model, "champion", 1)
    for _ in range(2):
        assert await client.ok("DELETE", "registered-models/alias", {"name": model, "alias": "champion"}) == {}
    answer = await client.get("registered-models/alias", {"name": model, "alias": "champion"})
    assert_invalid(answer, "Registered model alias champion not found.")
    answer = await client.send("DELETE", "registered-models/alias", json={"name": model, "alias": "a/b"})
    assert_invalid(answer, "Invalid alias name: 'a/b'.")
    answer = await client.get("registered-models/alias", {"name": model, "alias": "a/b"})
    assert_invalid(answer, "Invalid alias name: 'a/b'.")


async def test_deleting_a_version_deletes_its_aliases(client: Client, model: str) -> None:
    await set_alias(client, model, "champion", 1)
    await set_alias(client, model, "other", 2)
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "1"})
    assert (await get(client, model))["aliases"] == [{"alias": "other", "version": "2"}]
