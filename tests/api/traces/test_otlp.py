"""Spans in OpenTelemetry's protocol: what is stored of them, and what is rejected as a whole."""

import gzip
import json
import zlib
from typing import Any

import pytest
from tests.api.traces.conftest import TRACE_ID, Traces
from tests.otlp import PROTOBUF, ROOT, START_NS, as_json, as_protobuf, export, nested, span

from railtrack.db import Db
from railtrack.wire.request import BODY_LIMIT

CHILD = "b7ad6b7169203333"
EVERYTHING: dict[str, Any] = {
    "text": "é",
    "count": -5,
    "ratio": 1.5,
    "flag": True,
    "list": [1, "two", None],
    "map": {"a": {"b": []}},
    "nothing": None,
    "json": '{"a": 1}',
    "digits": "1",
}
STORED = {
    "text": '"é"',
    "count": "-5",
    "ratio": "1.5",
    "flag": "true",
    "list": '[1, "two", null]',
    "map": '{"a": {"b": []}}',
    "nothing": "null",
    "json": '{"a": 1}',
    "digits": '"1"',
    "mlflow.traceRequestId": f'"{TRACE_ID}"',
}


@pytest.mark.parametrize("media_type", [PROTOBUF, "application/json; charset=utf-8"])
async def test_a_span_is_stored_with_everything_it_has(traces: Traces, media_type: str) -> None:
    sent = span(
        attributes=EVERYTHING,
        events=[{"name": "ev", "timeUnixNano": str(START_NS), "attributes": [{"key": "k", "value": {"intValue": 1}}]}],
        links=[{"traceId": "1" * 32, "spanId": "2" * 16, "attributes": []}],
        status={"code": 2, "message": "bad"},
    )
    body = as_protobuf(export(sent)) if media_type == PROTOBUF else as_json(export(sent))
    answer = await traces.send(body, media_type)
    assert (answer.status, answer.body) == (200, b"" if media_type == PROTOBUF else b"{}")
    [stored] = await traces.spans()
    assert stored == {
        "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
        "span_id": "t61rcWkgMzE=",
        "parent_span_id": None,
        "name": "root",
        "kind": "SPAN_KIND_SERVER",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
        "events": [{"name": "ev", "time_unix_nano": START_NS, "attributes": {"k": 1}}],
        "status": {"code": "STATUS_CODE_ERROR", "message": "bad"},
        "attributes": STORED,
        "links": [{"trace_id": f"tr-{'1' * 32}", "span_id": "2" * 16, "attributes": None}],
    }


async def test_spans_make_a_trace(traces: Traces) -> None:
    later = str(START_NS + 3_000_000_000)
    await traces.export(
        span(attributes={"session.id": "S", "user.id": "U", "mlflow.traceTag.color": "red"}),
        span("child", spanId=CHILD, parentSpanId=ROOT, endTimeUnixNano=later),
        resource={"service.name": "shop", "telemetry.sdk.name": "otel", "replicas": 3},
    )
    info = await traces.info()
    assert (info["request_time"], info["execution_duration"], info["state"]) == ("2026-12-01T02:50:22.411Z", "3s", "OK")
    assert info["trace_metadata"] == {"mlflow.trace.session": "S", "mlflow.trace.user": "U"}
    location = f"mlflow-artifacts:/{traces.experiment_id}/traces/{TRACE_ID}/artifacts"
    assert info["tags"] == {
        "color": "red",
        "service.name": "shop",
        "replicas": "3",
        "mlflow.artifactLocation": location,
        "mlflow.trace.spansLocation": "TRACKING_STORE",
    }


async def test_a_trace_is_in_progress_until_its_root_arrives(traces: Traces) -> None:
    await traces.export(span("child", spanId=CHILD, parentSpanId=ROOT))
    assert (await traces.info())["state"] == "IN_PROGRESS"
    await traces.export(span(status={"code": 2}))
    assert (await traces.info())["state"] == "ERROR"
    assert [one["name"] for one in await traces.spans()] == ["root", "child"]


