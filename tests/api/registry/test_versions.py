"""A model version's life: create, get, update, stages, delete, and its tags. The words are MLflow 3.17.2's."""

import asyncio
import json
from typing import Any

import pytest
from tests.api.registry.models import (
    PROMPT,
    SOURCE,
    add_version,
    assert_invalid,
    assert_missing,
    assert_refused,
    create,
    get,
    get_version,
    give_alias,
    missing,
    move,
    pairs,
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


async def test_a_created_version_is_what_get_returns(client: Client, model: str) -> None:
    run_link = "https://host/run"
    made = await add_version(client, model, run_id="r1", run_link=run_link, description="d", tags=pairs(k="v", e=""))
    assert await get_version(client, model, 1) == made
    changed = made["last_updated_timestamp"]
    assert made.pop("creation_timestamp") == made.pop("last_updated_timestamp") > 1_700_000_000_000
    assert made == {
        "name": model,
        "version": "1",
        "current_stage": "None",
        "description": "d",
        "source": SOURCE,
        "run_id": "r1",
        "status": "READY",
        "run_link": run_link,
        "tags": [{"key": "e", "value": ""}, {"key": "k", "value": "v"}],
    }
    assert (await get(client, model))["last_updated_timestamp"] == changed


async def test_what_a_version_lacks_is_empty(client: Client, model: str) -> None:
    made = await add_version(client, model)
    assert (made["description"], made["run_id"], made["run_link"]) == ("", "", "")
    assert not {"tags", "aliases", "user_id", "status_message"} & set(made)


async def test_versions_are_counted_and_no_number_comes_twice(client: Client, model: str) -> None:
    assert [(await add_version(client, model))["version"] for _ in range(3)] == ["1", "2", "3"]
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "3"})
    assert (await add_version(client, model))["version"] == "4"


async def test_versions_created_at_once_get_a_number_each(client: Client, model: str) -> None:
    made = await asyncio.gather(*(add_version(client, model, tags=pairs(k="v")) for _ in range(12)))
    assert sorted(int(version["version"]) for version in made) == list(range(1, 13))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": ""}, missing("name")),
        ({"source": ""}, missing("source")),
        ({"source": 3}, "Invalid value 3 for parameter 'source' supplied:"),
        ({"run_id": "x" * 33}, "'run_id' exceeds the maximum length of 32 characters"),
        ({"source": "s3://b/" + "x" * 500}, "'source' exceeds the maximum length of 500 characters"),
        ({"run_link": "https://h/" + "x" * 500}, "'run_link' exceeds the maximum length of 500 characters"),
        ({"run_link": "javascript:alert(1)"}, "Invalid run_link 'javascript:alert(1)'."),
        ({"run_link": " JavaScript:alert(1)"}, "It must be an http or https URL."),
        ({"description": "x" * 5001}, "'description' exceeds the maximum length of 5000 characters"),
        ({"tags": pairs(**{"": "x"})}, "This name would resolve to '.'"),
        ({"tags": pairs(k="x" * 100_001)}, "'value' exceeds the maximum length of 100000 characters"),
    ],
)
async def test_a_bad_version_leaves_nothing_behind(client: Client, model: str, body: dict[str, Any], told: str) -> None:
    before = await get(client, model)
    assert_invalid(await client.post("model-versions/create", {"name": model, "source": SOURCE, **body}), told)
    assert await get(client, model) == before


async def test_the_tags_of_a_version_hold_a_long_prompt(client: Client, model: str) -> None:
    made = await add_version(client, model, tags=[*pairs(k="first"), *pairs(k="é" * 100_000)])
    assert made["tags"] == pairs(k="é" * 100_000)


@pytest.mark.parametrize(
    ("version", "status", "told"),
    [
        ("", 400, missing("version")),
        ("abc", 400, "Parameter 'version' must be an integer, got 'abc'."),
        ("1.0", 400, "Parameter 'version' must be an integer, got '1.0'."),
        ("9", 404, "Model Version (name=model, version=9) not found"),
        ("-1", 404, "Model Version (name=model, version=-1) not found"),
        ("99999999999999999999", 404, "Model Version (name=model, version=99999999999999999999) not found"),
        ("2", 404, "Model Version (name=model, version=2) not found"),
    ],
)
async def test_a_version_that_there_is_not_is_refused_everywhere(
    client: Client, model: str, version: str, status: int, told: str
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
        assert_refused(await client.send(method, f"model-versions/{path}", **sent), status, code, told)
    assert await stages(client, model) == [("1", "None")]


async def test_a_number_may_be_written_with_zeros_or_spaces(client: Client, model: str) -> None:
    made = await add_version(client, model)
    for version in ("01", " 1", "1 "):
        assert await get_version(client, model, version) == made


async def test_a_versions_description_is_replaced_or_taken_away(client: Client, model: str) -> None:
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


async def test_a_version_moves_through_the_stages(client: Client, model: str) -> None:
    for _ in range(4):
        await add_version(client, model)
    moved = await move(client, model, 1, "staging")
    assert (moved["current_stage"], moved) == ("Staging", await get_version(client, model, 1))
    assert (await get(client, model))["last_updated_timestamp"] == moved["last_updated_timestamp"]
    await move(client, model, 2, "STAGING")
    await move(client, model, 3, "Staging", archive=True)
    assert await stages(client, model) == [("1", "Archived"), ("2", "Archived"), ("3", "Staging"), ("4", "None")]
    archived = await get_version(client, model, 1)
    assert archived["last_updated_timestamp"] == (await get_version(client, model, 3))["last_updated_timestamp"]
    await move(client, model, 3, "Production", archive=True)
    await move(client, model, 3, "Production", archive=True)
    await move(client, model, 4, "Archived")
    assert await stages(client, model) == [("1", "Archived"), ("2", "Archived"), ("3", "Production"), ("4", "Archived")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"stage": ""}, missing("stage")),
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
async def test_a_bad_stage_is_refused(client: Client, model: str, body: dict[str, Any], told: str) -> None:
    await add_version(client, model)
    body = {"name": model, "version": "1", "stage": "Staging", **body}
    assert_invalid(await client.post("model-versions/transition-stage", body), told)
    assert await stages(client, model) == [("1", "None")]


