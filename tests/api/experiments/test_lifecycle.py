"""Experiments: create, get, search, update, delete, restore, and their tags. The words are MLflow 3.17.2's."""

import asyncio
from typing import Any

import pytest
from tests.client import Answer, Client

from railtrack.db import Db


async def create(client: Client, name: str, **more: Any) -> str:
    answer = await client.ok("POST", "experiments/create", {"name": name, **more})
    experiment_id: str = answer["experiment_id"]
    return experiment_id


async def get(client: Client, experiment_id: str) -> dict[str, Any]:
    answer = await client.ok("GET", "experiments/get", query={"experiment_id": experiment_id})
    experiment: dict[str, Any] = answer["experiment"]
    return experiment


def assert_refused(answer: Answer, status: int, code: str, told: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.text
    assert told in answer.json["message"]


def missing(name: str) -> str:
    return f"Missing value for required parameter '{name}'. See the API docs for more information"


async def test_a_created_experiment_is_what_get_returns(client: Client) -> None:
    tags = [{"key": "b", "value": "1"}, {"key": "é", "value": "ü\n"}, {"key": "empty"}]
    experiment_id = await create(client, "first ü", tags=tags)
    experiment = await get(client, experiment_id)
    times = {name: experiment.pop(name) for name in ("creation_time", "last_update_time")}
    assert times["creation_time"] == times["last_update_time"] > 1_700_000_000_000
    assert sorted(experiment.pop("tags"), key=lambda tag: str(tag["key"])) == [
        {"key": "b", "value": "1"},
        {"key": "empty", "value": ""},
        {"key": "é", "value": "ü\n"},
    ]
    assert experiment == {
        "experiment_id": experiment_id,
        "name": "first ü",
        "artifact_location": f"mlflow-artifacts:/{experiment_id}",
        "lifecycle_stage": "active",
        "workspace": "default",
    }


async def test_an_experiment_without_tags_has_no_such_field(client: Client) -> None:
    assert "tags" not in await get(client, await create(client, "plain"))


async def test_the_first_experiment_is_there_from_the_start(client: Client) -> None:
    assert (await get(client, "0"))["name"] == "Default"


async def test_an_experiment_is_found_by_its_exact_name(client: Client) -> None:
    experiment_id = await create(client, "Name")
    found = await client.ok("GET", "experiments/get-by-name", query={"experiment_name": "Name"})
    assert found == {"experiment": await get(client, experiment_id)}
    answer = await client.get("experiments/get-by-name", {"experiment_name": "name"})
    assert_refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'name'")
    answer = await client.get("experiments/get-by-name", {"name": "Name"})
    assert_refused(answer, 400, "INVALID_PARAMETER_VALUE", missing("experiment_name"))


@pytest.mark.parametrize(
    ("experiment_id", "status", "told"),
    [
        ("", 400, missing("experiment_id")),
        ("nope", 400, "Invalid experiment ID 'nope'. Experiment ID must be a valid integer."),
        ("1.0", 400, "Invalid experiment ID '1.0'. Experiment ID must be a valid integer."),
        ("1; DROP TABLE runs", 400, "Invalid experiment ID"),
        ("٣", 400, "Invalid experiment ID"),
        ("\0", 400, "NUL"),
        ("999999", 404, "No Experiment with id=999999 exists"),
        ("99999999999999999999", 404, "No Experiment with id=99999999999999999999 exists"),
        ("-1", 404, "No Experiment with id=-1 exists"),
        ("-99999999999", 404, "No Experiment with id=-99999999999 exists"),
    ],
)
async def test_an_id_that_names_no_experiment_is_refused_everywhere(
    client: Client, experiment_id: str, status: int, told: str
) -> None:
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    assert_refused(await client.get("experiments/get", {"experiment_id": experiment_id}), status, code, told)
    for path, more in (
        ("delete", {}),
        ("restore", {}),
        ("update", {"new_name": "x"}),
        ("set-experiment-tag", {"key": "k", "value": "v"}),
        ("delete-experiment-tag", {"key": "k"}),
    ):
        answer = await client.post(f"experiments/{path}", {"experiment_id": experiment_id, **more})
        assert_refused(answer, status, code, told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, missing("name")),
        ({"name": ""}, missing("name")),
        ({"tags": 3}, missing("name")),
        (
            {"name": 3, "artifact_location": 3},
            "Invalid value 3 for parameter 'name' supplied:  Hint: Value was of type",
        ),
        ({"name": "n", "artifact_location": 3, "tags": 3}, "Invalid value 3 for parameter 'artifact_location'"),
        ({"name": "n", "tags": 3}, "Invalid value 3 for parameter 'tags'"),
        ({"name": "n" * 501}, "'name' exceeds the maximum length of 500 characters"),
        ({"name": "n\0"}, "NUL"),
        ({"name": "n", "tags": [{}]}, "Invalid value \"\" for parameter 'key' supplied: Names may be treated as files"),
        ({"name": "n", "tags": [{"key": "a@b"}]}, "Names may only contain alphanumerics"),
        ({"name": "n", "tags": [{"key": "a/../b"}]}, "This name would resolve to 'b'"),
        ({"name": "n", "tags": [{"key": "k" * 251}]}, "'key' exceeds the maximum length of 250 characters"),
        ({"name": "n", "tags": [{"key": "k", "value": "v" * 20001}]}, "'value' exceeds the maximum length of 20000"),
        ({"name": "n", "tags": [{"key": "k"}, {"key": "k"}]}, "Duplicate tag key 'k'"),
        ({"name": "n", "tags": [{"key": f"k{number}"} for number in range(1001)]}, "at most 1000 tags"),
        # Which complaint comes first: the location, the name's length, the tags.
        ({"name": "n" * 501, "artifact_location": "s3://b#f", "tags": [{"key": "@"}]}, "'artifact_location' URL can't"),
        ({"name": "n" * 501, "tags": [{"key": "@"}]}, "'name' exceeds"),
    ],
)
async def test_a_wrong_creation_makes_no_experiment(client: Client, db: Db, body: dict[str, Any], told: str) -> None:
    assert_refused(await client.post("experiments/create", body), 400, "INVALID_PARAMETER_VALUE", told)
    assert await db.fetch_value("SELECT count(*) FROM experiments") == 1
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0


