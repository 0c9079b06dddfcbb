"""POST /v1/traces: spans in OpenTelemetry's protocol, from MLflow's clients, other SDKs and collectors.

Errors have MLflow's form, and `detail`, which is all that MLflow's endpoint for exports sends.
"""

import asyncio
import zlib
from collections.abc import Iterator

import msgspec

from railtrack.api.traces.writes import SpansEntry, link_traces, write_spans
from railtrack.auth import SPANS_CREATE
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.mlflow.ids import experiment_number
from railtrack.tracing.spans import InvalidSpan, SpanReader
from railtrack.wire.otlp.json_format import JsonDecoder
from railtrack.wire.otlp.messages import InvalidOtlp
from railtrack.wire.otlp.protobuf import ProtobufDecoder
from railtrack.wire.request import BODY_LIMIT, HttpRequest
from railtrack.wire.response import JSON, BytesResponse
from railtrack.wire.routing import endpoint
from railtrack.wire.turns import in_turn

PROTOBUF = "application/x-protobuf"
STEP_BYTES = 64 * 1024
"""Bytes that are decompressed, and characters of spans that are translated, before other requests have a turn."""


@endpoint("POST", "/v1/traces", access=SPANS_CREATE)
async def export_traces(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Store the spans of an export, all or none. The response has the encoding of the request."""
    try:
        return await _export(ctx, http)
    except _Rejected as error:
        members = {"error_code": "INVALID_PARAMETER_VALUE", "message": str(error), "detail": error.detail}
        return BytesResponse(msgspec.json.encode(members), status=error.status)


class _Rejected(Exception):
    def __init__(self, status: int, message: str, detail: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = message if detail is None else detail


async def _export(ctx: Context, http: HttpRequest) -> BytesResponse:
    experiment_id = _experiment_id(http)
    media_type = _media_type(http)
    body = await _decompressed(http, await http.body())
    try:
        reader = await _read(body, media_type)
    except InvalidOtlp:
        raise _Rejected(400, "Invalid OpenTelemetry format") from None
    except InvalidSpan as error:
        raise _Rejected(422, str(error)) from None
    del body
    traces = list(reader.traces.values())
    if traces:
        await ctx.grouped(write_spans).submit(SpansEntry(experiment_number(experiment_id), traces, reader.size))
        if run_id := http.header(b"x-mlflow-run-id"):
            # Only of finished traces. The spans are stored already, so an unknown run is no error, as in MLflow.
            finished = [(new.trace_id, run_id) for new in traces if new.has_root]
            await link_traces(ctx.db, "run", finished, now_ms())
    return BytesResponse(b"{}") if media_type == JSON else BytesResponse(b"", PROTOBUF)


def _experiment_id(http: HttpRequest) -> str:
    if not http.header_list(b"x-mlflow-experiment-id"):
        missing = {
            "type": "missing",
            "loc": ["header", "x-mlflow-experiment-id"],
            "msg": "Field required",
            "input": None,
        }
        raise _Rejected(422, "The header x-mlflow-experiment-id is required.", [missing])
    return http.header(b"x-mlflow-experiment-id")


def _media_type(http: HttpRequest) -> str:
    sent = http.header(b"content-type")
    media_type = sent.split(";")[0].strip()
    if media_type not in (PROTOBUF, JSON):
        raise _Rejected(400, f"Invalid Content-Type: {sent[:250] or None}. Expected: {PROTOBUF} or {JSON}")
    return media_type


async def _decompressed(http: HttpRequest, body: bytes) -> bytes:
    """Return the body without its Content-Encoding. Its size is counted before its memory is reserved."""
    encoding = http.header(b"content-encoding").lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise _Rejected(400, f"Unsupported Content-Encoding: {encoding[:250]}")
    for window in (31,) if encoding == "gzip" else (15, -15):
        try:
            size = 0
            for piece in _pieces(body, window):
                size += len(piece)
                if size > BODY_LIMIT:
                    raise ApiError(
                        "BAD_REQUEST", f"The request body is longer than {BODY_LIMIT} bytes, decompressed.", status=413
                    )
                await asyncio.sleep(0)
            break
        except zlib.error:
            continue
    else:
        raise _Rejected(400, f"Failed to decompress {encoding} payload")
    if size > len(body):
        await http.hold_decoded(size)
    pieces = []
    for piece in _pieces(body, window):
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)


def _pieces(body: bytes, window: int) -> Iterator[bytes]:
    """Yield the decompressed body in pieces. Raise zlib.error if it is invalid or truncated."""
    while body:
        decompressor = zlib.decompressobj(window)
        while not decompressor.eof:
            piece = decompressor.decompress(body, STEP_BYTES)
            body = decompressor.unconsumed_tail
            if not piece and not body and not decompressor.eof:
                raise zlib.error("truncated")
            yield piece
        # What follows is another member of a gzip file; zeros are padding.
        body = decompressor.unused_data.lstrip(b"\0") if window == 31 else b""


async def _read(body: bytes, media_type: str) -> SpanReader:
    """Decode and translate all spans, in steps. Raise if one of them is invalid."""
    decoder: JsonDecoder | ProtobufDecoder
    decoder = await in_turn(JsonDecoder, body) if media_type == JSON else ProtobufDecoder(body)
    resources = await in_turn(decoder.export)
    if not resources:
        raise _Rejected(400, "Invalid OpenTelemetry format - no spans found")
    reader = SpanReader()
    size = 0
    for attributes, spans in resources:
        for encoded in spans:
            reader.add(decoder.span(encoded), attributes)
            if reader.size - size > STEP_BYTES:
                size = reader.size
                await in_turn(_nothing)
    return reader


def _nothing() -> None:
    """Do nothing: the turn itself is what the caller waits for."""
