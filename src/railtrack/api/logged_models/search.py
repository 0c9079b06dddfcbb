"""The search for logged models: the endpoint. What filters and orders may name is in vocabulary.py."""

from collections.abc import Sequence

import msgspec

from railtrack.api.logged_models.queries import INFO_COLUMNS, INFO_WIDTH, load_models
from railtrack.api.logged_models.search_fields import (
    OnDataset,
    OrderBy,
    logged_models,
    on_datasets,
    order_of_models,
    with_metrics,
)
from railtrack.auth import EXPERIMENT_READ
from railtrack.context import Context
from railtrack.db import Row
from railtrack.errors import invalid
from railtrack.mlflow.ids import experiment_numbers
from railtrack.search.page_token import Query
from railtrack.search.sql import Parameters, conditions
from railtrack.wire.paged import paged_reply
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 50
MAX_RESULTS = 50_000
COMPLETE_AT_ONCE = 25
"""Models in memory with their metrics, of which each may have a thousand."""

_encode = msgspec.json.Encoder().encode


class SearchLoggedModels(Request):
    experiment_ids: list[str]
    filter: str = ""
    datasets: list[OnDataset] = []
    max_results: Int32 = DEFAULT_RESULTS
    order_by: list[OrderBy] = []
    page_token: str = ""


@endpoint("POST", "logged-models/search", access=EXPERIMENT_READ)
async def search_logged_models(ctx: Context, req: SearchLoggedModels) -> Reply:
    """A page of the models that a filter leaves, the latest first; 50 unless `max_results` says otherwise.

    With `datasets`, only models with metrics on one of these, and a filter on metrics looks at no others.
    """
    if req.max_results < 0:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    query = _query(req)
    last = query.last_of(req.page_token)

    async def encode(rows: Sequence[Row]) -> bytes:
        async with ctx.db.read() as tx:
            return _encode(await load_models(tx, [row[:INFO_WIDTH] for row in rows]))

    wanted = min(req.max_results or DEFAULT_RESULTS, MAX_RESULTS)
    return await paged_reply(ctx.db, query, last, wanted, "models", encode, complete_at_once=COMPLETE_AT_ONCE)


def _query(req: SearchLoggedModels) -> Query:
    """The search in SQL. Complains about the datasets, the filter, the ids and the order, in MLflow's order."""
    parameters = Parameters()
    measured_on = on_datasets(req.datasets, parameters)
    where = conditions(req.filter, logged_models(measured_on), parameters)
    if measured_on:
        where.append(with_metrics(measured_on))
    where += [
        f"logged_models.experiment_id = ANY({parameters.add(sorted(experiment_numbers(req.experiment_ids)))})",
        "logged_models.lifecycle_stage <> 'deleted'",
    ]
    order = order_of_models(req.order_by, parameters)
    return Query(INFO_COLUMNS, "logged_models", where, order, parameters.values)
