"""POST traces: the info of a trace, which a client sends when the trace has ended. Its spans come by otlp.py."""

from typing import Any

import msgspec

from railtrack.api.assessments.schemas import AssessmentInput, new_row
from railtrack.api.traces.queries import load_info
from railtrack.api.traces.schemas import (
    CLIENT_REQUEST_ID_LIMIT,
    STATES,
    TraceInfoResponse,
    TraceLocation,
    TraceRecord,
    TraceTexts,
    TraceWithInfo,
    check_new_trace_id,
    duration_ms,
    stored_texts,
    timestamp_ms,
    trace_info,
)
from railtrack.api.traces.writes import StartEntry, write_started
from railtrack.auth import TRACE_CREATE
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.errors import invalid, invalid_value
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.validation import check_length
from railtrack.tracing.attribute_keys import ARTIFACT_LOCATION_TAG, FINALIZED_METADATA, NAME_TAG, SYSTEM_TAGS
from railtrack.tracing.values import PREVIEW_LIMIT, check_trace_name, storable
from railtrack.wire.request import Request
from railtrack.wire.routing import endpoint

ASSESSMENTS_LIMIT = 1000
"""Assessments that are sent with a trace."""


class NewTraceInfo(msgspec.Struct):
    """`state` is a name or its number. Times are in protobuf's JSON form."""

    trace_id: str = ""
    client_request_id: str | None = None
    trace_location: TraceLocation | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    request_time: str = "1970-01-01T00:00:00Z"
    execution_duration: str | None = None
    state: Any = None
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[AssessmentInput] = []


class NewTrace(msgspec.Struct):
    trace_info: NewTraceInfo | None = None


class StartTrace(Request):
    ACCEPTS_NUL = True

    trace: NewTrace

    @property
    def experiment_id(self) -> str:
        """Return the experiment of the trace, "" if the request names none."""
        info = self.trace.trace_info
        location = info.trace_location.mlflow_experiment if info and info.trace_location else None
        return location.experiment_id if location else ""


@endpoint("POST", "traces", access=TRACE_CREATE, api="3.0")
async def start_trace(ctx: Context, req: StartTrace) -> TraceInfoResponse:
    """Create a trace, or complete the one that its spans have created. Tags and metadata are merged."""
    entry = _entry(req)
    await ctx.grouped(write_started).submit(entry)
    if not entry.was_new or entry.assessments:
        return TraceInfoResponse(TraceWithInfo(await load_info(ctx.db, entry.record.request_id)))
    texts = TraceTexts(
        entry.tags | {ARTIFACT_LOCATION_TAG: entry.artifact_location}, entry.metadata | {FINALIZED_METADATA: "true"}
    )
    return TraceInfoResponse(TraceWithInfo(trace_info(entry.record, texts, [])))


def _entry(req: StartTrace) -> StartEntry:
    """Validate the request and return what to store."""
    info = req.trace.trace_info or NewTraceInfo()
    check_new_trace_id(info.trace_id)
    check_trace_name(info.tags.get(NAME_TAG))
    if not req.experiment_id:
        raise invalid("A trace needs an experiment: trace_location.mlflow_experiment.experiment_id is missing.")
    if info.client_request_id is not None:
        check_length("client_request_id", info.client_request_id, CLIENT_REQUEST_ID_LIMIT)
    record = TraceRecord(
        info.trace_id,
        experiment_number(req.experiment_id),
        timestamp_ms(info.request_time, "trace.trace_info.request_time"),
        None
        if info.execution_duration is None
        else duration_ms(info.execution_duration, "trace.trace_info.execution_duration"),
        _state(info.state),
        None if info.client_request_id is None else storable(info.client_request_id),
        _preview(info.request_preview),
        _preview(info.response_preview),
        trace_name=storable(info.tags[NAME_TAG]) if NAME_TAG in info.tags else None,
    )
    metadata = record.set_metadata(stored_texts(info.trace_metadata, "trace_metadata"))
    tags = {
        key: value
        for key, value in stored_texts(info.tags, "tags").items()
        if key not in SYSTEM_TAGS and key != NAME_TAG
    }
    if len(info.assessments) > ASSESSMENTS_LIMIT:
        raise invalid(f"A trace can be sent with at most {ASSESSMENTS_LIMIT} assessments. Got {len(info.assessments)}.")
    now = now_ms()
    return StartEntry(record, tags, metadata, [new_row(sent, now) for sent in info.assessments])


def _preview(text: str | None) -> str | None:
    return None if text is None else storable(text)[:PREVIEW_LIMIT]


def _state(state: Any) -> str:
    if state is None:
        return STATES[0]
    if isinstance(state, int) and not isinstance(state, bool) and 0 <= state < len(STATES):
        return STATES[state]
    if state in STATES:
        return str(state)
    raise invalid_value("trace.trace_info.state", state)
