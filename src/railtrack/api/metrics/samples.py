"""metrics/get-history-bulk-interval: samples of metrics for charts, spread evenly over the steps of each run."""

from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec

from railtrack.api.metrics.queries import sample_points
from railtrack.api.metrics.schemas import MetricWithRunId, SampleSpec, metrics_with_run_id
from railtrack.auth import RUNS_READ
from railtrack.context import Context
from railtrack.db import Db
from railtrack.errors import SEE_DOCS, invalid
from railtrack.search.conditions import INT64
from railtrack.wire.list_response import buffered_or_streamed
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

RUNS_LIMIT = 100
SAMPLE_LIMIT = 2500
POINTS_AT_ONCE = 25_000
"""Points that are in memory at a time."""

_encode = msgspec.json.Encoder().encode


class GetMetricHistoryBulkInterval(Request):
    run_ids: list[str]
    metric_key: RequiredStr
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = SAMPLE_LIMIT


class GetMetricHistoryBulkIntervalResponse(msgspec.Struct):
    metrics: list[MetricWithRunId] = []


@endpoint("GET", "metrics/get-history-bulk-interval", access=RUNS_READ)
async def get_metric_history_bulk_interval(
    ctx: Context, req: GetMetricHistoryBulkInterval
) -> Annotated[Response, GetMetricHistoryBulkIntervalResponse]:
    """Return at most `max_results` points of each run's metric, spread evenly by step, with the first and the last.

    Runs come in the order of the request; one that does not exist, or has no such metric, has no points.
    """
    if len(req.run_ids) > RUNS_LIMIT:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {RUNS_LIMIT} run_ids. "
            f"Received {len(req.run_ids)} run_ids. {SEE_DOCS}"
        )
    if not 1 <= req.max_results <= SAMPLE_LIMIT:
        raise invalid(f"max_results must be between 1 and {SAMPLE_LIMIT}. {SEE_DOCS}")
    if (req.start_step is None) != (req.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if req.start_step is not None and req.end_step is not None and req.start_step > req.end_step:
        raise invalid(
            f"end_step must be greater than start_step. Found start_step={req.start_step} and end_step={req.end_step}."
        )
    first_step = INT64[0] if req.start_step is None else req.start_step
    last_step = INT64[-1] if req.end_step is None else req.end_step
    spec = SampleSpec(req.metric_key, first_step, last_step, req.max_results)
    return await buffered_or_streamed(ctx.http, _encoded_samples(ctx.db, req.run_ids, spec))


async def _encoded_samples(db: Db, run_ids: list[str], spec: SampleSpec) -> AsyncGenerator[bytes, None]:
    """Yield the response in pieces, each of as many runs as have at most POINTS_AT_ONCE points in their samples."""
    separator = opening = b'{"metrics":['
    runs_at_once = POINTS_AT_ONCE // spec.size
    for start in range(0, len(run_ids), runs_at_once):
        some_ids = run_ids[start : start + runs_at_once]
        samples = await sample_points(db, some_ids, spec)
        metrics: list[MetricWithRunId] = []
        for run_id in some_ids:
            if run_id in samples:
                metrics += metrics_with_run_id(run_id, spec.key, samples[run_id])
        if metrics:
            yield separator + _encode(metrics)[1:-1]
            separator = b","
    yield b"{}" if separator is opening else b"]}"