async def test_a_span_that_is_sent_again_replaces_the_earlier_one(traces: Traces) -> None:
    usage = {"gen_ai.usage.input_tokens": 2, "gen_ai.usage.output_tokens": 3}
    for name in ("first", "second"):
        await traces.export(span(name, attributes=usage))
    assert [one["name"] for one in await traces.spans()] == ["second"]
    assert json.loads((await traces.info())["trace_metadata"]["mlflow.trace.tokenUsage"])["total_tokens"] == 5


async def test_a_parent_with_token_usage_stands_for_its_children_in_other_exports(traces: Traces) -> None:
    def usage(count: int) -> dict[str, Any]:
        return {"gen_ai.usage.input_tokens": count, "gen_ai.usage.output_tokens": 0}

    await traces.export(
        span("child", usage(5), spanId=CHILD, parentSpanId=ROOT),
        span("other", usage(7), spanId="c" * 16, parentSpanId="d" * 16),
    )
    assert json.loads((await traces.info())["trace_metadata"]["mlflow.trace.tokenUsage"])["input_tokens"] == 12
    await traces.export(span("root", usage(6)))
    assert json.loads((await traces.info())["trace_metadata"]["mlflow.trace.tokenUsage"])["input_tokens"] == 13


async def test_an_info_that_the_client_has_sent_is_not_changed_by_later_spans(traces: Traces) -> None:
    usage = '{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}'
    await traces.start(execution_duration="5s", trace_metadata={"mlflow.trace.tokenUsage": usage})
    await traces.export(span(attributes={"gen_ai.usage.input_tokens": 100}, startTimeUnixNano="1"))
    info = await traces.info()
    assert (info["request_time"], info["execution_duration"]) == ("2026-12-01T02:50:22.411Z", "5s")
    assert info["trace_metadata"]["mlflow.trace.tokenUsage"] == usage


async def test_one_export_may_have_spans_of_many_traces(traces: Traces) -> None:
    spans = [span(traceId=f"{number:032x}") for number in range(1, 121)]
    assert (await traces.export(*spans)).status == 200
    assert len((await traces.search(max_results=500))["traces"]) == 120


async def test_finished_traces_are_linked_to_the_run_of_the_header(traces: Traces, db: Db) -> None:
    await traces.export(span(), headers={"x-mlflow-run-id": "a" * 32})
    await traces.export(span(traceId="1" * 32, parentSpanId=ROOT), headers={"x-mlflow-run-id": "a" * 32})
    links = await db.fetch("SELECT source_id FROM entity_associations WHERE destination_id = $1", "a" * 32)
    assert [tuple(link) for link in links] == [(TRACE_ID,)]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_compressed_export_is_stored(traces: Traces, encoding: str) -> None:
    body = as_protobuf(export(span(attributes={"long": "x" * 200_000})))
    raw = zlib.compressobj(wbits=-15)
    compressed = {
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "raw deflate": raw.compress(body) + raw.flush(),
    }[encoding]
    answer = await traces.send(compressed, PROTOBUF, {"content-encoding": encoding.split()[-1]})
    assert answer.status == 200, answer.text
    assert len((await traces.spans())[0]["attributes"]["long"]) == 200_002


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_too_long_decompressed_is_rejected(traces: Traces, encoding: str) -> None:
    bomb = b"\0" * (BODY_LIMIT + 1)
    body = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
    answer = await traces.send(body, PROTOBUF, {"content-encoding": encoding})
    assert answer.status == 413
    assert await traces.stored() == []


