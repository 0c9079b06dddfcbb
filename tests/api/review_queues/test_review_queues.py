"""Review queues and label schemas: items, deletion, and who sees, changes and reviews what."""

import asyncio
from typing import Any

import pytest
from tests.api.assessments.conftest import insert_trace
from tests.api.conftest import Caller, Callers
from tests.client import Client

from railtrack.auth.roles import set_grant
from railtrack.db import Db

QUEUES = "/api/3.0/mlflow/review-queues"
SCHEMAS = "/api/3.0/mlflow/label-schemas"
CUSTOM = {"experiment_id": "0", "name": "Nightly", "queue_type": "CUSTOM"}


@pytest.fixture
async def queue(client: Client, db: Db) -> dict[str, str]:
    """Return the id of a queue of the experiment Default, which has three traces."""
    for number in range(3):
        await insert_trace(db, f"tr-{number}")
    created = await client.ok("POST", f"{QUEUES}/create", CUSTOM)
    return {"queue_id": created["review_queue"]["queue_id"]}


async def test_items_are_added_once_reviewed_reopened_and_removed(client: Client, queue: dict[str, str]) -> None:
    added = await client.ok("POST", f"{QUEUES}/items/add", {**queue, "item_ids": ["tr-1", " tr-0 ", "tr-1"]})
    assert [item["item_id"] for item in added["items"]] == ["tr-1", "tr-0"]
    one = {**queue, "item_id": "tr-1"}
    done = await client.ok("POST", f"{QUEUES}/items/set-status", {**one, "status": "COMPLETE", "completed_by": " Ada "})
    assert done["item"]["completed_by"] == "ada"
    again = await client.ok("POST", f"{QUEUES}/items/set-status", {**one, "status": "COMPLETE", "completed_by": "bob"})
    assert again == done
    added = await client.ok("POST", f"{QUEUES}/items/add", {**queue, "item_ids": ["tr-1", "tr-2"]})
    assert [item["status"] for item in added["items"]] == ["COMPLETE", "PENDING"]
    listed = await client.ok("GET", f"{QUEUES}/items/list", query={**queue, "status": "PENDING"})
    assert sorted(item["item_id"] for item in listed["items"]) == ["tr-0", "tr-2"]
    reopened = await client.ok("POST", f"{QUEUES}/items/set-status", {**one, "status": "PENDING"})
    assert not {"completed_by", "completed_time_ms"} & reopened["item"].keys()
    await client.ok("POST", f"{QUEUES}/items/remove", {**queue, "item_ids": ["tr-1", "tr-9"]})
    assert len((await client.ok("GET", f"{QUEUES}/items/list", query=queue))["items"]) == 2


async def test_pages_of_items_have_all_of_them(client: Client, queue: dict[str, str]) -> None:
    await client.ok("POST", f"{QUEUES}/items/add", {**queue, "item_ids": ["tr-0", "tr-1", "tr-2"]})
    seen: list[str] = []
    token = ""
    for _ in range(3):
        query = {**queue, "max_results": 1, "page_token": token}
        page = await client.ok("GET", f"{QUEUES}/items/list", query=query)
        seen += [item["item_id"] for item in page["items"]]
        token = page.get("next_page_token", "")
    assert (seen, token) == (["tr-0", "tr-1", "tr-2"], "")


async def test_the_questions_of_a_queue_with_items_are_fixed(client: Client, queue: dict[str, str]) -> None:
    await client.ok("POST", f"{QUEUES}/items/add", {**queue, "item_ids": ["tr-0"]})
    response = await client.post(f"{QUEUES}/update", {**queue, "update_schema_ids": True, "name": "renamed"})
    assert response.status == 400
    assert (await client.ok("GET", f"{QUEUES}/get", query=queue))["review_queue"]["name"] == "Nightly"


async def test_a_deleted_queue_leaves_nothing_and_a_deleted_schema_no_question(client: Client, db: Db) -> None:
    await insert_trace(db, "tr-0")
    schema = {"experiment_id": "0", "name": "good", "type": "FEEDBACK", "input": {"text": {}}}
    schema_id = (await client.ok("POST", f"{SCHEMAS}/create", schema))["label_schema"]["schema_id"]
    whole = {**CUSTOM, "users": ["ada"], "schema_ids": [schema_id]}
    queue = {"queue_id": (await client.ok("POST", f"{QUEUES}/create", whole))["review_queue"]["queue_id"]}
    await client.ok("POST", f"{QUEUES}/items/add", {**queue, "item_ids": ["tr-0"]})
    await client.ok("DELETE", f"{SCHEMAS}/delete", {"schema_id": schema_id})
    assert "schema_ids" not in (await client.ok("GET", f"{QUEUES}/get", query=queue))["review_queue"]
    await client.ok("POST", f"{QUEUES}/delete", queue)
    for table in ("review_queues", "review_queue_users", "review_queue_items", "review_queue_label_schemas"):
        assert await db.fetch_value(f"SELECT COUNT(*) FROM {table}") == 0, table


