"""Tags, links and deletion of traces, and version 2 of the API."""

from typing import Any

import pytest
from tests.api.traces.conftest import TRACE_ID, V3, Traces
from tests.otlp import START_NS, span

from railtrack.api.traces.delete import CHUNK_TRACES
from railtrack.db import Db

PATHS = ["traces", V3]


@pytest.mark.parametrize("base", PATHS)
async def test_a_tag_is_set_and_deleted(traces: Traces, base: str) -> None:
    await traces.start(tags={"mlflow.traceName": "n"})
    path = f"{base}/{TRACE_ID}/tags"
    await traces.client.ok("PATCH", path, {"key": "k", "value": "v" * 9000})
    await traces.client.ok("PATCH", path, {"key": "mlflow.traceName", "value": "renamed"})
    tags = (await traces.info())["tags"]
    assert (tags["mlflow.traceName"], len(tags["k"])) == ("renamed", 8000)
    for key in ("k", "mlflow.traceName"):
        await traces.client.ok("DELETE", path, {"key": key})
        again = await traces.client.send("DELETE", path, json={"key": key})
        assert again.json["message"] == f"No trace tag with key '{key}' for trace with ID '{TRACE_ID}'"
    assert list((await traces.info())["tags"]) == ["mlflow.artifactLocation"]


@pytest.mark.parametrize("key", ["mlflow.artifactLocation", "mlflow.trace.spansLocation", "a//b", "k" * 251, ""])
async def test_an_invalid_tag_is_rejected(traces: Traces, key: str) -> None:
    await traces.start()
    answer = await traces.client.send("PATCH", f"{V3}/{TRACE_ID}/tags", json={"key": key, "value": "v"})
    assert answer.status == 400
    assert len((await traces.info())["tags"]) == 1


async def test_a_tag_needs_a_trace(traces: Traces) -> None:
    answer = await traces.client.send("PATCH", f"{V3}/tr-none/tags", json={"key": "k", "value": "v"})
    assert (answer.status, answer.json["message"]) == (404, "Trace with ID 'tr-none' not found.")


@pytest.mark.parametrize("base", PATHS)
async def test_traces_are_deleted_by_id_with_all_that_belongs_to_them(traces: Traces, db: Db, base: str) -> None:
    await traces.export(span(attributes={"user.id": "u"}))
    await traces.client.ok("POST", "traces/link-to-run", {"trace_ids": [TRACE_ID], "run_id": "a" * 32})
    body = {"experiment_id": traces.experiment_id, "request_ids": [TRACE_ID, "tr-none"]}
    assert await traces.client.ok("POST", f"{base}/delete-traces", body) == {"traces_deleted": 1}
    for table in ("trace_info", "trace_tags", "trace_request_metadata", "spans", "entity_associations"):
        assert await db.fetch_value(f"SELECT COUNT(*) FROM {table}") == 0


async def test_the_oldest_traces_are_deleted_first(traces: Traces) -> None:
    spans = [span(traceId=f"{n:032x}", startTimeUnixNano=str(START_NS + n * 10**9)) for n in range(CHUNK_TRACES + 20)]
    await traces.export(span(traceId="f" * 32), *spans[1:])
    limit = (START_NS + (CHUNK_TRACES + 9) * 10**9) // 10**6
    body: dict[str, Any] = {"experiment_id": traces.experiment_id, "max_timestamp_millis": limit}
    assert await traces.client.ok("POST", "traces/delete-traces", body | {"max_traces": 2}) == {"traces_deleted": 2}
    assert f"tr-{1:032x}" not in await traces.stored()
    assert await traces.client.ok("POST", "traces/delete-traces", body) == {"traces_deleted": CHUNK_TRACES + 8}
    assert len(await traces.stored()) == 10


async def test_traces_of_another_experiment_are_not_deleted(traces: Traces) -> None:
    await traces.start()
    body = {"experiment_id": "0", "request_ids": [TRACE_ID]}
    assert await traces.client.ok("POST", "traces/delete-traces", body) == {"traces_deleted": 0}
    assert await traces.stored() == [TRACE_ID]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"request_ids": []},
        {"request_ids": ["a"], "max_timestamp_millis": 1},
        {"request_ids": ["a"], "max_traces": 1},
        {"max_timestamp_millis": 1, "max_traces": 0},
        {"experiment_id": "abc", "max_timestamp_millis": 1},
    ],
)
async def test_an_unclear_deletion_is_rejected(traces: Traces, fields: dict[str, Any]) -> None:
    body = {"experiment_id": traces.experiment_id, **fields}
    assert (await traces.client.post("traces/delete-traces", body)).status == 400


async def test_links_may_be_repeated(traces: Traces, db: Db) -> None:
    await traces.start()
    prompts = [{"name": "greeting", "version": "1"}, {"name": "greeting", "version": "2"}]
    for _ in range(2):
        await traces.client.ok("POST", "traces/link-to-run", {"trace_ids": [TRACE_ID, TRACE_ID], "run_id": "a" * 32})
        await traces.client.ok("POST", "traces/link-prompts", {"trace_id": TRACE_ID, "prompt_versions": prompts})
    rows = await db.fetch(
        "SELECT destination_type, destination_id FROM entity_associations WHERE source_id = $1 ORDER BY 1, 2", TRACE_ID
    )
    assert [tuple(row) for row in rows] == [
        ("prompt_version", "greeting/1"),
        ("prompt_version", "greeting/2"),
        ("run", "a" * 32),
    ]


async def test_an_invalid_link_is_rejected(traces: Traces) -> None:
    too_many = await traces.client.post("traces/link-to-run", {"trace_ids": ["a"] * 101, "run_id": "r"})
    assert too_many.json["message"].startswith("Cannot link more than 100 traces to a run in a single request.")
    prompt = {"trace_id": "tr-none", "prompt_versions": [{"name": "p", "version": "1"}]}
    assert (await traces.client.post("traces/link-prompts", prompt)).status == 404
    prompt["prompt_versions"] = [{"name": "p", "version": "latest"}]
    assert (await traces.client.post("traces/link-prompts", prompt)).status == 400


async def test_a_client_before_3_starts_ends_and_finds_a_trace(traces: Traces) -> None:
    body = {
        "experiment_id": traces.experiment_id,
        "timestamp_ms": 1000,
        "request_metadata": [{"key": "m", "value": "1"}],
        "tags": [{"key": "mlflow.traceName", "value": "old"}],
    }
    started = (await traces.client.ok("POST", "traces", body))["trace_info"]
    trace_id = started["request_id"]
    assert (started["status"], started["execution_time_ms"]) == ("IN_PROGRESS", 0)
    ended = await traces.client.ok(
        "PATCH",
        f"traces/{trace_id}",
        {"timestamp_ms": 1500, "status": "OK", "tags": [*started["tags"], {"key": "t", "value": "2"}]},
    )
    info = ended["trace_info"]
    assert (info["execution_time_ms"], info["status"]) == (500, "OK")
    assert {"key": "t", "value": "2"} in info["tags"]
    assert info == (await traces.client.ok("GET", f"traces/{trace_id}/info"))["trace_info"]
    found = await traces.client.ok("GET", "traces", query={"experiment_ids": [traces.experiment_id]})
    assert found["traces"] == [info]
    assert (await traces.client.send("PATCH", "traces/none", json={"timestamp_ms": 1, "status": "OK"})).status == 404
    assert (
        await traces.client.send("PATCH", f"traces/{trace_id}", json={"timestamp_ms": 1, "status": "X"})
    ).status == 400
