"""The info of a trace, which a client sends at its end."""

import json
from typing import Any

import pytest
from tests.api.traces.conftest import TRACE_ID, V3, Traces
from tests.otlp import span

FEEDBACK = {"assessment_name": "good", "feedback": {"value": True}, "source": {"source_type": "HUMAN"}}


async def test_an_info_is_stored_as_it_was_sent(traces: Traces) -> None:
    metadata = {
        "mlflow.trace.session": "S",
        "mlflow.trace.tokenUsage": '{"input_tokens": 1, "output_tokens": "2", "unknown": 3}',
        "mlflow.trace.cost": '{"total_cost": 0.5}',
        "mine": "é",
    }
    answer = await traces.start(
        client_request_id="c-1",
        tags={"a": "b", "mlflow.traceName": "n", "mlflow.artifactLocation": "file:///etc"},
        trace_metadata=metadata,
        request_preview="p\0q",
        response_preview="r",
    )
    assert answer == await traces.info()
    assert answer.pop("trace_metadata") == {
        "mlflow.trace.session": "S",
        "mlflow.trace.tokenUsage": '{"input_tokens": 1, "output_tokens": 2}',
        "mlflow.trace.cost": '{"total_cost": 0.5}',
        "mlflow.trace.infoFinalized": "true",
        "mine": "é",
    }
    location = f"mlflow-artifacts:/{traces.experiment_id}/traces/{TRACE_ID}/artifacts"
    assert answer == {
        "trace_id": TRACE_ID,
        "client_request_id": "c-1",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": traces.experiment_id},
        },
        "request_time": "2026-12-01T02:50:22.411Z",
        "execution_duration": "1s",
        "state": "OK",
        "tags": {"a": "b", "mlflow.traceName": "n", "mlflow.artifactLocation": location},
        "request_preview": "p\ufffdq",
        "response_preview": "r",
    }


async def test_sending_an_info_again_merges_it(traces: Traces) -> None:
    await traces.start(tags={"a": "1", "mlflow.traceName": "n"}, trace_metadata={"x": "1"}, request_preview="first")
    answer = await traces.start(tags={"a": "2", "b": "3"}, trace_metadata={"y": "2"}, state="ERROR")
    assert (answer["state"], answer["request_preview"], answer["tags"]["mlflow.traceName"]) == ("ERROR", "first", "n")
    assert (answer["tags"]["a"], answer["tags"]["b"]) == ("2", "3")
    assert answer["trace_metadata"] == {"x": "1", "y": "2", "mlflow.trace.infoFinalized": "true"}


async def test_an_info_completes_the_trace_of_its_spans(traces: Traces) -> None:
    await traces.export(span("child", parentSpanId="1" * 16))
    answer = await traces.start(tags={"mlflow.traceName": "n"})
    assert answer["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert answer["state"] == "OK"


async def test_assessments_that_come_with_an_info_are_stored_once(traces: Traces) -> None:
    sent = FEEDBACK | {"assessment_id": "a-1"}
    for _ in range(2):
        [stored] = (await traces.start(assessments=[sent]))["assessments"]
    assert (stored["assessment_id"], stored["trace_id"], stored["feedback"]) == ("a-1", TRACE_ID, {"value": True})
    other = await traces.client.post(V3, traces.new("tr-other", assessments=[sent]))
    assert other.json["message"] == "Assessment with ID 'a-1' belongs to another trace."
    assert await traces.stored() == [TRACE_ID]


@pytest.mark.parametrize(
    ("state", "stored"), [(None, "STATE_UNSPECIFIED"), (2, "ERROR"), ("IN_PROGRESS", "IN_PROGRESS")]
)
async def test_a_state_is_a_name_or_a_number(traces: Traces, state: Any, stored: str) -> None:
    assert (await traces.start(state=state))["state"] == stored


async def test_times_have_milliseconds_at_most(traces: Traces) -> None:
    answer = await traces.start(request_time="2026-12-01T04:50:22.4119+02:00", execution_duration="0.0475s")
    assert (answer["request_time"], answer["execution_duration"]) == ("2026-12-01T02:50:22.411Z", "0.047s")
    answer = await traces.start("tr-2", request_time=None, execution_duration=None)
    assert (answer["request_time"], "execution_duration" in answer) == ("1970-01-01T00:00:00Z", False)


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": ""},
        {"trace_id": "a/b"},
        {"trace_id": ".."},
        {"trace_id": "a%2f"},
        {"trace_id": "t" * 51},
        {"request_time": "yesterday"},
        {"request_time": "2026-13-01T00:00:00Z"},
        {"execution_duration": "47"},
        {"state": "DONE"},
        {"state": 9},
        {"tags": {"k" * 251: "v"}},
        {"trace_metadata": {"k" * 251: "v"}},
        {"trace_metadata": {"mlflow.trace.session": "s" * 251}},
        {"tags": {"mlflow.traceName": "n" * 4097}},
        {"client_request_id": "c" * 51},
        {"trace_location": None},
        {"assessments": [{"assessment_name": "no value"}]},
    ],
    ids=json.dumps,
)
async def test_an_invalid_info_is_rejected(traces: Traces, fields: dict[str, Any]) -> None:
    answer = await traces.client.post(V3, traces.new(**{"trace_id": TRACE_ID, **fields}))
    assert answer.status == 400, answer.text
    assert await traces.stored() == []


async def test_a_trace_needs_an_active_experiment(traces: Traces) -> None:
    await traces.client.ok("POST", "experiments/delete", {"experiment_id": traces.experiment_id})
    answer = await traces.client.post(V3, traces.new())
    assert "must be in the 'active' state" in answer.json["message"]


async def test_a_trace_does_not_move_to_another_experiment(traces: Traces) -> None:
    await traces.start()
    other = await traces.client.ok("POST", "experiments/create", {"name": "other"})
    answer = await traces.client.post(V3, Traces(traces.client, other["experiment_id"]).new())
    assert answer.json["message"] == f"Trace with ID '{TRACE_ID}' already exists in another experiment."
