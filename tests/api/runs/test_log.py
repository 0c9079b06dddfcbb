"""Logging to a run: what is stored, what is rejected, and that a rejected request stores nothing."""

import asyncio
from typing import Any

import pytest
from tests.client import Client

from railtrack.db import Db

LARGEST = 1.7976931348623157e308


async def data_of(client: Client, run_id: str) -> dict[str, Any]:
    run = await client.ok("GET", "runs/get", query={"run_id": run_id})
    data: dict[str, Any] = run["run"]["data"]
    return data


def point(key: str = "loss", value: Any = 1.0, timestamp: int = 10, step: int = 0) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


async def error_of(client: Client, path: str, body: dict[str, Any]) -> tuple[int, str, str]:
    answer = await client.post(path, body)
    return answer.status, answer.json["error_code"], answer.json["message"]


async def test_the_latest_metric_is_the_greatest_step_timestamp_and_value(client: Client, run_id: str) -> None:
    points = [point(step=2, value=5.0), point(step=1, value=9.0), point(step=2, value=4.0), point(step=2, timestamp=9)]
    for one in points:
        await client.ok("POST", "runs/log-metric", {"run_id": run_id, **one})
    assert (await data_of(client, run_id))["metrics"] == [point(step=2, value=5.0)]


async def test_a_batch_and_single_requests_agree_on_the_latest_metric(client: Client, run_id: str) -> None:
    points = [point(step=2, value=5.0), point(step=1, value=9.0), point(step=2, value=4.0), point(step=2, timestamp=9)]
    await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": points})
    assert (await data_of(client, run_id))["metrics"] == [point(step=2, value=5.0)]


async def test_nan_and_infinities_are_stored_as_in_mlflow(client: Client, db: Db, run_id: str) -> None:
    points = [point("a", "NaN"), point("b", "Infinity"), point("c", "-Infinity")]
    await client.ok("POST", "runs/log-batch", {"run_id": run_id, "metrics": points})
    assert [metric["value"] for metric in (await data_of(client, run_id))["metrics"]] == ["NaN", LARGEST, -LARGEST]
    rows = await db.fetch("SELECT key, value, is_nan FROM metrics ORDER BY key")
    assert [tuple(row) for row in rows] == [("a", 0, True), ("b", LARGEST, False), ("c", -LARGEST, False)]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, 123456789.123456789, -2.2250738585072014e-308, 2.5e17])
async def test_a_value_is_returned_exactly(client: Client, run_id: str, value: float) -> None:
    await client.ok("POST", "runs/log-metric", {"run_id": run_id, **point(value=value)})
    assert (await data_of(client, run_id))["metrics"][0]["value"] == value


async def test_repeating_a_batch_changes_no_rows(client: Client, db: Db, run_id: str) -> None:
    batch = {
        "run_id": run_id,
        "metrics": [point(f"m{number % 3}", number, step=number) for number in range(30)],
        "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "team", "value": "vision"}],
    }
    await client.ok("POST", "runs/log-batch", batch)
    before = await everything(db)
    await client.ok("POST", "runs/log-batch", batch)
    assert await everything(db) == before
    assert len(before["metrics"]) == 30


async def everything(db: Db) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("runs", "metrics", "latest_metrics", "params", "tags", "logged_model_metrics")
    return {table: sorted(tuple(row) for row in await db.fetch(f"SELECT * FROM {table}")) for table in tables}


async def test_a_param_cannot_change(client: Client, run_id: str) -> None:
    param = {"run_id": run_id, "key": "lr", "value": "0.1"}
    await client.ok("POST", "runs/log-parameter", param)
    await client.ok("POST", "runs/log-parameter", param)
    status, code, message = await error_of(client, "runs/log-parameter", {**param, "value": "0.2"})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "already logged with value='0.1'" in message
    assert "new value '0.2'" in message
    assert (await data_of(client, run_id))["params"] == [{"key": "lr", "value": "0.1"}]


async def test_a_batch_with_a_changed_param_stores_nothing(client: Client, db: Db, run_id: str) -> None:
    await client.ok("POST", "runs/log-parameter", {"run_id": run_id, "key": "lr", "value": "0.1"})
    before = await everything(db)
    batch = {
        "run_id": run_id,
        "metrics": [point()],
        "params": [{"key": "new", "value": "1"}, {"key": "lr", "value": "0.2"}],
        "tags": [{"key": "team", "value": "vision"}],
    }
    status, _, message = await error_of(client, "runs/log-batch", batch)
    assert status == 400
    assert "{'key': 'lr', 'old_value': '0.1', 'new_value': '0.2'}" in message
    assert await everything(db) == before


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"metrics": [point("ok"), point("..")]}, "'metrics[1].name'"),
        ({"metrics": [point("ok"), {"key": "x", "value": 1}]}, "'metrics[1].timestamp'"),
        ({"metrics": [point("ok"), point("x", timestamp=-1)]}, "'metrics[1].timestamp'"),
        ({"metrics": [point("ok"), point("k" * 251)]}, "'Metric name' exceeds"),
        ({"metrics": [point("ok")] * 1001}, "at most 1000 metrics"),
        ({"params": [{"key": f"p{number}"} for number in range(101)]}, "at most 100 params"),
        ({"tags": [{"key": f"t{number}"} for number in range(101)]}, "at most 100 tags"),
        ({"metrics": [point()] * 950, "tags": [{"key": f"t{n}"} for n in range(51)]}, "at most 1000 metrics, params"),
        ({"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]}, "Duplicate parameter keys"),
        ({"params": [{"value": "1"}]}, "'params[0].key'"),
        ({"tags": [{"key": "ok"}, {"key": "/x"}]}, "'tags[1].key'"),
        ({"metrics": [point(), point(value="high")]}, "'metrics[1].value'"),
    ],
)
async def test_a_batch_with_one_invalid_part_stores_nothing(
    client: Client, db: Db, run_id: str, batch: dict[str, Any], expected: str
) -> None:
    before = await everything(db)
    status, code, message = await error_of(client, "runs/log-batch", {"run_id": run_id, **batch})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert expected in message
    assert await everything(db) == before


