"""The search for experiments: filters, orders and pages. The messages are MLflow's."""

from typing import Any

import pytest
from tests.api.experiments.requests import assert_rejected, create, get
from tests.client import Client

from railtrack.db import Db


async def search(client: Client, **body: Any) -> list[str]:
    answer = await client.ok("POST", "experiments/search", {"max_results": 100, **body})
    return [experiment["name"] for experiment in answer.get("experiments", [])]


@pytest.fixture
async def library(client: Client, db: Db) -> Client:
    """Experiments a, A, b_c and b%c created one after the other, and a deleted one."""
    for number, (name, tags) in enumerate(
        [("a", {"t": "x"}), ("A", {"t": "X", "n.m": "1"}), ("b_c", {}), ("b%c", {"u": "é"}), ("gone", {"t": "x"})], 1
    ):
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        experiment_id = await create(client, name, tags=listed)
        async with db.write() as tx:
            await tx.execute(
                "UPDATE experiments SET creation_time = $2, last_update_time = $3 WHERE experiment_id = $1",
                int(experiment_id),
                number * 1000,
                number * 1000 if number < 3 else 9000,
            )
            if name == "gone":
                await tx.execute(
                    "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = $1", int(experiment_id)
                )
    return client


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"Default", "a", "A", "b_c", "b%c"}),
        ("name = 'a'", {"a"}),
        ("attribute.name = 'a'", {"a"}),
        ("`name` != 'a'", {"Default", "A", "b_c", "b%c"}),
        ("name LIKE 'b%'", {"b_c", "b%c"}),
        ("name LIKE 'A%'", {"A"}),
        ("name ILIKE 'A'", {"a", "A"}),
        ("creation_time >= 2000 AND creation_time < 4000", {"A", "b_c"}),
        ("creation_time > 99999999999999999999999", set()),
        ("last_update_time = 9000", {"b_c", "b%c"}),
        ("attributes.last_update_time = 9000", {"b_c", "b%c"}),
        ("tags.t = 'x'", {"a"}),
        ("tag.t != 'x'", {"A"}),
        ("tags.t ILIKE 'x'", {"a", "A"}),
        ("tags.n.m = '1'", {"A"}),
        ("tags.`n.m` = '1'", {"A"}),
        ("tags.t IS NULL", {"Default", "b_c", "b%c"}),
        ("tags.t IS NOT NULL AND tags.`n.m` IS NULL", {"a"}),
        ("experiment_id = '0'", {"Default"}),
        ("experiment_id IN ('0', '999999', '99999999999')", {"Default"}),
        ("experiment_id NOT IN ('0')", {"a", "A", "b_c", "b%c"}),
    ],
)
async def test_a_filter_selects_experiments(library: Client, text: str, names: set[str]) -> None:
    assert set(await search(library, filter=text)) == names


@pytest.mark.parametrize(
    ("order_by", "names"),
    [
        ([], ["Default", "b%c", "b_c", "A", "a"]),
        (["name"], ["A", "Default", "a", "b%c", "b_c"]),
        (["name DESC"], ["b_c", "b%c", "a", "Default", "A"]),
        (["attribute.creation_time asc"], ["a", "A", "b_c", "b%c", "Default"]),
        (["last_update_time"], ["a", "A", "b%c", "b_c", "Default"]),
        (["last_update_time", "experiment_id"], ["a", "A", "b_c", "b%c", "Default"]),
        (["experiment_id DESC", "name", "experiment_id ASC"], ["b%c", "b_c", "A", "a", "Default"]),
    ],
)
async def test_experiments_are_sorted_by_order_by(
    library: Client, engine: str, order_by: list[str], names: list[str]
) -> None:
    found = await search(library, order_by=order_by)
    if any(key.startswith("name") for key in order_by[:1]):
        # The collation was chosen when the PostgreSQL database was created.
        assert sorted(found) == sorted(names)
        assert engine == "postgresql" or found == names
    else:
        assert found == names


@pytest.mark.parametrize(
    ("view_type", "names"),
    [
        ("ACTIVE_ONLY", {"Default", "a", "A", "b_c", "b%c"}),
        ("DELETED_ONLY", {"gone"}),
        ("ALL", {"Default", "a", "A", "b_c", "b%c", "gone"}),
        (1, {"Default", "a", "A", "b_c", "b%c"}),
        (2, {"gone"}),
        (3, {"Default", "a", "A", "b_c", "b%c", "gone"}),
        (None, {"Default", "a", "A", "b_c", "b%c"}),
        ("LATER_ONLY", {"Default", "a", "A", "b_c", "b%c"}),
    ],
)
async def test_the_view_type_selects_active_or_deleted_experiments(
    library: Client, view_type: Any, names: set[str]
) -> None:
    assert set(await search(library, view_type=view_type)) == names