VALID = as_protobuf(export(span()))
INVALID = {
    "another media type": (b"x", "text/plain", {}, 400),
    "an unknown encoding": (VALID, PROTOBUF, {"content-encoding": "br"}, 400),
    "what is not gzip": (VALID, PROTOBUF, {"content-encoding": "gzip"}, 400),
    "truncated gzip": (gzip.compress(VALID)[:-9], PROTOBUF, {"content-encoding": "gzip"}, 400),
    "truncated protobuf": (VALID[:-3], PROTOBUF, {}, 400),
    "no spans": (b"", PROTOBUF, {}, 400),
    "garbage": (b"\xff" * 100, PROTOBUF, {}, 400),
    "invalid UTF-8": (as_protobuf(export(span("X" * 9))).replace(b"X" * 9, b"\xff" * 9), PROTOBUF, {}, 400),
    "invalid JSON": (b"{", "application/json", {}, 400),
    "a JSON list": (b"[]", "application/json", {}, 400),
    "an id that is not hexadecimal": (as_json(export(span(traceId="xyz"))), "application/json", {}, 400),
    "a lone surrogate": (as_json(export(span("\ud800"))), "application/json", {}, 400),
    "a span without ids": (as_protobuf(export(span(), span(spanId=""))), PROTOBUF, {}, 422),
    "a long trace id": (as_protobuf(export(span(), span(traceId="ab" * 17))), PROTOBUF, {}, 422),
    "a deep attribute": (as_protobuf(export(span(attributes={"a": nested(101)}))), PROTOBUF, {}, 400),
    "a deep attribute in JSON": (as_json(export(span(attributes={"a": nested(200)}))), "application/json", {}, 400),
    "an invalid experiment": (VALID, PROTOBUF, {"x-mlflow-experiment-id": "abc"}, 400),
    "no experiment": (VALID, PROTOBUF, {"x-mlflow-experiment-id": ""}, 400),
    "an unknown experiment": (VALID, PROTOBUF, {"x-mlflow-experiment-id": "999999"}, 404),
    "a long session id": (as_protobuf(export(span(attributes={"session.id": "s" * 251}))), PROTOBUF, {}, 400),
}


@pytest.mark.parametrize("reason", INVALID)
async def test_an_invalid_export_is_rejected_as_a_whole(traces: Traces, reason: str) -> None:
    body, media_type, headers, status = INVALID[reason]
    answer = await traces.send(body, media_type, headers)
    assert answer.status == status, answer.text
    assert await traces.stored() == []


async def test_an_export_without_the_header_is_rejected(traces: Traces) -> None:
    answer = await traces.client.send("POST", "/v1/traces", body=VALID, headers={"content-type": PROTOBUF})
    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["header", "x-mlflow-experiment-id"])


async def test_a_trace_of_another_experiment_is_not_changed(traces: Traces) -> None:
    await traces.export(span())
    other = await traces.client.ok("POST", "experiments/create", {"name": "other"})
    answer = await traces.export(
        span("new", traceId="1" * 32), span("changed"), headers={"x-mlflow-experiment-id": other["experiment_id"]}
    )
    assert answer.json["message"] == f"Trace with ID '{TRACE_ID}' already exists in another experiment."
    assert [one["name"] for one in await traces.spans()] == ["root"]
    assert (await traces.client.get(f"/api/3.0/mlflow/traces/tr-{'1' * 32}")).status == 404


async def test_what_a_column_cannot_hold_is_replaced_or_cut_off(traces: Traces) -> None:
    sent = {
        "user.id": "\0u",
        "mlflow.llm.model": "m" * 600,
        "mlflow.spanInputs": "i\0" * 2000,
        "mlflow.traceTag.t": "\0",
    }
    answer = await traces.export(span("a\0b", sent), resource={"r": "\0" * 9000, "k" * 300: "v"})
    assert answer.status == 200, answer.text
    info = await traces.info()
    assert info["trace_metadata"]["mlflow.trace.user"] == "\ufffdu"
    assert len(info["request_preview"]) == 1000
    assert (info["tags"]["t"], len(info["tags"]["r"])) == ("\ufffd", 8000)
    assert (await traces.spans())[0]["name"] == "a\0b"


async def test_tags_that_the_server_sets_cannot_come_from_a_span(traces: Traces) -> None:
    keys = ("mlflow.artifactLocation", "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation")
    await traces.export(span(attributes={f"mlflow.traceTag.{key}": "file:///etc" for key in keys}))
    assert "file:///etc" not in (await traces.info())["tags"].values()
