"""metrics/get-history and get-history-bulk: all points of a metric, of one or of several runs. Samples: samples.py."""

from collections.abc import Sequence
from itertools import repeat
from typing import Annotated, Any, ClassVar

import msgspec

from railtrack.api.metrics.queries import fetch_points
from railtrack.api.metrics.schemas import MetricWithRunId, metrics_with_run_id
from railtrack.api.runs.schemas import Metric
from railtrack.auth import RUN_READ, RUNS_READ
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.search.conditions import INT64
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

RUNS_LIMIT = 100
ROWS_AT_ONCE = 25_000
"""Points that one statement reads: a page of MLflow's clients. No index has their order, so each statement sorts."""


class GetMetricHistory(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    metric_key: RequiredStr
    page_token: str = ""
    max_results: Int64 | None = None


class GetMetricHistoryResponse(msgspec.Struct):
    metrics: list[Metric] = []
    next_page_token: str = ""


@endpoint("GET", "metrics/get-history", access=RUN_READ)
async def get_metric_history(ctx: Context, req: GetMetricHistory) -> Annotated[Response, GetMetricHistoryResponse]:
    """Return the points of a run's metric by time, step and value: a page of `max_results`, or all without it.

    All points are streamed. A run or metric that does not exist has no points.
    """
    if req.max_results is not None and req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    where = ["run_uuid = $1", "key = $2"]
    query = PagedQuery("is_nan", "metrics", where, Order((), BY_TIME), [req.run_id, req.metric_key])

    async def fetch(sql: str, *values: Any) -> Sequence[Metric]:
        return (await fetch_points(ctx.db, sql, *values)).metrics(repeat(req.metric_key))

    limit = INT64[-1] if req.max_results is None else req.max_results
    chunks = fetch_page(
        fetch,
        query.starting_at(req.page_token),
        limit,
        sort_values=_sort_values,
        rows_at_once=ROWS_AT_ONCE,
        chunk_rows=ROWS_AT_ONCE,
    )
    return await list_response(ctx.http, GetMetricHistoryResponse, chunks, limit)


BY_TIME = (
    SortKey("timestamp", ValueType.BIGINT),
    SortKey("step", ValueType.BIGINT),
    SortKey("value", ValueType.DOUBLE),
    SortKey("CAST(is_nan AS INTEGER)", ValueType.BIGINT),
)


def _sort_values(point: Metric) -> tuple[int, int, float, int]:
    """Return the point's values of BY_TIME."""
    value = point.value
    return (point.timestamp, point.step, 0.0, 1) if isinstance(value, str) else (point.timestamp, point.step, value, 0)


class GetMetricHistoryBulk(Request):
    run_id: list[str] = []
    metric_key: str | None = None
    max_results: Int64 = ROWS_AT_ONCE


class GetMetricHistoryBulkResponse(msgspec.Struct):
    metrics: list[MetricWithRunId]


@endpoint("GET", "metrics/get-history-bulk", access=RUNS_READ, ajax_only=True)
async def get_metric_history_bulk(ctx: Context, req: GetMetricHistoryBulk) -> GetMetricHistoryBulkResponse:
    """Return the points of a metric of several runs, run by run, by time: the first 25,000 at most, without paging."""
    if not req.run_id:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(req.run_id) > RUNS_LIMIT:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {RUNS_LIMIT} run_ids. "
            f"Received {len(req.run_id)} run_ids."
        )
    if req.metric_key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    if req.max_results < 0:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    limit = min(req.max_results, ROWS_AT_ONCE)
    metrics: list[MetricWithRunId] = []
    for run_id in sorted(set(req.run_id)):
        points = await fetch_points(ctx.db, FIRST_POINTS, run_id, req.metric_key, limit - len(metrics))
        metrics += metrics_with_run_id(run_id, req.metric_key, points)
        if len(metrics) == limit:
            break
    return GetMetricHistoryBulkResponse(metrics)


FIRST_POINTS = """
    SELECT is_nan, timestamp, step, value, 0 FROM metrics WHERE run_uuid = $1 AND key = $2
    ORDER BY timestamp, step, value, is_nan LIMIT $3
"""
"""Of one run: sorting the points of all runs by run first takes PostgreSQL five times as long."""
