"""Read traces: the info of one, or infos and spans of several. Payloads for the web interface are in payload.py."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import msgspec

from railtrack.api.traces.queries import (
    GROUP_CHARACTERS,
    TRACES_AT_ONCE,
    content_groups,
    has_stored_spans,
    load_contents,
    load_info,
    load_infos,
    load_records,
    spans_sizes,
)
from railtrack.api.traces.schemas import TraceInfo, TraceInfoResponse, TraceWithInfo, check_trace_ids
from railtrack.auth import TRACE_READ, TRACES_READ
from railtrack.context import Context
from railtrack.errors import invalid, not_found
from railtrack.mlflow.ids import experiment_numbers
from railtrack.tracing.attribute_keys import SIZE_METADATA
from railtrack.tracing.otel_spans import otel_span
from railtrack.wire.list_response import buffered_or_streamed
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint


class GetTraceInfo(Request):
    trace_id: RequiredStr


@endpoint("GET", "traces/{trace_id}", access=TRACE_READ, api="3.0")
async def get_trace_info(ctx: Context, req: GetTraceInfo) -> TraceInfoResponse:
    """Return the info of a trace, without its spans."""
    async with ctx.db.read() as tx:
        return TraceInfoResponse(TraceWithInfo(await load_info(tx, req.trace_id)))


class GetTrace(Request):
    trace_id: RequiredStr
    allow_partial: bool = False


class Trace(msgspec.Struct):
    trace_info: TraceInfo
    spans: list[dict[str, Any]]


class TraceResponse(msgspec.Struct):
    trace: Trace


@endpoint("GET", "traces/get", access=TRACE_READ, api="3.0")
async def get_trace(ctx: Context, req: GetTrace) -> Annotated[Response, TraceResponse]:
    """Return a trace with its spans. Unless `allow_partial`, it must have all of the spans that its client counted."""
    async with ctx.db.read() as tx:
        records = await load_records(tx, [req.trace_id])
        if not records:
            raise not_found(f"Trace with ID {req.trace_id[:250]} is not found.")
        [info] = await load_infos(tx, records)
    _check_stored([info])
    if not req.allow_partial:
        [size] = await spans_sizes(ctx.db, [req.trace_id])
        if size.spans < _expected_spans(info):
            raise not_found(f"Trace with ID {req.trace_id[:250]} is not fully exported yet, please try again later.")
    return await buffered_or_streamed(ctx.http, _traces(ctx, [info], b'{"trace":', b"}", allow_partial=True))


class BatchGetTraces(Request):
    trace_ids: list[str]
    experiment_ids: list[str] | None = None


class TracesResponse(msgspec.Struct):
    traces: list[Trace] = []


@endpoint("GET", "traces/batchGet", access=TRACES_READ, api="3.0")
async def batch_get_traces(ctx: Context, req: BatchGetTraces) -> Annotated[Response, TracesResponse]:
    """Return traces with their spans, without those that do not exist or are not complete."""
    infos = await _infos(ctx, req.trace_ids, req.experiment_ids)
    _check_stored(infos)
    return await buffered_or_streamed(ctx.http, _traces(ctx, infos, b'{"traces":[', b"]}"))


class BatchGetTraceInfos(Request):
    trace_ids: list[str]
    experiment_ids: list[str] | None = None


class TraceInfosResponse(msgspec.Struct, omit_defaults=True):
    trace_infos: list[TraceInfo] = []


@endpoint("POST", "traces/batchGetInfos", access=TRACES_READ, api="3.0", is_read=True)
async def batch_get_trace_infos(ctx: Context, req: BatchGetTraceInfos) -> TraceInfosResponse:
    """Return the infos of traces, without those that do not exist."""
    return TraceInfosResponse(await _infos(ctx, req.trace_ids, req.experiment_ids))


async def _infos(ctx: Context, trace_ids: list[str], experiment_ids: list[str] | None) -> list[TraceInfo]:
    """Return the infos of those traces that are in one of the experiments and that the caller may read."""
    trace_ids = check_trace_ids(trace_ids)
    numbers = None if experiment_ids is None else set(experiment_numbers(experiment_ids))
    readable = await ctx.read_filter("experiment", "trace")
    async with ctx.db.read() as tx:
        records = [
            record
            for record in await load_records(tx, trace_ids)
            if (numbers is None or record.experiment_id in numbers) and readable.allows(str(record.experiment_id))
        ]
        return await load_infos(tx, records)


def _check_stored(infos: Sequence[TraceInfo]) -> None:
    """Raise if the spans of a trace are not in the database: its client reads them from its artifacts."""
    if not all(map(has_stored_spans, infos)):
        raise invalid("Trace data not stored in tracking store")


NOTHING = b"{}"


async def _traces(
    ctx: Context, infos: Sequence[TraceInfo], opening: bytes, closing: bytes, *, allow_partial: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the JSON of traces with their spans between two texts, those that are complete."""
    separator = b""
    for start in range(0, len(infos), TRACES_AT_ONCE):
        some = {info.trace_id: info for info in infos[start : start + TRACES_AT_ONCE]}
        sizes = [
            size
            for size in await spans_sizes(ctx.db, list(some))
            if allow_partial or (size.spans and size.spans >= _expected_spans(some[size.trace_id]))
        ]
        while sizes:
            group = [sizes.pop(0)]
            characters = group[0].characters
            while sizes and characters + sizes[0].characters <= GROUP_CHARACTERS:
                characters += sizes[0].characters
                group.append(sizes.pop(0))
            if characters > GROUP_CHARACTERS:
                async for piece in _large_trace(ctx, some[group[0].trace_id]):
                    yield opening + separator + piece
                    opening = separator = b""
            else:
                contents = await load_contents(ctx.db, [size.trace_id for size in group])
                traces = [
                    Trace(some[size.trace_id], [otel_span(content) for content in contents.get(size.trace_id, ())])
                    for size in group
                ]
                yield opening + separator + msgspec.json.encode(traces)[1:-1]
            opening, separator = b"", b","
    yield closing if separator else NOTHING


async def _large_trace(ctx: Context, info: TraceInfo) -> AsyncGenerator[bytes, None]:
    """Yield the JSON of one trace, some of its spans at a time."""
    before = b'{"trace_info":' + msgspec.json.encode(info) + b',"spans":['
    async for contents in content_groups(ctx.db, ctx.http, info.trace_id):
        yield before + msgspec.json.encode([otel_span(content) for content in contents])[1:-1]
        before = b","
    yield b"]}"


def _expected_spans(info: TraceInfo) -> int:
    """Return how many spans the client of the trace has counted, 1 if it has not."""
    text = info.trace_metadata.get(SIZE_METADATA)
    if text:
        try:
            count = json.loads(text).get("num_spans", 0)
        except (ValueError, AttributeError):
            return 1
        if isinstance(count, int):
            return count
    return 1
