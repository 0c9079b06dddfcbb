"""Traces, evaluation datasets and scorers where there are none: what MLflow's pages ask of them is answered as empty.

They can't be made here yet. Those in a database that comes from MLflow are not shown, and are not denied either: who
asks for them is told that this version doesn't serve them.
"""

from typing import Any

import msgspec

from railtrack.auth import EXPERIMENT_READ
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid, not_implemented
from railtrack.mlflow.ids import experiment_numbers
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

EXPERIMENTS_LIMIT = 1000
COUNTS = ("trace_count", "session_count")


async def _refuse_if_any(tx: Tx, experiment_ids: list[str], table: str, what: str) -> None:
    """Raise NOT_IMPLEMENTED when one of the experiments has rows in this table."""
    if len(experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"At most {EXPERIMENTS_LIMIT} experiments can be asked for at once.")
    numbers = experiment_numbers(experiment_ids)
    if await tx.fetch_value(f"SELECT 1 FROM {table} WHERE experiment_id = ANY($1) LIMIT 1", numbers):  # noqa: S608 (ours)
        raise not_implemented(f"There are {what} in this database, which this version of Railtrack does not serve.")


class ExperimentLocation(msgspec.Struct):
    experiment_id: str = ""


class TraceLocation(msgspec.Struct):
    mlflow_experiment: ExperimentLocation | None = None


class SearchTraces(Request):
    locations: list[TraceLocation]


@endpoint("POST", "traces/search", access=EXPERIMENT_READ, api="3.0")
async def search_traces(ctx: Context, req: SearchTraces) -> Reply:
    asked = [one.mlflow_experiment.experiment_id for one in req.locations if one.mlflow_experiment]
    await _refuse_if_any(ctx.db, asked, "trace_info", "traces")
    return EMPTY


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


@endpoint("POST", "traces/metrics", access=EXPERIMENT_READ, api="3.0")
async def query_trace_metrics(ctx: Context, req: QueryTraceMetrics) -> Reply:
    """The count of no traces is zero, unless it is asked for by time or by dimensions: then there are no groups."""
    await _refuse_if_any(ctx.db, req.experiment_ids, "trace_info", "traces")
    if req.metric_name not in COUNTS or req.dimensions or req.time_interval_seconds is not None:
        return DataPointsResponse()
    zeros = {one.aggregation_type: 0.0 for one in req.aggregations if one.aggregation_type == "COUNT"}
    return DataPointsResponse([DataPoint(req.metric_name, zeros)] if zeros else [])


class SearchEvaluationDatasets(Request):
    experiment_ids: list[str] = []


@endpoint("POST", "datasets/search", access=EXPERIMENT_READ, api="3.0")
async def search_evaluation_datasets(ctx: Context, req: SearchEvaluationDatasets) -> Reply:
    """MLflow ties these datasets to experiments in a table of its own; whether there are any at all decides here."""
    if await ctx.db.fetch_value("SELECT 1 FROM evaluation_datasets LIMIT 1"):
        raise not_implemented(
            "There are evaluation datasets in this database, which this version of Railtrack does not serve."
        )
    return EMPTY


class ListScorers(Request):
    experiment_id: str = ""


@endpoint("GET", "scorers/list", access=EXPERIMENT_READ, api="3.0")
async def list_scorers(ctx: Context, req: ListScorers) -> Reply:
    await _refuse_if_any(ctx.db, [req.experiment_id] if req.experiment_id else [], "scorers", "scorers")
    return EMPTY