async def test_simultaneous_lists_create_one_default_schema(client: Client) -> None:
    answers = await asyncio.gather(
        *(client.ok("GET", f"{SCHEMAS}/list", query={"experiment_id": "0"}) for _ in range(6))
    )
    ids = {one["schema_id"] for answer in answers for one in answer["label_schemas"]}
    assert len(ids) == 1


async def grant(db: Db, caller: Caller, level: str) -> None:
    async with db.write() as tx:
        await set_grant(tx, caller.user.user_id, "experiment", "0", level)


async def listed(caller: Caller) -> list[str]:
    found: dict[str, Any] = await caller.ok("GET", f"{QUEUES}/list", {"experiment_id": "0"})
    return sorted(queue["name"] for queue in found.get("review_queues", []))


async def test_a_caller_sees_the_queues_that_it_owns_or_reviews(callers: Callers) -> None:
    await grant(callers.root.db, callers.ada, "EDIT")
    own = await callers.ada.ok("POST", f"{QUEUES}/create", {**CUSTOM, "name": "own"})
    others = await callers.root.ok("POST", f"{QUEUES}/create", {**CUSTOM, "users": ["bob"]})
    ids = {"queue_id": others["review_queue"]["queue_id"]}
    assert await listed(callers.root) == ["Nightly", "own"]
    assert await listed(callers.ada) == ["own"]
    assert await listed(callers.bob) == ["Nightly"]
    await callers.bob.ok("GET", f"{QUEUES}/get", ids)
    await callers.ada.denied("GET", f"{QUEUES}/get", ids)
    await callers.ada.denied("GET", f"{QUEUES}/get-by-name", {"experiment_id": "0", "name": "nightly"})
    await callers.ada.denied("GET", f"{QUEUES}/items/list", ids)
    await callers.ada.denied("POST", f"{QUEUES}/update", {**ids, "name": "mine"})
    await callers.ada.denied("POST", f"{QUEUES}/delete", ids)
    mine = {"queue_id": own["review_queue"]["queue_id"]}
    assert own["review_queue"]["created_by"] == callers.ada.name
    await callers.ada.ok("POST", f"{QUEUES}/update", {**mine, "name": "renamed"})
    await callers.ada.denied("POST", f"{QUEUES}/update", {**mine, "new_owner": "bob"})
    await callers.ada.ok("POST", f"{QUEUES}/delete", mine)


async def test_only_reviewers_of_a_queue_set_a_status_and_in_their_own_name(callers: Callers) -> None:
    await insert_trace(callers.root.db, "tr-0")
    await grant(callers.root.db, callers.ada, "EDIT")
    queue = await callers.root.ok("POST", f"{QUEUES}/create", {**CUSTOM, "users": ["ADA"]})
    ids = {"queue_id": queue["review_queue"]["queue_id"]}
    await callers.ada.ok("POST", f"{QUEUES}/items/add", {**ids, "item_ids": ["tr-0"]})
    status = {**ids, "item_id": "tr-0", "status": "COMPLETE", "completed_by": "forged"}
    await callers.root.denied("POST", f"{QUEUES}/items/set-status", status)
    done = await callers.ada.ok("POST", f"{QUEUES}/items/set-status", status)
    assert done["item"]["completed_by"] == "ada"
    await callers.ada.denied("POST", f"{QUEUES}/items/remove", {**ids, "item_ids": ["tr-0"]})


async def test_a_custom_queue_cannot_have_the_name_of_a_user(callers: Callers) -> None:
    response = await callers.root.send("POST", f"{QUEUES}/create", {**CUSTOM, "name": "Ada"})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_label_schemas_are_for_managers_of_the_experiment(callers: Callers) -> None:
    schema = {"experiment_id": "0", "name": "good", "type": "FEEDBACK", "input": {"text": {}}}
    await grant(callers.root.db, callers.ada, "EDIT")
    await callers.ada.denied("POST", f"{SCHEMAS}/create", schema)
    created = await callers.root.ok("POST", f"{SCHEMAS}/create", schema)
    one = {"schema_id": created["label_schema"]["schema_id"]}
    await callers.bob.ok("GET", f"{SCHEMAS}/get", one)
    await callers.ada.denied("PATCH", f"{SCHEMAS}/update", {**one, "enable_comment": True})
    await callers.ada.denied("DELETE", f"{SCHEMAS}/delete", one)
