"""Searches for registered models and versions: filters, orders, pages and prompts. Messages are MLflow's."""

import asyncio
from typing import Any

import pytest
from tests.api.registry.models import (
    PROMPT,
    SOURCE,
    add_version,
    assert_invalid,
    create,
    get,
    get_version,
    pairs,
    set_alias,
    transition,
)
from tests.client import Client

MODELS = "registered-models/search"
VERSIONS = "model-versions/search"
PROMPT_TAG = "tags.`mlflow.prompt.is_prompt`"


@pytest.fixture
async def searched(client: Client) -> Client:
    """Create models alpha, Beta and gamma, and the prompt delta, with versions: alpha 1 and 2, Beta 1, delta 1.

    The versions are created in different milliseconds, since their order is tested.
    """
    await create(client, "alpha", tags=pairs(team="vision", **{"a b": "x", "mlflow.x.y": "z"}))
    await create(client, "Beta")
    await create(client, "gamma", tags=pairs(team="Speech", **{"mlflow.prompt.is_prompt": "false"}))
    await create(client, "delta", tags=[*PROMPT[:1], *pairs(team="vision")])
    await add_version(client, "alpha", run_id="r1", tags=pairs(k="v", **{"a b": "x"}))
    await asyncio.sleep(0.002)
    await add_version(client, "Beta", "s3://other/model", tags=pairs(k="V2"))
    await asyncio.sleep(0.002)
    await add_version(client, "alpha", run_id="r2")
    await asyncio.sleep(0.002)
    await add_version(client, "delta", "dummy-source", tags=[*PROMPT, *pairs(**{"mlflow.prompt.run_ids": "r1,r2"})])
    return client


async def names(client: Client, **query: Any) -> list[str]:
    answer = await client.ok("GET", MODELS, query=query)
    return [model["name"] for model in answer.get("registered_models", [])]


async def versions(client: Client, **query: Any) -> list[str]:
    answer = await client.ok("GET", VERSIONS, query=query)
    return [version["name"] + version["version"] for version in answer.get("model_versions", [])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Beta alpha gamma"),
        ("name = 'alpha'", "alpha"),
        ('name = "alpha"', "alpha"),
        ("attribute.name != 'alpha'", "Beta gamma"),
        ("name LIKE '%a'", "Beta alpha gamma"),
        ("name LIKE 'b%'", ""),
        ("name ILIKE 'b%'", "Beta"),
        ("name IN ('alpha', 'gamma', 'delta')", "alpha gamma"),
        ("name NOT IN ('alpha')", "Beta gamma"),
        ("tags.team = 'vision'", "alpha"),
        ("tag.team != 'vision'", "gamma"),
        ("tags.team ILIKE 's%'", "gamma"),
        ("tags.`a b` = 'x'", "alpha"),
        ('tags."a b" = "x"', "alpha"),
        ("tags.mlflow.x.y = 'z'", "alpha"),
        ("tags.`mlflow.x.y` = 'z'", "alpha"),
        ("tags.team = 'vision' AND name LIKE 'a%' AND tags.`a b` = 'x'", "alpha"),
        ("tags.nope != 'x'", ""),
    ],
)
async def test_models_that_match_a_filter_are_sorted_by_name(searched: Client, text: str, expected: str) -> None:
    assert await names(searched, filter=text) == expected.split()


@pytest.mark.parametrize(
    ("text", "models", "expected"),
    [
        (f"{PROMPT_TAG} = 'true'", "delta", "delta1"),
        ("tags.mlflow.prompt.is_prompt = 'true'", "delta", "delta1"),
        (f"{PROMPT_TAG} != 'false'", "delta", "delta1"),
        (f"{PROMPT_TAG} = 'True'", "", ""),
        (f"{PROMPT_TAG} = 'true' AND {PROMPT_TAG} = 'false'", "", ""),
        (f"{PROMPT_TAG} = 'true' AND name LIKE 'x%'", "", ""),
        (f"{PROMPT_TAG} != 'true'", "Beta alpha gamma", "alpha2 Beta1 alpha1"),
        (f"{PROMPT_TAG} = 'false'", "Beta alpha gamma", "alpha2 Beta1 alpha1"),
        (f"{PROMPT_TAG} = 'x'", "Beta alpha gamma", "alpha2 Beta1 alpha1"),
        (f"{PROMPT_TAG} LIKE 'tr%'", "Beta alpha gamma", "alpha2 Beta1 alpha1"),
        (f"{PROMPT_TAG} ILIKE 'TRUE' AND name = 'alpha'", "alpha", "alpha2 alpha1"),
    ],
)
async def test_prompts_are_included_only_if_the_filter_asks_for_them(
    searched: Client, text: str, models: str, expected: str
) -> None:
    assert await names(searched, filter=text) == models.split()
    assert await versions(searched, filter=text) == expected.split()


