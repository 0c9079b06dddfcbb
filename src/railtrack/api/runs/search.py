"""The search for runs. What filters and orders may name is in search_fields.py."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec

from railtrack.api.runs.queries import load_runs, remove_models
from railtrack.api.runs.schemas import INFO_COLUMNS, Run
from railtrack.api.runs.search_fields import RUNS
from railtrack.auth import RUNS_SEARCH
from railtrack.context import Context
from railtrack.db import Db, Row
from railtrack.errors import invalid, invalid_value
from railtrack.mlflow.ids import experiment_numbers
from railtrack.mlflow.view_type import stages
from railtrack.search.builder import SearchBuilder
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

MAX_RESULTS = 50_000


class SearchRuns(Request):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: Any = None
    max_results: Int32 = 1000
    order_by: list[str] = []
    page_token: str = ""


class SearchRunsResponse(msgspec.Struct):
    runs: list[Run] = []
    next_page_token: str = ""


@endpoint("POST", "runs/search", access=RUNS_SEARCH, is_read=True)
async def search_runs(ctx: Context, req: SearchRuns) -> Annotated[Response, SearchRunsResponse]:
    """Return a page of the runs that match a filter, with all that was logged to them. No experiment ids: no runs."""
    if req.max_results > MAX_RESULTS:
        raise invalid_value("max_results", req.max_results)
    if req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    chunks = fetch_page(ctx.db.fetch, compile_search(req), req.max_results)
    load = partial(_load_without_models if await ctx.is_denied("logged_model") else load_runs, ctx.db)
    return await list_response(ctx.http, SearchRunsResponse, chunks, req.max_results, load_limited=load)


async def _load_without_models(db: Db, rows: Sequence[Row], max_bytes: int) -> list[Run]:
    return remove_models(await load_runs(db, rows, max_bytes))


def compile_search(req: SearchRuns) -> PagedQuery:
    return (
        SearchBuilder(RUNS, INFO_COLUMNS)
        .filter(req.filter)
        .order_by(req.order_by)
        .among("runs.experiment_id", sorted(set(experiment_numbers(req.experiment_ids))))
        .among("runs.lifecycle_stage", stages(req.run_view_type))
        .build(req.page_token)
    )
