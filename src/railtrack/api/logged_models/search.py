"""The search for logged models. What filters and orders may name is in search_fields.py."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from railtrack.api.logged_models.queries import INFO_COLUMNS, load_models, without_denied_runs
from railtrack.api.logged_models.schemas import LoggedModel
from railtrack.api.logged_models.search_fields import (
    MetricDataset,
    OrderBy,
    datasets_condition,
    has_metric,
    search_fields,
    sort_keys,
)
from railtrack.auth import LOGGED_MODELS_SEARCH
from railtrack.context import Context
from railtrack.errors import invalid, permission_denied
from railtrack.mlflow.ids import experiment_numbers
from railtrack.search.builder import SearchBuilder
from railtrack.search.conditions import Parameters, compares_attribute
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 50
MAX_RESULTS = 50_000
CHUNK_ROWS = 25
"""Models in memory with their metrics, of which each may have a thousand."""


class SearchLoggedModels(Request):
    experiment_ids: list[str]
    filter: str = ""
    datasets: list[MetricDataset] = []
    max_results: Int32 = DEFAULT_RESULTS
    order_by: list[OrderBy] = []
    page_token: str = ""


class SearchLoggedModelsResponse(msgspec.Struct):
    models: list[LoggedModel] = []
    next_page_token: str = ""


@endpoint("POST", "logged-models/search", access=LOGGED_MODELS_SEARCH, is_read=True)
async def search_logged_models(
    ctx: Context, req: SearchLoggedModels
) -> Annotated[Response, SearchLoggedModelsResponse]:
    """Return a page of the models that match a filter, the latest first; 50 unless `max_results` is given.

    With `datasets`, only models with metrics on one of these match, and a filter on metrics tests no others.
    """
    if req.max_results < 0:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    limit = min(req.max_results or DEFAULT_RESULTS, MAX_RESULTS)
    query = _compile_search(req)
    by_run = compares_attribute(req.filter, search_fields(""), "source_run_id") or any(
        order.field_name == "source_run_id" for order in req.order_by
    )
    if by_run and await ctx.is_denied("run"):
        raise permission_denied()
    chunks = fetch_page(ctx.db.fetch, query, limit, chunk_rows=CHUNK_ROWS)

    async def load(rows: Sequence[Any]) -> Sequence[Any]:
        async with ctx.db.read() as tx:
            models = await load_models(tx, rows)
        return await without_denied_runs(ctx, models)

    return await list_response(ctx.http, SearchLoggedModelsResponse, chunks, limit, load)


def _compile_search(req: SearchLoggedModels) -> PagedQuery:
    parameters = Parameters()
    on_datasets = datasets_condition(req.datasets, parameters)
    search = SearchBuilder(search_fields(on_datasets), INFO_COLUMNS, parameters).filter(req.filter)
    search.among("logged_models.experiment_id", sorted(experiment_numbers(req.experiment_ids)))
    search.where("logged_models.lifecycle_stage <> 'deleted'")
    if on_datasets:
        search.where(has_metric(on_datasets))
    return search.sort(sort_keys(req.order_by, on_datasets, parameters)).build(req.page_token)
