"""Issues: traces that refer to them, pages by size, databases of MLflow 3.17, and who may read and change them."""

from typing import Any

import pytest
from tests.api.assessments.conftest import insert_trace
from tests.api.conftest import Callers
from tests.client import Client

from railtrack.api.issues import lifecycle, schemas, search
from railtrack.auth.roles import set_grant
from railtrack.db import Db

ISSUES = "/api/3.0/mlflow/issues"


async def created(client: Client, name: str = "wrong", **fields: Any) -> Any:
    body = {"experiment_id": "0", "name": name, "description": "d", **fields}
    return (await client.ok("POST", ISSUES, body))["issue"]


async def found(client: Client, **fields: Any) -> list[str]:
    answer = await client.ok("POST", f"{ISSUES}/search", {"experiment_id": "0", **fields})
    return [issue["name"] for issue in answer.get("issues", [])]


async def test_each_trace_that_refers_to_an_issue_counts_once_and_orders_by_it(client: Client, db: Db) -> None:
    rare, common = await created(client, "rare"), await created(client, "common")
    await created(client, "never")
    for trace, issue in (("tr-1", common), ("tr-2", common), ("tr-2", common), ("tr-2", rare)):
        if not await db.fetch_value("SELECT 1 FROM trace_info WHERE request_id = $1", trace):
            await insert_trace(db, trace)
        reference = {"assessment": {"assessment_name": issue["issue_id"], "issue": {"issue_name": "x"}}}
        await client.ok("POST", f"/api/3.0/mlflow/traces/{trace}/assessments", reference)
    answer = await client.ok("POST", f"{ISSUES}/search", {"experiment_id": "0", "include_trace_count": True})
    assert [(issue["name"], issue["trace_count"]) for issue in answer["issues"]] == [
        ("common", 2),
        ("rare", 1),
        ("never", 0),
    ]


async def test_pages_end_early_by_size_and_have_all_issues_together(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAGE_BYTES", 3000)
    for number in range(8):
        await created(client, f"n{number}", description="x" * 1000)
    names: list[str] = []
    token = ""
    pages = 0
    while True:
        body = {"experiment_id": "0", "order_by": ["name"], "page_token": token}
        page = await client.ok("POST", f"{ISSUES}/search", body)
        names += [issue["name"] for issue in page["issues"]]
        pages += 1
        if not (token := page["next_page_token"]):
            break
    assert names == [f"n{number}" for number in range(8)]
    assert pages >= 4


async def test_a_name_is_searched_literally(client: Client) -> None:
    for name in ("50% slower", "500 slower", "a_b", "aXb", "c#d"):
        await created(client, name)
    assert await found(client, name="0%") == ["50% slower"]
    assert await found(client, name="A_B") == ["a_b"]
    assert await found(client, name="#") == ["c#d"]


async def test_a_database_of_mlflow_317_has_no_details_and_works(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def without(_tx: object) -> schemas.Details:
        return schemas.NOT_STORED

    monkeypatch.setattr(lifecycle, "details", without)
    monkeypatch.setattr(search, "details", without)
    issue = await created(client, metadata={"a": "1"}, categories=["cost"])
    assert issue["last_seen_timestamp"] == issue["created_timestamp"]
    assert "metadata" not in issue
    path = f"{ISSUES}/{issue['issue_id']}"
    updated = (await client.ok("PATCH", path, {"status": "resolved", "metadata": {"b": "2"}}))["issue"]
    assert (updated["status"], updated["categories"]) == ("resolved", ["cost"])
    assert await found(client, order_by=["last_seen_timestamp"]) == ["wrong"]
    response = await client.post(f"{ISSUES}/search", {"experiment_id": "0", "categories": ["cost"]})
    assert response.status == 400


async def test_the_caller_is_who_creates_and_updates(callers: Callers) -> None:
    body = {"experiment_id": "0", "name": "wrong", "description": "d", "created_by": "forged"}
    issue = (await callers.root.ok("POST", ISSUES, body))["issue"]
    assert issue["created_by"] == callers.root.name
    path = f"{ISSUES}/{issue['issue_id']}"
    await callers.ada.ok("GET", path)
    await callers.ada.denied("PATCH", path, {"status": "resolved"})
    async with callers.root.db.write() as tx:
        await set_grant(tx, callers.ada.user.user_id, "experiment", "0", "EDIT")
    updated = await callers.ada.ok("PATCH", path, {"status": "resolved", "last_updated_by": "forged"})
    assert updated["issue"]["last_updated_by"] == callers.ada.name


async def test_a_search_everywhere_leaves_out_experiments_that_the_caller_may_not_read(callers: Callers) -> None:
    body = {"experiment_id": "0", "name": "wrong", "description": "d"}
    await callers.root.ok("POST", ISSUES, body)
    async with callers.root.db.write() as tx:
        await set_grant(tx, callers.ada.user.user_id, "experiment", "0", "DENY")
    assert "issues" not in await callers.ada.ok("POST", f"{ISSUES}/search", {})
    await callers.ada.denied("POST", f"{ISSUES}/search", {"experiment_id": "0"})