async def test_get_and_post_return_the_same(library: Client) -> None:
    query = {
        "max_results": "2",
        "view_type": "ALL",
        "filter": "name LIKE '%c'",
        "order_by": ["name DESC", "creation_time"],
    }
    found = await library.ok("GET", "experiments/search", query=query)
    posted = {**query, "max_results": 2}
    assert found == await library.ok("POST", "experiments/search", posted)
    assert {experiment["name"] for experiment in found["experiments"]} == {"b_c", "b%c"}
    assert (await library.get("/ajax-api/2.0/mlflow/experiments/search", query)).json == found


async def test_a_search_returns_complete_experiments(library: Client) -> None:
    found = await library.ok("POST", "experiments/search", {"max_results": 5, "filter": "name = 'b%c'"})
    assert found == {"experiments": [await get(library, found["experiments"][0]["experiment_id"])]}
    assert found["experiments"][0]["tags"] == [{"key": "u", "value": "é"}]


async def test_a_search_without_matches_returns_an_empty_object(client: Client) -> None:
    assert await client.ok("POST", "experiments/search", {"max_results": 5, "filter": "name = 'none'"}) == {}


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("order_by", [[], ["name"], ["last_update_time"], ["last_update_time DESC", "name DESC"]])
async def test_pages_return_every_experiment_once(library: Client, size: int, order_by: list[str]) -> None:
    found: list[str] = []
    token = ""
    while True:
        body = {"max_results": size, "order_by": order_by, "page_token": token}
        page = await library.ok("POST", "experiments/search", body)
        assert len(page["experiments"]) <= size
        found += [experiment["name"] for experiment in page["experiments"]]
        token = page.get("next_page_token", "")
        if not token:
            break
        assert len(page["experiments"]) == size
    assert found == await search(library, order_by=order_by)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": None}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50001}, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
        ({"max_results": "x", "order_by": 3}, "Invalid value \"x\" for parameter 'max_results' supplied:  Hint"),
        ({"order_by": 3, "filter": 3}, "Invalid value 3 for parameter 'order_by' supplied:  Hint"),
        ({"filter": "name = 'a' OR name = 'b'"}, "Invalid clause(s) in filter string: OR"),
        ({"filter": "zz", "order_by": ["yy"], "page_token": "x"}, "Invalid clause(s) in filter string: zz"),
        ({"order_by": ["yy"], "page_token": "x"}, "Invalid attribute key 'yy' specified. Valid keys are '{"),
        ({"page_token": "x"}, "Invalid page token, could not base64-decode"),
        (
            {"filter": "metrics.m > 1"},
            "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'attributes', 'tag', 'tags')",
        ),
        ({"filter": "attr.name = 'a'"}, "Invalid entity type 'attr'. Valid entity types are"),
        ({"filter": "Name = 'a'"}, "Invalid attribute key 'Name' specified. Valid keys are '{"),
        ({"filter": "name IS NULL"}, "IS NULL / IS NOT NULL is only supported for tags, not for attribute 'name'"),
        (
            {"filter": "name IN ('a')"},
            "Only ['experiment_id'] attributes support comparison with a list of quoted string",
        ),
        ({"filter": "name = exp-a"}, "Expected a quoted string value for attributes. Got value exp-a"),
        ({"filter": "creation_time > 1.5"}, "Invalid value for numeric attribute 'creation_time': '1.5'"),
        ({"filter": "experiment_id > '1'"}, "Invalid comparator for experiment_id: >"),
        ({"filter": "experiment_id = 'x'"}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        ({"filter": "tags.t > 'x'"}, "Invalid comparator for tag: >"),
        ({"filter": "tags.t IN ('x')"}, "Expected a quoted string value for tag (e.g. 'my-value'). Got value ('x')"),
        ({"order_by": ["tags.t"]}, "Invalid order_by entity: tag"),
        ({"order_by": ["name, experiment_id"]}, "Invalid order_by clause 'name, experiment_id'. Could not be parsed."),
        ({"order_by": ["name foo"]}, "Invalid ordering key in order_by clause 'name foo'."),
    ],
)
async def test_an_invalid_search_is_rejected_with_mlflows_message(
    client: Client, body: dict[str, Any], message: str
) -> None:
    answer = await client.post("experiments/search", {"max_results": 5, **body})
    assert_rejected(answer, 400, "INVALID_PARAMETER_VALUE", message)


async def test_a_token_of_another_search_is_rejected(library: Client) -> None:
    page = await library.ok("POST", "experiments/search", {"max_results": 1})
    for other in ({"filter": "name LIKE 'b%'"}, {"order_by": ["name"]}, {"view_type": "ALL"}):
        body = {"max_results": 1, "page_token": page["next_page_token"], **other}
        answer = await library.post("experiments/search", body)
        assert_rejected(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid page token, ")
