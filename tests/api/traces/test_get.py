"""Traces as clients read them: infos, spans in OpenTelemetry's form, and the files of the web interface."""

import json
from typing import Any

import pytest
from tests.api.traces.conftest import TRACE_ID, V3, Traces
from tests.otlp import ROOT, START_NS, TRACE, span

from railtrack.api.traces.queries import GROUP_CHARACTERS

ARTIFACT = "/ajax-api/2.0/mlflow/get-trace-artifact"
ATTACHMENT = "0af76519-16cd-43dd-8448-eb211c80319c"


async def test_a_span_is_returned_in_the_form_of_opentelemetry(traces: Traces) -> None:
    attributes: dict[str, Any] = {"t": "x", "n": 5, "r": 1.5, "f": False, "l": [1, None], "m": {"k": None}, "z": None}
    event = {"name": "e", "timeUnixNano": "1", "attributes": [{"key": "k", "value": {"stringValue": "v"}}]}
    link = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "2", "attributes": []}
    await traces.export(
        span(attributes=attributes, events=[event], links=[link], status={"code": 2, "message": "bad"}, kind=3),
        span("child", spanId="1" * 16, parentSpanId=ROOT),
    )
    answer = await traces.client.ok("GET", f"{V3}/get", query={"trace_id": TRACE_ID})
    assert answer["trace"]["trace_info"] == await traces.info()
    root, child = answer["trace"]["spans"]
    assert root == {
        "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
        "span_id": "t61rcWkgMzE=",
        "name": "root",
        "kind": "SPAN_KIND_CLIENT",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
        "attributes": [
            {"key": "t", "value": {"string_value": "x"}},
            {"key": "n", "value": {"int_value": 5}},
            {"key": "r", "value": {"double_value": 1.5}},
            {"key": "f", "value": {"bool_value": False}},
            {"key": "l", "value": {"array_value": {"values": [{"int_value": 1}, {}]}}},
            {"key": "m", "value": {"kvlist_value": {"values": [{"key": "k"}]}}},
            {"key": "z"},
            {"key": "mlflow.traceRequestId", "value": {"string_value": TRACE_ID}},
        ],
        "events": [{"time_unix_nano": 1, "name": "e", "attributes": [{"key": "k", "value": {"string_value": "v"}}]}],
        "links": [{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAI="}],
        "status": {"message": "bad", "code": "STATUS_CODE_ERROR"},
    }
    assert (child["parent_span_id"], child["status"]) == ("t61rcWkgMzE=", {})


async def test_a_trace_is_not_complete_before_all_counted_spans_are_stored(traces: Traces) -> None:
    await traces.start(trace_metadata={"mlflow.trace.sizeStats": json.dumps({"num_spans": 2})})
    await traces.export(span())
    answer = await traces.client.get(f"{V3}/get", {"trace_id": TRACE_ID})
    assert (answer.status, "not fully exported" in answer.json["message"]) == (404, True)
    assert await traces.client.ok("GET", f"{V3}/batchGet", query={"trace_ids": [TRACE_ID]}) == {}
    partial = await traces.client.ok("GET", f"{V3}/get", query={"trace_id": TRACE_ID, "allow_partial": "true"})
    assert len(partial["trace"]["spans"]) == 1
    await traces.export(span("child", spanId="1" * 16, parentSpanId=ROOT))
    assert len((await traces.client.ok("GET", f"{V3}/get", query={"trace_id": TRACE_ID}))["trace"]["spans"]) == 2


async def test_traces_are_returned_in_the_order_of_the_ids(traces: Traces) -> None:
    ids = [f"tr-{number:032x}" for number in (3, 1, 2)]
    await traces.export(*(span(traceId=trace_id.removeprefix("tr-")) for trace_id in ids))
    asked = [ids[0], "tr-none", ids[1], ids[2], ids[0]]
    loaded = await traces.client.ok("GET", f"{V3}/batchGet", query={"trace_ids": asked})
    assert [trace["trace_info"]["trace_id"] for trace in loaded["traces"]] == ids
    infos = await traces.client.ok("POST", f"{V3}/batchGetInfos", {"trace_ids": asked})
    assert [info["trace_id"] for info in infos["trace_infos"]] == ids
    for number, found in ((traces.experiment_id, 3), ("999999", 0)):
        body = {"trace_ids": asked, "experiment_ids": [number]}
        answer = await traces.client.ok("POST", f"{V3}/batchGetInfos", body)
        assert len(answer.get("trace_infos", ())) == found


async def test_a_large_trace_is_returned_whole(traces: Traces) -> None:
    text = "x" * (GROUP_CHARACTERS // 4)
    large = [span(f"s{n}", {"t": text}, spanId=f"{n:016x}", parentSpanId=ROOT) for n in range(1, 13)]
    await traces.export(span(), *large)
    await traces.export(span(traceId="1" * 32))
    assert len(await traces.spans()) == 13
    ids = [TRACE_ID, f"tr-{'1' * 32}"]
    loaded = await traces.client.ok("GET", f"{V3}/batchGet", query={"trace_ids": ids})
    assert [len(trace["spans"]) for trace in loaded["traces"]] == [13, 1]
    assert loaded["traces"][0]["spans"][12]["name"] == "s12"


async def test_spans_of_older_clients_are_read_from_the_artifacts_of_the_trace(traces: Traces) -> None:
    await traces.start()
    folder = f"/api/2.0/mlflow-artifacts/artifacts/{traces.experiment_id}/traces/{TRACE_ID}/artifacts"
    missing = await traces.client.get(ARTIFACT, {"request_id": TRACE_ID})
    assert (missing.status, missing.json["message"]) == (404, "Trace data not found for path=traces.json")
    await traces.client.send("PUT", f"{folder}/traces.json", body=b'{"spans": []}')
    await traces.client.send("PUT", f"{folder}/attachments/{ATTACHMENT}", body=b"image")
    assert (await traces.client.get(ARTIFACT, {"request_id": TRACE_ID})).body == b'{"spans": []}'
    assert (await traces.client.get(ARTIFACT, {"request_id": TRACE_ID, "path": ATTACHMENT})).body == b"image"
    answer = await traces.client.get(f"{V3}/get", {"trace_id": TRACE_ID})
    assert (answer.status, answer.json["message"]) == (400, "Trace data not stored in tracking store")


@pytest.mark.parametrize("path", ["../traces.json", "traces.json", "/etc/passwd", "%2e%2e/x"])
async def test_only_attachments_are_read_by_path(traces: Traces, path: str) -> None:
    await traces.start()
    assert (await traces.client.get(ARTIFACT, {"request_id": TRACE_ID, "path": path})).status == 400


async def test_the_file_of_a_trace_is_an_attachment_in_a_sandbox(traces: Traces) -> None:
    await traces.export(span())
    answer = await traces.client.get(ARTIFACT, {"request_id": TRACE_ID})
    assert answer.headers["content-disposition"] == "attachment; filename=traces.json"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("path", [f"{V3}/tr-none", f"{V3}/get?trace_id=tr-none", f"{ARTIFACT}?request_id=tr-none"])
async def test_a_missing_trace_does_not_exist(traces: Traces, path: str) -> None:
    answer = await traces.client.get(path)
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_a_page_of_traces_continues_where_the_last_one_ended(traces: Traces) -> None:
    spans = [span(traceId=f"{n:032x}", attributes={"mlflow.traceTag.parity": str(n % 2)}) for n in range(1, 10)]
    await traces.export(*spans)
    found, token = [], ""
    while True:
        page = await traces.search(max_results=2, page_token=token, filter="tag.parity = '1' AND status = 'OK'")
        found += [trace["trace_id"][-1] for trace in page["traces"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == ["1", "3", "5", "7", "9"]  # of the same time: by id
    assert TRACE not in found
