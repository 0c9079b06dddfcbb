"""Assessments: what they copy from their trace, limits, overrides, concurrent writes, and who may change them."""

import asyncio
from typing import Any

import pytest
from tests.api.assessments.conftest import TRACE, insert_trace
from tests.api.conftest import Caller, Callers
from tests.client import Client

from railtrack.api.assessments.queries import assessments_size, load_assessments
from railtrack.api.assessments.schemas import timestamp
from railtrack.auth.roles import set_grant
from railtrack.db import Db


def feedback(value: Any = True, **fields: Any) -> dict[str, Any]:
    return {"assessment": {"assessment_name": "good", "feedback": {"value": value}, **fields}}


async def created(client: Client, path: str, body: dict[str, Any]) -> str:
    assessment_id: str = (await client.ok("POST", path, body))["assessment"]["assessment_id"]
    return assessment_id


async def is_valid(client: Client, path: str, assessment_id: str) -> bool:
    valid: bool = (await client.ok("GET", f"{path}/{assessment_id}"))["assessment"]["valid"]
    return valid


async def test_an_assessment_copies_the_experiment_and_time_of_its_trace(
    client: Client, db: Db, assessments: str
) -> None:
    await client.ok("POST", assessments, feedback())
    row = await db.fetch_row("SELECT experiment_id, trace_timestamp_ms, valid FROM assessments")
    assert row is not None
    assert [*map(int, row)] == [0, 1700000000000, 1]


@pytest.mark.parametrize(
    ("value", "number", "is_number"),
    [(True, 1, False), (False, 0, False), (2, 2, True), (0.5, 0.5, True), (" Yes ", 1, False), ("no", 0, False)],
)
async def test_metrics_can_average_numbers_and_answers(
    client: Client, db: Db, assessments: str, value: Any, number: float, is_number: bool
) -> None:
    await client.ok("POST", assessments, feedback(value))
    row = await db.fetch_row("SELECT aggregate_value, is_numeric_value FROM assessments")
    assert row is not None
    assert (row[0], bool(row[1])) == (number, is_number)


@pytest.mark.parametrize("value", ["maybe", None, [1], {"a": 1}])
async def test_other_values_have_no_number(client: Client, db: Db, assessments: str, value: Any) -> None:
    await client.ok("POST", assessments, feedback(value))
    row = await db.fetch_row("SELECT aggregate_value, is_numeric_value FROM assessments")
    assert row is not None
    assert (row[0], bool(row[1])) == (None, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"assessment_name": "n" * 251},
        {"assessment_id": "a" * 51},
        {"span_id": "s" * 51},
        {"source": {"source_id": "i" * 251}},
        {"metadata": {"mlflow.assessment.sourceRunId": "r" * 33}},
        {"create_time": "2023-11-14T22:13:20"},
        {"feedback": {"value": 10**400}},
        {"feedback": {"value": [float("nan")]}},
        {"feedback": {"value": {"a": float("inf")}}},
        {
            "feedback": None,
            "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "NaN"}},
        },
        {"feedback": None, "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "["}}},
        {"metadata": {"a": "\0"}},
    ],
)
async def test_what_no_column_or_json_can_hold_is_rejected_and_nothing_is_stored(
    client: Client, db: Db, assessments: str, fields: dict[str, Any]
) -> None:
    response = await client.post(assessments, feedback(**fields))
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), response.text
    assert await db.fetch_value("SELECT COUNT(*) FROM assessments") == 0


async def test_a_deeply_nested_serialized_value_is_rejected(client: Client, assessments: str) -> None:
    value = {"serialization_format": "JSON_FORMAT", "value": "[" * 100_000}
    response = await client.post(assessments, feedback(feedback=None, expectation={"serialized_value": value}))
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_an_id_that_is_taken_is_rejected_and_the_override_undone(client: Client, assessments: str) -> None:
    first = await created(client, assessments, feedback())
    second = await created(client, assessments, feedback())
    response = await client.post(assessments, feedback(assessment_id=second, overrides=first))
    assert (response.status, response.json["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
    assert await is_valid(client, assessments, first)


async def test_an_override_of_an_assessment_of_another_trace_is_rejected(
    client: Client, db: Db, assessments: str
) -> None:
    first = await created(client, assessments, feedback())
    await insert_trace(db, "tr-other")
    response = await client.post("/api/3.0/mlflow/traces/tr-other/assessments", feedback(overrides=first))
    assert response.status == 404
    assert await is_valid(client, assessments, first)


async def test_simultaneous_updates_lose_no_metadata(client: Client, assessments: str) -> None:
    one = await created(client, assessments, feedback())
    updates = [
        client.send(
            "PATCH",
            f"{assessments}/{one}",
            json={"assessment": {"metadata": {f"k{n}": "v"}}, "update_mask": "metadata"},
        )
        for n in range(8)
    ]
    assert [response.status for response in await asyncio.gather(*updates)] == [200] * 8
    stored = (await client.ok("GET", f"{assessments}/{one}"))["assessment"]["metadata"]
    assert stored == {f"k{n}": "v" for n in range(8)}


async def test_assessments_are_deleted_with_their_trace(client: Client, db: Db, assessments: str) -> None:
    one = await created(client, assessments, feedback())
    await db.execute("DELETE FROM trace_info WHERE request_id = $1", TRACE)
    assert (await client.get(f"{assessments}/{one}")).status == 404
    assert await db.fetch_value("SELECT COUNT(*) FROM assessments") == 0


async def test_the_assessments_of_many_traces_are_loaded_at_once_the_oldest_first(
    client: Client, db: Db, assessments: str
) -> None:
    await insert_trace(db, "tr-other")
    await insert_trace(db, "tr-none")
    new = await created(client, assessments, feedback(create_time="2024-01-02T00:00:00Z"))
    old = await created(client, assessments, feedback("x" * 1000, create_time="2024-01-01T00:00:00Z"))
    other = await created(client, "/api/3.0/mlflow/traces/tr-other/assessments", feedback())
    traces = [TRACE, "tr-other", "tr-none"]
    loaded = await load_assessments(db, traces)
    assert {trace: [one.assessment_id for one in found] for trace, found in loaded.items()} == {
        TRACE: [old, new],
        "tr-other": [other],
    }
    assert 1000 < await assessments_size(db, traces) < 5000
    assert await assessments_size(db, ["tr-none"]) == 0


async def test_what_mlflow_stored_and_json_cannot_express_is_shown_as_text(
    client: Client, db: Db, assessments: str
) -> None:
    one = await created(client, assessments, feedback())
    await db.execute("UPDATE assessments SET value = $1", '[NaN, "NaN", -Infinity]')
    shown = (await client.ok("GET", f"{assessments}/{one}"))["assessment"]
    assert shown["feedback"]["value"] == ["NaN", "NaN", "-Infinity"]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_250, "2023-11-14T22:13:20.250Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(10**13), "1653-02-10T06:13:20Z"),
        (2**62, "9999-12-31T23:59:59.904Z"),
    ],
)
def test_times_are_shown_as_by_protobuf(milliseconds: int, text: str) -> None:
    assert timestamp(milliseconds) == text


