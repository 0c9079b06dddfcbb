"""Searches for traces and their metrics, which the UI's experiment page requests: empty if none are stored."""

from typing import Any

import msgspec

from railtrack.api.traces.queries import check_none_stored
from railtrack.auth import EXPERIMENTS_READ
from railtrack.context import Context
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

COUNT_METRICS = ("trace_count", "session_count")


class ExperimentLocation(msgspec.Struct):
    experiment_id: str = ""


class TraceLocation(msgspec.Struct):
    mlflow_experiment: ExperimentLocation | None = None


class SearchTraces(Request):
    locations: list[TraceLocation]


@endpoint("POST", "traces/search", access=EXPERIMENTS_READ, api="3.0", is_read=True)
async def search_traces(ctx: Context, req: SearchTraces) -> EmptyResponse:
    """Return no traces: this version does not serve them."""
    experiments = [location.mlflow_experiment for location in req.locations if location.mlflow_experiment]
    await check_none_stored(ctx.db, [experiment.experiment_id for experiment in experiments], "trace_info")
    return EMPTY_RESPONSE


class Aggregation(msgspec.Struct):
    aggregation_type: str = ""


class QueryTraceMetrics(Request):
    experiment_ids: list[str]
    metric_name: RequiredStr
    aggregations: list[Aggregation] = []
    dimensions: list[str] = []
    time_interval_seconds: Any = None


class DataPoint(msgspec.Struct):
    metric_name: str
    values: dict[str, float]


class DataPointsResponse(msgspec.Struct, omit_defaults=True):
    data_points: list[DataPoint] = []


@endpoint("POST", "traces/metrics", access=EXPERIMENTS_READ, api="3.0", is_read=True)
async def query_trace_metrics(ctx: Context, req: QueryTraceMetrics) -> DataPointsResponse:
    """Return a count of zero. A query that groups by time or dimensions has no groups without traces."""
    await check_none_stored(ctx.db, req.experiment_ids, "trace_info")
    if req.metric_name not in COUNT_METRICS or req.dimensions or req.time_interval_seconds is not None:
        return DataPointsResponse()
    counts = {"COUNT": 0.0} if any(one.aggregation_type == "COUNT" for one in req.aggregations) else {}
    return DataPointsResponse([DataPoint(req.metric_name, counts)] if counts else [])
