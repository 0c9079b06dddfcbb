"""Version 2 of the API for traces, of clients before 3.0: start, end and read a trace. Its search is in search.py."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import uuid4

from railtrack.api.traces.queries import load_records, load_texts
from railtrack.api.traces.schemas import (
    STATES,
    KeyValue,
    TraceInfoV2Response,
    TraceRecord,
    TraceTexts,
    no_such_trace,
    stored_texts,
    trace_info_v2,
)
from railtrack.api.traces.writes import EndEntry, StartEntry, write_ended, write_started
from railtrack.auth import TRACE_CREATE, TRACE_EDIT, TRACE_READ
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid_value
from railtrack.mlflow.ids import experiment_number
from railtrack.tracing.attribute_keys import ARTIFACT_LOCATION_TAG, NAME_TAG, SYSTEM_TAGS
from railtrack.tracing.values import check_trace_name
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.routing import endpoint


class StartTraceV2(Request):
    experiment_id: RequiredStr
    timestamp_ms: Int64
    request_metadata: list[KeyValue] = []
    tags: list[KeyValue] = []


@endpoint("POST", "traces", access=TRACE_CREATE)
async def start_trace_v2(ctx: Context, req: StartTraceV2) -> TraceInfoV2Response:
    """Create a trace, whose spans the client will store among its artifacts."""
    tags, name = _tags(req.tags)
    record = TraceRecord(
        uuid4().hex, experiment_number(req.experiment_id), req.timestamp_ms, status="IN_PROGRESS", trace_name=name
    )
    metadata = record.set_metadata(_texts(req.request_metadata, "request_metadata"))
    entry = StartEntry(record, tags, metadata, is_final=False)
    await ctx.grouped(write_started).submit(entry)
    tags = tags | {ARTIFACT_LOCATION_TAG: entry.artifact_location}
    return TraceInfoV2Response(trace_info_v2(record, TraceTexts(tags, metadata)))


class EndTraceV2(Request):
    ALIASES: ClassVar = {"request_id": "trace_id"}

    trace_id: RequiredStr
    timestamp_ms: Int64
    status: RequiredStr
    request_metadata: list[KeyValue] = []
    tags: list[KeyValue] = []


@endpoint("PATCH", "traces/{trace_id}", access=TRACE_EDIT)
async def end_trace_v2(ctx: Context, req: EndTraceV2) -> TraceInfoV2Response:
    """Set the end and the status of a trace, and add tags and metadata."""
    if req.status not in STATES[1:]:
        raise invalid_value("status", req.status)
    tags, name = _tags(req.tags)
    given = TraceRecord(req.trace_id, 0, 0, status=req.status, trace_name=name)
    metadata = given.set_metadata(_texts(req.request_metadata, "request_metadata"))
    await ctx.grouped(write_ended).submit(EndEntry(given, req.timestamp_ms, tags, metadata))
    async with ctx.db.read() as tx:
        return await _response(tx, req.trace_id)


class GetTraceInfoV2(Request):
    ALIASES: ClassVar = {"request_id": "trace_id"}

    trace_id: RequiredStr


@endpoint("GET", "traces/{trace_id}/info", access=TRACE_READ)
async def get_trace_info_v2(ctx: Context, req: GetTraceInfoV2) -> TraceInfoV2Response:
    """Return the info of a trace, in the form of version 2."""
    async with ctx.db.read() as tx:
        return await _response(tx, req.trace_id)


async def _response(tx: Tx, trace_id: str) -> TraceInfoV2Response:
    records = await load_records(tx, [trace_id])
    if not records:
        raise no_such_trace(trace_id)
    texts = await load_texts(tx, [trace_id])
    return TraceInfoV2Response(trace_info_v2(records[0], texts[trace_id]))


def _tags(tags: Sequence[KeyValue]) -> tuple[dict[str, str], str | None]:
    """Return the tags to store, and the name of the trace. Clients send back tags of the server, which are ignored."""
    values = _texts(tags, "tags")
    name = values.pop(NAME_TAG, None)
    check_trace_name(name)
    return {key: value for key, value in values.items() if key not in SYSTEM_TAGS}, name


def _texts(pairs: Sequence[KeyValue], field: str) -> dict[str, str]:
    return stored_texts({pair.key: pair.value for pair in pairs}, field)
