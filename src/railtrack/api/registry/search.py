"""The searches for registered models and for versions. What filters and orders may name is in vocabulary.py."""

from collections.abc import Sequence

import msgspec

from railtrack.api.registry.queries import (
    MODEL_COLUMNS,
    MODEL_WIDTH,
    VERSION_COLUMNS,
    VERSION_WIDTH,
    load_models,
    load_versions,
)
from railtrack.api.registry.search_fields import MODELS, VERSIONS, models_where, versions_where
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.db import Row
from railtrack.errors import invalid, invalid_value
from railtrack.search.page_token import Query
from railtrack.search.sql import Parameters, order_of
from railtrack.wire.paged import paged_reply
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

MAX_MODELS = 1000
MAX_VERSIONS = 200_000
LAST_CHANGED_FIRST = "last_updated_timestamp DESC"
"""The order of versions when none is asked for; among equals, and in any other order, they go by name and number."""
COMPLETE_AT_ONCE = 50
"""Models or versions in memory with their tags, of which one may hold the 100,000 characters of a prompt."""

_encode = msgspec.json.Encoder().encode


class SearchRegisteredModels(Request):
    filter: str = ""
    max_results: Int32 = 100
    order_by: list[str] = []
    page_token: str = ""


@endpoint("GET", "registered-models/search", access=SIGNED_IN)
async def search_registered_models(ctx: Context, req: SearchRegisteredModels) -> Reply:
    """A page of the models that a filter leaves, by name, with their latest versions. Prompts only when asked for."""
    _check_max_results(req.max_results, MAX_MODELS)
    parameters = Parameters()
    where = models_where(req.filter, parameters)
    order = order_of(req.order_by, MODELS, parameters)
    query = Query(MODEL_COLUMNS, "registered_models", where, order, parameters.values)
    last = query.last_of(req.page_token)

    async def encode(rows: Sequence[Row]) -> bytes:
        async with ctx.db.read() as tx:
            return _encode(await load_models(tx, [row[:MODEL_WIDTH] for row in rows]))

    return await paged_reply(
        ctx.db, query, last, req.max_results, "registered_models", encode, complete_at_once=COMPLETE_AT_ONCE
    )


class SearchModelVersions(Request):
    filter: str = ""
    max_results: Int32 = MAX_VERSIONS
    order_by: list[str] = []
    page_token: str = ""


@endpoint("GET", "model-versions/search", access=SIGNED_IN)
async def search_model_versions(ctx: Context, req: SearchModelVersions) -> Reply:
    """A page of the versions that a filter leaves, the last changed first, without their aliases, as MLflow has it.

    Those of prompts only when asked for.
    """
    _check_max_results(req.max_results, MAX_VERSIONS)
    parameters = Parameters()
    where = versions_where(req.filter, parameters)
    order = order_of(req.order_by or [LAST_CHANGED_FIRST], VERSIONS, parameters)
    query = Query(VERSION_COLUMNS, "model_versions", where, order, parameters.values)
    last = query.last_of(req.page_token)

    async def encode(rows: Sequence[Row]) -> bytes:
        return _encode(await load_versions(ctx.db, [row[:VERSION_WIDTH] for row in rows]))

    return await paged_reply(
        ctx.db, query, last, req.max_results, "model_versions", encode, complete_at_once=COMPLETE_AT_ONCE
    )


def _check_max_results(max_results: int, limit: int) -> None:
    if max_results > limit:
        raise invalid_value("max_results", str(max_results))
    if max_results < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {max_results}")