async def test_the_longest_tags_are_kept_whole(client: Client) -> None:
    experiment_id = await create(client, "n" * 256, tags=[{"key": "k" * 250, "value": "v" * 20_000}])
    assert (await get(client, experiment_id))["tags"] == [{"key": "k" * 250, "value": "v" * 20_000}]


async def test_an_artifact_location_is_checked_and_kept(client: Client, db: Db) -> None:
    experiment_id = await create(client, "located", artifact_location="s3://bucket/x")
    assert (await get(client, experiment_id))["artifact_location"] == "s3://bucket/x"
    blank = await create(client, "blank", artifact_location=" ")
    assert (await get(client, blank))["artifact_location"] == f"mlflow-artifacts:/{blank}"
    answer = await client.post("experiments/create", {"name": "n", "artifact_location": "s3://bucket/x/../y"})
    assert_refused(answer, 400, "INVALID_PARAMETER_VALUE", "can't include '..' segments")
    assert await db.fetch_value("SELECT count(*) FROM experiments") == 3


async def test_a_name_is_taken_once_also_by_a_deleted_experiment(client: Client, db: Db) -> None:
    experiment_id = await create(client, "taken")
    for _ in range(2):
        answer = await client.post("experiments/create", {"name": "taken", "tags": [{"key": "k"}]})
        assert_refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=taken) already exists.")
        await client.post("experiments/delete", {"experiment_id": experiment_id})
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0
    assert await create(client, "Taken") != experiment_id


async def test_of_many_creations_of_one_name_at_once_one_wins(client: Client, db: Db) -> None:
    answers = await asyncio.gather(*(client.post("experiments/create", {"name": "one"}) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 11
    assert {answer.json.get("error_code") for answer in answers} == {None, "RESOURCE_ALREADY_EXISTS"}
    assert await db.fetch_value("SELECT count(*) FROM experiments WHERE name = 'one'") == 1


async def test_an_update_renames_and_counts_as_one(client: Client) -> None:
    experiment_id = await create(client, "old")
    before = await get(client, experiment_id)
    await asyncio.sleep(0.002)
    assert await client.ok("POST", "experiments/update", {"experiment_id": experiment_id, "new_name": "new"}) == {}
    after = await get(client, experiment_id)
    assert after.pop("last_update_time") > before.pop("last_update_time")
    assert after == {**before, "name": "new"}


async def test_an_update_to_its_own_name_is_fine(client: Client) -> None:
    experiment_id = await create(client, "same")
    assert await client.ok("POST", "experiments/update", {"experiment_id": experiment_id, "new_name": "same"}) == {}


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"new_name": ""}, "INVALID_PARAMETER_VALUE", missing("new_name")),
        ({"new_name": None}, "INVALID_PARAMETER_VALUE", missing("new_name")),
        ({"new_name": 3}, "INVALID_PARAMETER_VALUE", "Invalid value 3 for parameter 'new_name'"),
        ({"new_name": "x", "experiment_id": 3}, "INVALID_PARAMETER_VALUE", "Invalid value 3 for parameter"),
        ({"new_name": "n" * 501}, "INVALID_PARAMETER_VALUE", "'name' exceeds the maximum length of 500 characters"),
        ({"new_name": "Default"}, "RESOURCE_ALREADY_EXISTS", "Experiment(name=Default) already exists."),
    ],
)
async def test_a_wrong_update_changes_nothing(client: Client, change: dict[str, Any], code: str, told: str) -> None:
    experiment_id = await create(client, "still")
    before = await get(client, experiment_id)
    answer = await client.post("experiments/update", {"experiment_id": experiment_id, **change})
    assert_refused(answer, 400, code, told)
    assert await get(client, experiment_id) == before


