"""Experiments: create, get, update, delete and restore. The messages are MLflow's."""

import asyncio
from typing import Any

import pytest
from tests.api.experiments.requests import assert_rejected, create, get, missing
from tests.client import Client

from railtrack.db import Db


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


async def test_the_default_experiment_exists_from_the_start(client: Client) -> None:
    assert (await get(client, "0"))["name"] == "Default"


async def test_an_experiment_is_found_by_its_exact_name(client: Client) -> None:
    experiment_id = await create(client, "Name")
    found = await client.ok("GET", "experiments/get-by-name", query={"experiment_name": "Name"})
    assert found == {"experiment": await get(client, experiment_id)}
    answer = await client.get("experiments/get-by-name", {"experiment_name": "name"})
    assert_rejected(answer, 404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'name'")
    answer = await client.get("experiments/get-by-name", {"name": "Name"})
    assert_rejected(answer, 400, "INVALID_PARAMETER_VALUE", missing("experiment_name"))


@pytest.mark.parametrize(
    ("experiment_id", "status", "message"),
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
async def test_an_invalid_experiment_id_is_rejected_everywhere(
    client: Client, experiment_id: str, status: int, message: str
) -> None:
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    assert_rejected(await client.get("experiments/get", {"experiment_id": experiment_id}), status, code, message)
    for path, more in (
        ("delete", {}),
        ("restore", {}),
        ("update", {"new_name": "x"}),
        ("set-experiment-tag", {"key": "k", "value": "v"}),
        ("delete-experiment-tag", {"key": "k"}),
    ):
        answer = await client.post(f"experiments/{path}", {"experiment_id": experiment_id, **more})
        assert_rejected(answer, status, code, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, missing("name")),
        ({"name": ""}, missing("name")),
        ({"name": " \t"}, "Invalid experiment name: ' \t'"),
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
async def test_an_invalid_request_creates_no_experiment(
    client: Client, db: Db, body: dict[str, Any], message: str
) -> None:
    assert_rejected(await client.post("experiments/create", body), 400, "INVALID_PARAMETER_VALUE", message)
    assert await db.fetch_value("SELECT count(*) FROM experiments") == 1
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0


async def test_the_longest_tags_are_stored_completely(client: Client) -> None:
    experiment_id = await create(client, "n" * 256, tags=[{"key": "k" * 250, "value": "v" * 20_000}])
    assert (await get(client, experiment_id))["tags"] == [{"key": "k" * 250, "value": "v" * 20_000}]


async def test_an_artifact_location_is_validated_and_stored(client: Client, db: Db) -> None:
    experiment_id = await create(client, "located", artifact_location="s3://bucket/x")
    assert (await get(client, experiment_id))["artifact_location"] == "s3://bucket/x"
    blank = await create(client, "blank", artifact_location=" ")
    assert (await get(client, blank))["artifact_location"] == f"mlflow-artifacts:/{blank}"
    answer = await client.post("experiments/create", {"name": "n", "artifact_location": "s3://bucket/x/../y"})
    assert_rejected(answer, 400, "INVALID_PARAMETER_VALUE", "can't include '..' segments")
    assert await db.fetch_value("SELECT count(*) FROM experiments") == 3


async def test_names_are_unique_also_among_deleted_experiments(client: Client, db: Db) -> None:
    experiment_id = await create(client, "taken")
    for _ in range(2):
        answer = await client.post("experiments/create", {"name": "taken", "tags": [{"key": "k"}]})
        assert_rejected(answer, 400, "RESOURCE_ALREADY_EXISTS", "Experiment(name=taken) already exists.")
        await client.post("experiments/delete", {"experiment_id": experiment_id})
    assert await db.fetch_value("SELECT count(*) FROM experiment_tags") == 0
    assert await create(client, "Taken") != experiment_id


async def test_one_of_concurrent_requests_creates_a_name(client: Client, db: Db) -> None:
    answers = await asyncio.gather(*(client.post("experiments/create", {"name": "one"}) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 11
    assert {answer.json.get("error_code") for answer in answers} == {None, "RESOURCE_ALREADY_EXISTS"}
    assert await db.fetch_value("SELECT count(*) FROM experiments WHERE name = 'one'") == 1


async def test_an_update_renames_and_sets_the_update_time(client: Client) -> None:
    experiment_id = await create(client, "old")
    before = await get(client, experiment_id)
    await asyncio.sleep(0.002)
    assert await client.ok("POST", "experiments/update", {"experiment_id": experiment_id, "new_name": "new"}) == {}
    after = await get(client, experiment_id)
    assert after.pop("last_update_time") > before.pop("last_update_time")
    assert after == {**before, "name": "new"}


async def test_an_update_to_the_same_name_is_accepted(client: Client) -> None:
    experiment_id = await create(client, "same")
    assert await client.ok("POST", "experiments/update", {"experiment_id": experiment_id, "new_name": "same"}) == {}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"new_name": ""}, "INVALID_PARAMETER_VALUE", missing("new_name")),
        ({"new_name": " "}, "INVALID_PARAMETER_VALUE", "Invalid experiment name: ' '"),
        ({"new_name": None}, "INVALID_PARAMETER_VALUE", missing("new_name")),
        ({"new_name": 3}, "INVALID_PARAMETER_VALUE", "Invalid value 3 for parameter 'new_name'"),
        ({"new_name": "x", "experiment_id": 3}, "INVALID_PARAMETER_VALUE", "Invalid value 3 for parameter"),
        ({"new_name": "n" * 501}, "INVALID_PARAMETER_VALUE", "'name' exceeds the maximum length of 500 characters"),
        ({"new_name": "Default"}, "RESOURCE_ALREADY_EXISTS", "Experiment(name=Default) already exists."),
    ],
)
async def test_an_invalid_update_changes_nothing(
    client: Client, change: dict[str, Any], code: str, message: str
) -> None:
    experiment_id = await create(client, "still")
    before = await get(client, experiment_id)
    answer = await client.post("experiments/update", {"experiment_id": experiment_id, **change})
    assert_rejected(answer, 400, code, message)
    assert await get(client, experiment_id) == before


