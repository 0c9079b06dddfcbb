"""The search for runs: the endpoint. What filters and orders may name is in vocabulary.py."""

from collections.abc import Sequence
from typing import Any

import msgspec

from railtrack.api.runs.queries import INFO_COLUMNS, INFO_WIDTH, load_runs
from railtrack.api.runs.schemas import RunInfo
from railtrack.api.runs.search_fields import RUNS
from railtrack.auth import EXPERIMENT_READ
from railtrack.context import Context
from railtrack.db import Row
from railtrack.errors import invalid, invalid_value
from railtrack.mlflow.ids import experiment_numbers
from railtrack.mlflow.view_type import stages
from railtrack.search.page_token import Query
from railtrack.search.sql import Parameters, among, search_of
from railtrack.wire.paged import paged_reply
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

MAX_RESULTS = 50_000

_encode = msgspec.json.Encoder().encode


class SearchRuns(Request):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: Any = None
    max_results: Int32 = 1000
    order_by: list[str] = []
    page_token: str = ""


@endpoint("POST", "runs/search", access=EXPERIMENT_READ)
async def search_runs(ctx: Context, req: SearchRuns) -> Reply:
    """A page of the runs that a filter leaves, complete with what was logged. No experiment ids: no runs."""
    if req.max_results > MAX_RESULTS:
        raise invalid_value("max_results", req.max_results)
    if req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    query = query_of(req)
    last = query.last_of(req.page_token)

    async def encode(rows: Sequence[Row]) -> bytes:
        return _encode(await load_runs(ctx.db, [RunInfo(*row[:INFO_WIDTH]) for row in rows]))

    return await paged_reply(ctx.db, query, last, req.max_results, "runs", encode)


def query_of(req: SearchRuns) -> Query:
    """The search in SQL. Complains first about the filter, then about the order, then about the ids, as MLflow does."""
    parameters = Parameters()
    where, order = search_of(req.filter, req.order_by, RUNS, parameters)
    numbers = sorted(set(experiment_numbers(req.experiment_ids)))
    scope = [
        among("runs.experiment_id", numbers, parameters),
        among("runs.lifecycle_stage", stages(req.run_view_type), parameters),
    ]
    return Query(INFO_COLUMNS, "runs", scope + where, order, parameters.values)