async def test_deleting_takes_the_runs_along_and_restoring_brings_all_back(client: Client, db: Db) -> None:
    experiment_id = await create(client, "going")
    runs = [
        (await client.ok("POST", "runs/create", {"experiment_id": experiment_id}))["run"]["info"]["run_id"]
        for _ in range(2)
    ]
    elsewhere = (await client.ok("POST", "runs/create", {"experiment_id": "0"}))["run"]["info"]["run_id"]
    await client.ok("POST", "runs/delete", {"run_id": runs[1]})
    created = await get(client, experiment_id)
    await asyncio.sleep(0.002)

    assert await client.ok("POST", "experiments/delete", {"experiment_id": experiment_id}) == {}
    deleted = await get(client, experiment_id)
    assert deleted["lifecycle_stage"] == "deleted"
    assert deleted["last_update_time"] > created["last_update_time"]
    assert await _stages(db) == {runs[0]: "deleted", runs[1]: "deleted", elsewhere: "active"}
    assert await db.fetch_value("SELECT count(*) FROM runs WHERE deleted_time > 0") == 2

    assert await client.ok("POST", "experiments/restore", {"experiment_id": experiment_id}) == {}
    assert (await get(client, experiment_id))["lifecycle_stage"] == "active"
    assert await _stages(db) == {runs[0]: "active", runs[1]: "active", elsewhere: "active"}
    assert await db.fetch_value("SELECT count(*) FROM runs WHERE deleted_time IS NOT NULL") == 0


async def _stages(db: Db) -> dict[str, str]:
    rows = await db.fetch("SELECT run_uuid, lifecycle_stage FROM runs")
    return {row[0]: row[1] for row in rows}


async def test_a_deleted_experiment_refuses_changes(client: Client) -> None:
    experiment_id = await create(client, "gone", tags=[{"key": "k", "value": "v"}])
    await client.ok("POST", "experiments/delete", {"experiment_id": experiment_id})
    before = await get(client, experiment_id)
    name = await client.ok("GET", "experiments/get-by-name", query={"experiment_name": "gone"})
    assert name["experiment"] == before

    inactive = f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted."
    for path, more, status, code, told in (
        ("delete", {}, 404, "RESOURCE_DOES_NOT_EXIST", f"No Experiment with id={experiment_id} exists"),
        ("update", {"new_name": "x"}, 400, "INVALID_STATE", "Cannot rename a non-active experiment."),
        ("set-experiment-tag", {"key": "k", "value": "w"}, 400, "INVALID_PARAMETER_VALUE", inactive),
        ("delete-experiment-tag", {"key": "k"}, 400, "INVALID_PARAMETER_VALUE", inactive),
    ):
        answer = await client.post(f"experiments/{path}", {"experiment_id": experiment_id, **more})
        assert_refused(answer, status, code, told)
    assert await get(client, experiment_id) == before


async def test_an_active_experiment_cannot_be_restored(client: Client) -> None:
    answer = await client.post("experiments/restore", {"experiment_id": "0"})
    assert_refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=0 exists")


