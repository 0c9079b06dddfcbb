"""The search for experiments. What filters and orders may name is in search_fields.py."""

from functools import partial
from typing import Annotated, Any

import msgspec

from railtrack.api.experiments.queries import load_experiments
from railtrack.api.experiments.schemas import EXPERIMENT_COLUMNS, Experiment
from railtrack.api.experiments.search_fields import EXPERIMENTS
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.errors import ApiError, invalid
from railtrack.mlflow.ids import known_numbers
from railtrack.mlflow.view_type import stages
from railtrack.search.builder import SearchBuilder
from railtrack.search.page import fetch_page
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

MAX_RESULTS = 50_000


class SearchExperiments(Request):
    view_type: Any = None
    max_results: Int32 = 0
    order_by: list[str] = []
    filter: str = ""
    page_token: str = ""


class SearchExperimentsResponse(msgspec.Struct):
    experiments: list[Experiment] = []
    next_page_token: str = ""


@endpoint("POST", "experiments/search", access=SIGNED_IN, is_read=True)
@endpoint("GET", "experiments/search", access=SIGNED_IN)
async def search_experiments(ctx: Context, req: SearchExperiments) -> Annotated[Response, SearchExperimentsResponse]:
    """Return a page of the experiments that match a filter. Unlike in a search for runs, `max_results` is required."""
    if req.max_results < 1:
        raise _invalid_max_results(req.max_results, "a positive integer")
    if req.max_results > MAX_RESULTS:
        raise _invalid_max_results(req.max_results, f"at most {MAX_RESULTS}")
    search = (
        SearchBuilder(EXPERIMENTS, EXPERIMENT_COLUMNS)
        .filter(req.filter)
        .order_by(req.order_by)
        .among("experiments.lifecycle_stage", stages(req.view_type))
    )
    readable = await ctx.read_filter("experiment")
    search.restrict("experiments.experiment_id", known_numbers(readable.ids), excluded=readable.everything)
    chunks = fetch_page(ctx.db.fetch, search.build(req.page_token), req.max_results)
    return await list_response(
        ctx.http, SearchExperimentsResponse, chunks, req.max_results, partial(load_experiments, ctx.db)
    )


def _invalid_max_results(max_results: int, expected: str) -> ApiError:
    return invalid(f"Invalid value {max_results} for parameter 'max_results' supplied. It must be {expected}")