async def test_prompts_of_a_run_are_found_by_a_pattern_for_a_tag(searched: Client) -> None:
    pattern = f"{PROMPT_TAG} = 'true' AND tags.`mlflow.prompt.run_ids` ILIKE \"%{{}}%\""
    assert await versions(searched, filter=pattern.format("R2")) == ["delta1"]
    assert await versions(searched, filter=pattern.format("r3")) == []


async def test_a_model_with_a_prompt_version_is_excluded_from_versions(searched: Client) -> None:
    await add_version(searched, "alpha", "dummy-source", tags=PROMPT)
    assert await versions(searched) == ["Beta1"]
    assert await versions(searched, filter=f"{PROMPT_TAG} = 'true'", order_by="name") == ["alpha3", "delta1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "alpha2 Beta1 alpha1"),
        ("name = 'alpha'", "alpha2 alpha1"),
        ("attribute.name ILIKE 'BETA'", "Beta1"),
        ("name IN ('Beta', 'x')", "Beta1"),
        ("run_id = 'r1'", "alpha1"),
        ("run_id != 'r1'", "alpha2 Beta1"),
        ("run_id IN ('r1', 'r2')", "alpha2 alpha1"),
        ("run_id LIKE 'r%'", "alpha2 alpha1"),
        ("run_id = ''", "Beta1"),
        (f"source_path = '{SOURCE}'", "alpha2 alpha1"),
        ("source_path ILIKE 'S3://OTHER%'", "Beta1"),
        ("version_number = 2", "alpha2"),
        ("version_number >= '2'", "alpha2"),
        ("version_number != 1 AND version_number < 10", "alpha2"),
        ("tags.k = 'v'", "alpha1"),
        ("tag.k ILIKE 'v%'", "Beta1 alpha1"),
        ("tags.`a b` = 'x'", "alpha1"),
        ("name = 'alpha' AND run_id = 'r1' AND tags.k = 'v'", "alpha1"),
    ],
)
async def test_versions_that_match_a_filter_are_sorted_by_last_update(
    searched: Client, text: str, expected: str
) -> None:
    assert await versions(searched, filter=text) == expected.split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", "Invalid clause(s) in filter string: name"),
        ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: OR"),
        ("name > 'a'", "Invalid comparator for attribute: >"),
        ("name == 'a'", "Invalid comparator for attribute: =="),
        (
            "name = alpha",
            "Parameter value is either not quoted or unidentified quote types used for string value alpha.",
        ),
        (
            "name = NULL",
            "Expected a quoted string value or a list of quoted string values for attributes. Got value NULL",
        ),
        (
            "attributes.name = 'a'",
            "Invalid entity type 'attributes'. Valid entity types are ('attribute', 'tag', 'tags')",
        ),
        ("tags.team > 'a'", "Invalid comparator for tag: >"),
        ("tags.team IN ('a')", "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('a')"),
        (f"{PROMPT_TAG} > 'a'", "Invalid comparator for tag: >"),
        (f"{PROMPT_TAG} = 3", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 3"),
        ("status = 'READY'", "Invalid attribute key 'status' specified. Valid keys are"),
        ("name IN ()", "expected a non-empty list of string values, but got empty list"),
        ("tags.team IS NULL", "IS NULL / IS NOT NULL is not supported for "),
        ("  ", "Invalid filter '  '. Could not be parsed."),
    ],
)
@pytest.mark.parametrize("path", [MODELS, VERSIONS])
async def test_an_invalid_filter_is_rejected(client: Client, path: str, text: str, message: str) -> None:
    assert_invalid(await client.get(path, {"filter": text}), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version_number = 1.5", "Invalid value for numeric attribute 'version_number'"),
        ("version_number = 'x'", "Expected numeric value type for numeric attribute: version_number. Found 'x'"),
        ("version_number LIKE '1'", "Invalid comparator for attribute: LIKE"),
        ("source_path IN ('x')", "Only ['name', 'run_id'] attributes support comparison with a list of quoted string"),
    ],
)
async def test_a_filter_of_versions_is_type_checked(client: Client, text: str, message: str) -> None:
    assert_invalid(await client.get(VERSIONS, {"filter": text}), message)


async def test_a_search_returns_complete_models(searched: Client) -> None:
    await transition(searched, "alpha", 1, "Production")
    await set_alias(searched, "alpha", "champion", 1)
    answer = await searched.ok("GET", MODELS)
    assert answer == {"registered_models": [await get(searched, name) for name in ("Beta", "alpha", "gamma")]}
    alpha = answer["registered_models"][1]
    assert [version["version"] for version in alpha["latest_versions"]] == ["1", "2"]
    assert alpha["aliases"] == [{"alias": "champion", "version": "1"}]


