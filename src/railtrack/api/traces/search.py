"""Search for traces, by version 3 of the API and by version 2, and their metrics."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec

from railtrack.api.traces.queries import check_none_stored, load_infos_of_rows, load_texts
from railtrack.api.traces.schemas import (
    RECORD_COLUMNS,
    TraceInfo,
    TraceInfoV2,
    TraceLocation,
    TraceRecord,
    trace_info_v2,
)
from railtrack.api.traces.search_fields import TRACES
from railtrack.auth import EXPERIMENTS_READ, TRACES_SEARCH
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import invalid, invalid_value
from railtrack.mlflow.ids import experiment_numbers
from railtrack.search.builder import SearchBuilder
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

COUNT_METRICS = ("trace_count", "session_count")
MAX_RESULTS = 500
EXPERIMENTS_LIMIT = 1000


class SearchTraces(Request):
    locations: list[TraceLocation]
    filter: str = ""
    max_results: Int32 = 100
    order_by: list[str] = []
    page_token: str = ""

    @property
    def experiment_ids(self) -> list[str]:
        """Return the experiments to search."""
        return [one.mlflow_experiment.experiment_id for one in self.locations if one.mlflow_experiment]


class SearchTracesResponse(msgspec.Struct):
    traces: list[TraceInfo] = []
    next_page_token: str = ""


@endpoint("POST", "traces/search", access=TRACES_SEARCH, api="3.0", is_read=True)
async def search_traces(ctx: Context, req: SearchTraces) -> Annotated[Response, SearchTracesResponse]:
    """Return a page of the traces that match a filter, without their spans; the newest first unless ordered."""
    chunks = fetch_page(ctx.db.fetch, _compile(req, req.experiment_ids), req.max_results)
    load = partial(load_infos_of_rows, ctx.db)
    return await list_response(ctx.http, SearchTracesResponse, chunks, req.max_results, load_limited=load)


class SearchTracesV2(Request):
    experiment_ids: list[str]
    filter: str = ""
    max_results: Int32 = 100
    order_by: list[str] = []
    page_token: str = ""


class SearchTracesV2Response(msgspec.Struct):
    traces: list[TraceInfoV2] = []
    next_page_token: str = ""


@endpoint("GET", "traces", access=TRACES_SEARCH)
async def search_traces_v2(ctx: Context, req: SearchTracesV2) -> Annotated[Response, SearchTracesV2Response]:
    """Return a page of the traces that match a filter, in the form of version 2."""
    chunks = fetch_page(ctx.db.fetch, _compile(req, req.experiment_ids), req.max_results)
    load = partial(_load_v2, ctx.db)
    return await list_response(ctx.http, SearchTracesV2Response, chunks, req.max_results, load=load)


async def _load_v2(tx: Tx, rows: Sequence[Row]) -> list[TraceInfoV2]:
    records = [TraceRecord(*row) for row in rows]
    texts = await load_texts(tx, [record.request_id for record in records])
    return [trace_info_v2(record, texts[record.request_id]) for record in records]


def _compile(req: SearchTraces | SearchTracesV2, experiment_ids: list[str]) -> PagedQuery:
    if req.max_results > MAX_RESULTS:
        raise invalid_value("max_results", req.max_results)
    if req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    if len(experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"A request can name at most {EXPERIMENTS_LIMIT} experiments. Got {len(experiment_ids)}.")
    return (
        SearchBuilder(TRACES, RECORD_COLUMNS)
        .filter(req.filter)
        .order_by(req.order_by)
        .among("trace_info.experiment_id", sorted(set(experiment_numbers(experiment_ids))))
        .build(req.page_token)
    )


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