async def test_delete_and_restore_include_all_runs(client: Client, db: Db) -> None:
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


async def test_a_deleted_experiment_rejects_changes(client: Client) -> None:
    experiment_id = await create(client, "gone", tags=[{"key": "k", "value": "v"}])
    await client.ok("POST", "experiments/delete", {"experiment_id": experiment_id})
    before = await get(client, experiment_id)
    name = await client.ok("GET", "experiments/get-by-name", query={"experiment_name": "gone"})
    assert name["experiment"] == before

    inactive = f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted."
    for path, more, status, code, message in (
        ("delete", {}, 404, "RESOURCE_DOES_NOT_EXIST", f"No Experiment with id={experiment_id} exists"),
        ("update", {"new_name": "x"}, 400, "INVALID_STATE", "Cannot rename a non-active experiment."),
        ("set-experiment-tag", {"key": "k", "value": "w"}, 400, "INVALID_PARAMETER_VALUE", inactive),
        ("delete-experiment-tag", {"key": "k"}, 400, "INVALID_PARAMETER_VALUE", inactive),
    ):
        answer = await client.post(f"experiments/{path}", {"experiment_id": experiment_id, **more})
        assert_rejected(answer, status, code, message)
    assert await get(client, experiment_id) == before


async def test_an_active_experiment_cannot_be_restored(client: Client) -> None:
    answer = await client.post("experiments/restore", {"experiment_id": "0"})
    assert_rejected(answer, 404, "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=0 exists")


@pytest.mark.parametrize("at_once", [1, 8])
async def test_experiments_can_be_created_after_a_dump_was_restored_without_its_sequence(
    client: Client, db: Db, at_once: int
) -> None:
    """The database assigns ids that are taken. PostgreSQL would fail once for each of them."""
    last = int(await create(client, "before"))
    await db.execute(
        """
        WITH RECURSIVE ids(id) AS (SELECT CAST($1 AS INTEGER) UNION ALL SELECT id + 1 FROM ids WHERE id < $2)
        INSERT INTO experiments (experiment_id, name, lifecycle_stage, creation_time, last_update_time)
        SELECT id, 'restored ' || id, 'active', 0, 0 FROM ids
        """,
        last + 1,
        last + 300,
    )
    created = await asyncio.gather(*(create(client, f"after {number}") for number in range(at_once)))
    assert len(set(created)) == at_once
    assert min(map(int, created)) > last + 300
    if at_once == 1:  # requests at the same time may each skip them
        assert int(await create(client, "later")) <= last + 310, "it skips no more ids than it has to"