async def test_tags_are_set_changed_and_taken_off_without_an_update(client: Client) -> None:
    experiment_id = await create(client, "tagged")
    before = await get(client, experiment_id)
    for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
        body = {"experiment_id": experiment_id, "key": key, "value": value}
        assert await client.ok("POST", "experiments/set-experiment-tag", body) == {}
    assert await client.ok("POST", "experiments/set-experiment-tag", {"experiment_id": experiment_id, "key": "b"}) == {}
    tags = [{"key": "a", "value": "3"}, {"key": "b", "value": ""}]
    after = await get(client, experiment_id)
    assert sorted(after.pop("tags"), key=lambda tag: str(tag["key"])) == tags
    assert after == before

    body = {"experiment_id": experiment_id, "key": "a"}
    assert await client.ok("POST", "experiments/delete-experiment-tag", body) == {}
    assert (await get(client, experiment_id))["tags"] == tags[1:]
    answer = await client.post("experiments/delete-experiment-tag", body)
    told = f"No tag with name: a in experiment with id {experiment_id}"
    assert_refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", told)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"key": None}, missing("key")),
        ({"key": ""}, missing("key")),
        ({"key": 3}, "Invalid value 3 for parameter 'key'"),
        ({"key": "k", "value": 3}, "Invalid value 3 for parameter 'value'"),
        ({"key": "a@b"}, "Names may only contain alphanumerics"),
        ({"key": "a@b", "experiment_id": "nope"}, "Names may only contain alphanumerics"),
        ({"key": "a/./b"}, "This name would resolve to 'a/b'"),
        ({"key": "k" * 251}, "'key' exceeds the maximum length of 250 characters"),
        ({"key": "k", "value": "v" * 20_001}, "'value' exceeds the maximum length of 20000 characters"),
    ],
)
async def test_a_wrong_tag_is_refused(client: Client, db: Db, body: dict[str, Any], told: str) -> None:
    answer = await client.post("experiments/set-experiment-tag", {"experiment_id": "0", "value": "v", **body})
    assert_refused(answer, 400, "INVALID_PARAMETER_VALUE", told)
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0


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
        ("name LIKE 'b\\_%'", {"b_c"}),
        ("name LIKE 'A%'", {"A"}),
        ("name ILIKE 'A'", {"a", "A"}),
        ("creation_time >= 2000 AND creation_time < 4000", {"A", "b_c"}),
        ("creation_time > 99999999999999999999999", set()),
        ("last_update_time = 9000", {"b_c", "b%c"}),
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
async def test_a_filter_picks_experiments(library: Client, text: str, names: set[str]) -> None:
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
async def test_experiments_come_in_the_order_asked_for(
    library: Client, engine: str, order_by: list[str], names: list[str]
) -> None:
    found = await search(library, order_by=order_by)
    if any(key.startswith("name") for key in order_by[:1]):
        # How a PostgreSQL sorts texts is the choice of whoever created its database.
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
async def test_the_view_type_decides_on_deleted_ones(library: Client, view_type: Any, names: set[str]) -> None:
    assert set(await search(library, view_type=view_type)) == names


async def test_a_get_searches_as_a_post_does(library: Client) -> None:
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


async def test_a_found_experiment_is_complete(library: Client) -> None:
    found = await library.ok("POST", "experiments/search", {"max_results": 5, "filter": "name = 'b%c'"})
    assert found == {"experiments": [await get(library, found["experiments"][0]["experiment_id"])]}
    assert found["experiments"][0]["tags"] == [{"key": "u", "value": "é"}]


async def test_nothing_found_is_an_empty_object(client: Client) -> None:
    assert await client.ok("POST", "experiments/search", {"max_results": 5, "filter": "name = 'none'"}) == {}


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("order_by", [[], ["name"], ["last_update_time"], ["last_update_time DESC", "name DESC"]])
async def test_pages_give_every_experiment_once(library: Client, size: int, order_by: list[str]) -> None:
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
    ("body", "told"),
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
            "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')",
        ),
        ({"filter": "attributes.name = 'a'"}, "Invalid entity type 'attributes'. Valid entity types are"),
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
async def test_a_search_that_is_wrong_is_refused_in_mlflows_words(
    client: Client, body: dict[str, Any], told: str
) -> None:
    answer = await client.post("experiments/search", {"max_results": 5, **body})
    assert_refused(answer, 400, "INVALID_PARAMETER_VALUE", told)


async def test_a_token_of_another_search_is_refused(library: Client) -> None:
    page = await library.ok("POST", "experiments/search", {"max_results": 1})
    for other in ({"filter": "name LIKE 'b%'"}, {"order_by": ["name"]}, {"view_type": "ALL"}):
        body = {"max_results": 1, "page_token": page["next_page_token"], **other}
        answer = await library.post("experiments/search", body)
        assert_refused(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid page token, ")