async def test_a_search_returns_complete_versions_without_aliases(searched: Client) -> None:
    await set_alias(searched, "alpha", "champion", 1)
    version = await get_version(searched, "alpha", 1)
    assert version.pop("aliases") == ["champion"]
    assert await searched.ok("GET", VERSIONS, query={"filter": "run_id = 'r1'"}) == {"model_versions": [version]}


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("name", "Beta alpha gamma"),
        ("name DESC", "gamma alpha Beta"),
        ("attribute.name desc", "gamma alpha Beta"),
        ("timestamp", "gamma Beta alpha"),
        ("last_updated_timestamp DESC", "alpha Beta gamma"),
        (["timestamp DESC", "name"], "alpha Beta gamma"),
    ],
)
async def test_models_are_sorted_by_order_by(searched: Client, order_by: Any, expected: str) -> None:
    assert await names(searched, order_by=order_by) == expected.split()


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("name", "Beta1 alpha2 alpha1"),
        ("name DESC", "alpha2 alpha1 Beta1"),
        ("version_number", "Beta1 alpha1 alpha2"),
        ("version_number DESC", "alpha2 Beta1 alpha1"),
        ("attributes.version_number DESC", "alpha2 Beta1 alpha1"),
        ("creation_timestamp", "alpha1 Beta1 alpha2"),
        ("last_updated_timestamp DESC", "alpha2 Beta1 alpha1"),
        (["version_number", "name DESC"], "alpha1 Beta1 alpha2"),
    ],
)
async def test_versions_are_sorted_by_order_by_across_pages(searched: Client, order_by: Any, expected: str) -> None:
    assert await versions(searched, order_by=order_by) == expected.split()
    token, one_by_one = "", []
    for _ in range(3):
        query = {"order_by": order_by, "max_results": 1, "page_token": token}
        page = await searched.ok("GET", VERSIONS, query=query)
        one_by_one += [version["name"] + version["version"] for version in page["model_versions"]]
        token = page.get("next_page_token", "")
    assert (one_by_one, token) == (expected.split(), "")


@pytest.mark.parametrize(
    ("path", "order_by", "message"),
    [
        (MODELS, "description", "Invalid order by key 'description' specified. Valid keys are"),
        (MODELS, "tags.team", "cannot be ordered by a tag"),
        (MODELS, "name UP", "Invalid ordering key in order_by clause 'name UP'."),
        (MODELS, "name; DROP TABLE x", "Invalid order_by clause 'name; DROP TABLE x'. Could not be parsed."),
        (MODELS, ["name", "name DESC"], "`order_by` contains duplicate fields: ['name', 'name DESC']"),
        (VERSIONS, "run_id", "Invalid attribute key 'run_id' specified. Valid keys are"),
        (MODELS, "attributes.name", "Invalid entity type 'attributes'."),
        (VERSIONS, "attributes.run_id", "Invalid attribute key 'run_id' specified. Valid keys are"),
        (VERSIONS, "tags.k", "cannot be ordered by a tag"),
    ],
)
async def test_an_invalid_order_by_is_rejected(client: Client, path: str, order_by: Any, message: str) -> None:
    assert_invalid(await client.get(path, {"order_by": order_by}), message)


@pytest.mark.parametrize(
    ("path", "limit"),
    [(MODELS, 1000), (VERSIONS, 200_000)],
)
async def test_max_results_is_limited(client: Client, path: str, limit: int) -> None:
    assert await client.ok("GET", path, query={"max_results": limit}) == {}
    for wrong, message in (
        (limit + 1, f"Invalid value \"{limit + 1}\" for parameter 'max_results' supplied:"),
        (0, "Invalid value for max_results. It must be a positive integer, but got 0"),
        (-1, "Invalid value for max_results. It must be a positive integer, but got -1"),
        ("x", "Invalid value \"x\" for parameter 'max_results' supplied:"),
    ):
        assert_invalid(await client.get(path, {"max_results": wrong}), message)


async def test_the_default_page_has_100_models(client: Client) -> None:
    for number in range(101):
        await create(client, f"m{number:03}")
    page = await client.ok("GET", MODELS)
    assert len(page["registered_models"]) == 100
    rest = await client.ok("GET", MODELS, query={"page_token": page["next_page_token"]})
    assert [model["name"] for model in rest["registered_models"]] == ["m100"]
    assert len(await names(client, max_results=101)) == 101


async def test_a_page_token_of_another_search_is_rejected(searched: Client) -> None:
    for path in (MODELS, VERSIONS):
        token = (await searched.ok("GET", path, query={"max_results": 1}))["next_page_token"]
        for more in ({"filter": "name LIKE '%'"}, {"order_by": "name DESC"}):
            answer = await searched.get(path, {"max_results": 1, "page_token": token, **more})
            assert_invalid(answer, "Invalid page token")
        assert_invalid(await searched.get(path, {"page_token": "nonsense"}), "Invalid page token")


async def test_deleted_versions_are_excluded(searched: Client) -> None:
    await searched.ok("DELETE", "model-versions/delete", {"name": "alpha", "version": "2"})
    assert await versions(searched) == ["Beta1", "alpha1"]
    assert await versions(searched, filter="run_id LIKE 'REDACTED%'") == []