async def test_versions_moved_at_once_leave_one_in_the_stage(client: Client, model: str) -> None:
    for _ in range(6):
        await add_version(client, model)
    await asyncio.gather(*(move(client, model, number, "Production", archive=True) for number in range(1, 7)))
    assert [stage for _, stage in await stages(client, model)].count("Production") == 1


async def test_the_latest_version_of_each_stage(client: Client, model: str) -> None:
    for _ in range(5):
        await add_version(client, model, tags=pairs(k="v"))
    for number, stage in ((1, "Production"), (2, "Staging"), (3, "Production"), (4, "Archived")):
        await move(client, model, number, stage)
    await give_alias(client, model, "champion", 3)

    async def latest(**query: Any) -> list[tuple[str, str]]:
        asked = await client.ok("GET", "registered-models/get-latest-versions", query={"name": model, **query})
        posted = await client.ok("POST", "registered-models/get-latest-versions", {"name": model, **query})
        assert asked == posted
        return [(version["version"], version["current_stage"]) for version in asked.get("model_versions", [])]

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


async def test_a_deleted_version_leaves_its_number_only(client: Client, model: str, db: Db) -> None:
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


async def test_the_tags_of_a_version_are_set_replaced_and_taken_off(client: Client, model: str) -> None:
    made = await add_version(client, model, tags=pairs(a="1"))
    for key, value in (("a", "2"), ("b/c d", "é"), ("empty", "")):
        body = {"name": model, "version": "1", "key": key, "value": value}
        assert await client.ok("POST", "model-versions/set-tag", body) == {}
    assert (await get_version(client, model, 1))["tags"] == pairs(a="2", **{"b/c d": "é"}, empty="")
    for key in ("b/c d", "empty", "never"):
        body = {"name": model, "version": "1", "key": key}
        assert await client.ok("DELETE", "model-versions/delete-tag", body) == {}
    assert await get_version(client, model, 1) == {**made, "tags": pairs(a="2")}
    for body, told in (
        ({}, missing("key")),
        ({"key": "a$", "value": "x"}, "Invalid value \"a$\" for parameter 'key' supplied:"),
        ({"key": "k", "value": "x" * 100_001}, "'value' exceeds the maximum length of 100000 characters"),
    ):
        answer = await client.post("model-versions/set-tag", {"name": model, "version": "1", **body})
        assert_invalid(answer, told)


async def test_a_logged_model_knows_what_it_is_registered_as(client: Client, model: str) -> None:
    experiment_id = (await client.ok("POST", "experiments/create", {"name": "e"}))["experiment_id"]
    body = {"experiment_id": experiment_id, "source_run_id": "r1", "tags": pairs(**{"mlflow.modelVersions": "junk"})}
    info = (await client.ok("POST", "logged-models", body))["model"]["info"]
    model_id = info["model_id"]
    for source in (f"models:/{model_id}", info["artifact_uri"], SOURCE):
        made = await add_version(client, model, source, model_id=model_id)
        assert (made["source"], made["run_id"]) == (source, "r1")
    tags = (await client.ok("GET", f"logged-models/{model_id}"))["model"]["info"]["tags"]
    assert json.loads(tags[0]["value"]) == [{"name": model, "version": number} for number in (1, 2, 3)]


async def test_a_prompt_has_a_placeholder_for_a_source(client: Client, model: str) -> None:
    for source in ("dummy-source", "prompt-template"):
        assert (await add_version(client, model, source, tags=PROMPT))["source"] == source
    for source in (SOURCE, "/etc/passwd", "dummy-source/../x"):
        answer = await client.post("model-versions/create", {"name": model, "source": source, "tags": PROMPT})
        assert_invalid(answer, f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.")
    answer = await client.post("model-versions/create", {"name": model, "source": "dummy-source"})
    assert_invalid(answer, "Invalid model version source: 'dummy-source'. To use a local path")