async def grant(db: Db, caller: Caller, resource_type: str, pattern: str, level: str) -> None:
    async with db.write() as tx:
        await set_grant(tx, caller.user.user_id, resource_type, pattern, level)


async def assessment_of_root(callers: Callers) -> str:
    """Return the path of an assessment in the experiment 0, which everybody may read by default."""
    await insert_trace(callers.root.db, TRACE)
    path = f"/api/3.0/mlflow/traces/{TRACE}/assessments"
    created = await callers.root.ok("POST", path, feedback())
    return f"{path}/{created['assessment']['assessment_id']}"


RATIONALE = {"assessment": {"rationale": "r"}, "update_mask": "rationale"}


async def test_who_may_read_an_experiment_may_read_its_assessments_only(callers: Callers) -> None:
    one = await assessment_of_root(callers)
    await callers.ada.ok("GET", one)
    await callers.ada.denied("POST", one.rpartition("/")[0], feedback())
    await callers.ada.denied("PATCH", one, RATIONALE)
    await callers.ada.denied("DELETE", one)


async def test_who_may_edit_an_experiment_may_create_update_and_delete_its_assessments(callers: Callers) -> None:
    one = await assessment_of_root(callers)
    await grant(callers.root.db, callers.ada, "experiment", "0", "EDIT")
    await callers.ada.ok("POST", one.rpartition("/")[0], feedback())
    await callers.ada.ok("PATCH", one, RATIONALE)
    await callers.ada.ok("DELETE", one)


async def test_a_grant_on_traces_suffices_to_create_assessments(callers: Callers) -> None:
    one = await assessment_of_root(callers)
    await grant(callers.root.db, callers.ada, "trace", "*", "EDIT")
    await callers.ada.ok("POST", one.rpartition("/")[0], feedback())
    await callers.ada.denied("PATCH", one, RATIONALE)


async def test_a_grant_to_read_traces_takes_nothing_from_who_may_edit_the_experiment(callers: Callers) -> None:
    one = await assessment_of_root(callers)
    await grant(callers.root.db, callers.ada, "experiment", "0", "EDIT")
    await grant(callers.root.db, callers.ada, "trace", "*", "READ")
    await callers.ada.ok("POST", one.rpartition("/")[0], feedback())


@pytest.mark.parametrize("denied", ["trace", "assessment"])
async def test_a_deny_on_traces_or_assessments_decides(callers: Callers, denied: str) -> None:
    one = await assessment_of_root(callers)
    await grant(callers.root.db, callers.ada, "experiment", "0", "MANAGE")
    await grant(callers.root.db, callers.ada, denied, "*", "DENY")
    for method, path, body in (
        ("GET", one, None),
        ("POST", one.rpartition("/")[0], feedback()),
        ("PATCH", one, RATIONALE),
        ("DELETE", one, None),
    ):
        await callers.ada.denied(method, path, body)


async def test_a_grant_to_edit_assessments_updates_but_does_not_delete(callers: Callers) -> None:
    one = await assessment_of_root(callers)
    await grant(callers.root.db, callers.ada, "experiment", "0", "EDIT")
    await grant(callers.root.db, callers.ada, "assessment", "*", "EDIT")
    await callers.ada.ok("PATCH", one, RATIONALE)
    await callers.ada.denied("DELETE", one)


async def test_a_trace_that_does_not_exist_looks_like_one_of_others(callers: Callers) -> None:
    await callers.ada.denied("GET", "/api/3.0/mlflow/traces/tr-none/assessments/a-1")
    await callers.ada.denied("POST", "/api/3.0/mlflow/traces/tr-none/assessments", feedback())