async def test_long_values_are_truncated_as_in_mlflow(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "x" * 6001})
    await client.ok("POST", "runs/set-tag", {"run_id": run_id, "key": "t", "value": "x" * 8001})
    data = await data_of(client, run_id)
    assert len(data["params"][0]["value"]) == 6000
    assert len({tag["key"]: tag["value"] for tag in data["tags"]}["t"]) == 8000


async def test_setting_the_name_tag_renames_the_run(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/set-tag", {"run_id": run_id, "key": "mlflow.runName", "value": "second"})
    run = (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]
    assert run["info"]["run_name"] == "second"
    assert run["data"]["tags"] == [{"key": "mlflow.runName", "value": "second"}]


async def test_an_empty_name_tag_changes_neither_the_name_nor_the_tag(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/set-tag", {"run_id": run_id, "key": "mlflow.runName", "value": ""})
    run = (await client.ok("GET", "runs/get", query={"run_id": run_id}))["run"]
    assert run["info"]["run_name"] == "first"
    assert run["data"]["tags"] == [{"key": "mlflow.runName", "value": "first"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/log-metric", point()),
        ("runs/log-parameter", {"key": "p", "value": "1"}),
        ("runs/set-tag", {"key": "t", "value": "1"}),
        ("runs/log-batch", {"metrics": [point()]}),
    ],
)
async def test_logging_to_a_missing_or_deleted_run_is_rejected(
    client: Client, db: Db, run_id: str, path: str, body: dict[str, Any]
) -> None:
    assert await error_of(client, path, {"run_id": "nope", **body}) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Run with id=nope not found",
    )
    await client.ok("POST", "runs/delete", {"run_id": run_id})
    before = await everything(db)
    status, code, message = await error_of(client, path, {"run_id": run_id, **body})
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message == f"The run {run_id} must be in the 'active' state. Current state is deleted."
    assert await everything(db) == before


async def test_the_old_name_of_the_run_id_is_accepted(client: Client, run_id: str) -> None:
    await client.ok("POST", "runs/log-metric", {"run_uuid": run_id, **point()})
    assert (await data_of(client, run_id))["metrics"] == [point()]


async def test_requests_in_one_commit_fail_independently(client: Client, db: Db, run_id: str) -> None:
    """They are sent at once, so that one transaction takes them all; the second contradicts the first."""
    answers = await asyncio.gather(
        client.post("runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"}),
        client.post("runs/log-parameter", {"run_id": run_id, "key": "p", "value": "2"}),
        client.post("runs/log-metric", {"run_id": "nope", **point()}),
        *(client.post("runs/log-metric", {"run_id": run_id, **point(step=step)}) for step in range(50)),
    )
    assert [answer.status for answer in answers] == [200, 400, 404] + [200] * 50
    assert await db.fetch_value("SELECT count(*) FROM metrics") == 50
    assert (await data_of(client, run_id))["params"] == [{"key": "p", "value": "1"}]


async def test_a_metric_of_an_unknown_model_is_rejected(client: Client, db: Db, run_id: str) -> None:
    before = await everything(db)
    status, code, _ = await error_of(client, "runs/log-metric", {"run_id": run_id, **point(), "model_id": "m-1"})
    assert (status, code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert await everything(db) == before


async def test_a_metric_of_a_model_is_stored_with_the_model_too(client: Client, db: Db, run_id: str) -> None:
    async with db.write() as tx:
        await tx.execute(
            """
            INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
                last_updated_timestamp_ms, status, lifecycle_stage)
            VALUES ('m-1', 0, 'net', 'mlflow-artifacts:/0/models/m-1', 1, 1, 0, 'active')
            """
        )
    body = {"run_id": run_id, **point(value=0.5), "model_id": "m-1", "dataset_name": "d", "dataset_digest": "x"}
    await client.ok("POST", "runs/log-metric", body)
    await client.ok("POST", "runs/log-metric", body)
    rows = await db.fetch("SELECT model_id, metric_name, metric_value, run_id, dataset_name FROM logged_model_metrics")
    assert [tuple(row) for row in rows] == [("m-1", "loss", 0.5, run_id, "d")]
