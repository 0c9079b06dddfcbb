"""The searches for registered models and for versions. What filters and orders may name is in search_fields.py."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from railtrack.api.registry.queries import (
    MODEL_COLUMNS,
    NOT_DELETED,
    VERSION_COLUMNS,
    load_models,
    load_versions,
    without_denied_runs,
    without_denied_versions,
)
from railtrack.api.registry.schemas import ModelVersion, RegisteredModel
from railtrack.api.registry.search_fields import (
    MODELS,
    NOT_A_PROMPT,
    NOT_OF_A_PROMPT,
    VERSIONS,
    filter_prompts,
    listed_types,
    of_type,
)
from railtrack.auth import SIGNED_IN
from railtrack.auth.grants import EVERYTHING
from railtrack.context import Context
from railtrack.errors import invalid, invalid_value, permission_denied
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.search.builder import SearchBuilder
from railtrack.search.conditions import compares_attribute
from railtrack.search.fields import SearchFields
from railtrack.search.page import fetch_page
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

MAX_MODELS = 1000
MAX_VERSIONS = 200_000
DEFAULT_VERSION_ORDER = ["last_updated_timestamp DESC"]
"""The order of versions without order_by; equal ones, as in any other order, are sorted by name and number."""
CHUNK_ROWS = 50
"""Models or versions in memory with their tags; one tag may hold the 100,000 characters of a prompt."""


class SearchRegisteredModels(Request):
    filter: str = ""
    max_results: Int32 = 100
    order_by: list[str] = []
    page_token: str = ""


class SearchRegisteredModelsResponse(msgspec.Struct):
    registered_models: list[RegisteredModel] = []
    next_page_token: str = ""


@endpoint("GET", "registered-models/search", access=SIGNED_IN)
async def search_registered_models(
    ctx: Context, req: SearchRegisteredModels
) -> Annotated[Response, SearchRegisteredModelsResponse]:
    """Return a page of the models that match a filter, by name, with their latest versions.

    Prompts are included only if the filter asks for them.
    """
    _check_max_results(req.max_results, MAX_MODELS)
    search = SearchBuilder(MODELS, MODEL_COLUMNS).where(f"registered_models.workspace = '{DEFAULT_WORKSPACE}'")
    search = filter_prompts(search, req.filter, MODELS, NOT_A_PROMPT).order_by(req.order_by)
    await _restrict(ctx, search, req.filter, MODELS)
    chunks = fetch_page(ctx.db.fetch, search.build(req.page_token), req.max_results, chunk_rows=CHUNK_ROWS)

    async def load(rows: Sequence[Any]) -> Sequence[Any]:
        async with ctx.db.read() as tx:
            models = await load_models(tx, rows)
        return await without_denied_versions(ctx, models)

    return await list_response(ctx.http, SearchRegisteredModelsResponse, chunks, req.max_results, load)


class SearchModelVersions(Request):
    filter: str = ""
    max_results: Int32 = MAX_VERSIONS
    order_by: list[str] = []
    page_token: str = ""


class SearchModelVersionsResponse(msgspec.Struct):
    model_versions: list[ModelVersion] = []
    next_page_token: str = ""


@endpoint("GET", "model-versions/search", access=SIGNED_IN)
async def search_model_versions(
    ctx: Context, req: SearchModelVersions
) -> Annotated[Response, SearchModelVersionsResponse]:
    """Return a page of the versions that match a filter, the last updated first, without aliases, as MLflow does.

    Versions of prompts are included only if the filter asks for them.
    """
    _check_max_results(req.max_results, MAX_VERSIONS)
    search = SearchBuilder(VERSIONS, VERSION_COLUMNS).where(f"model_versions.workspace = '{DEFAULT_WORKSPACE}'")
    search = filter_prompts(search.where(NOT_DELETED), req.filter, VERSIONS, NOT_OF_A_PROMPT)
    search.order_by(req.order_by or DEFAULT_VERSION_ORDER)
    if compares_attribute(req.filter, VERSIONS, "run_id") and await ctx.is_denied("run"):
        raise permission_denied()
    await _restrict(ctx, search, req.filter, VERSIONS, part="version")
    chunks = fetch_page(ctx.db.fetch, search.build(req.page_token), req.max_results, chunk_rows=CHUNK_ROWS)

    async def load(rows: Sequence[Any]) -> Sequence[Any]:
        return await without_denied_runs(ctx, await load_versions(ctx.db, rows))

    return await list_response(ctx.http, SearchModelVersionsResponse, chunks, req.max_results, load)


async def _restrict(ctx: Context, search: SearchBuilder, text: str, fields: SearchFields, *, part: str = "") -> None:
    """Restrict the search to what the caller may read. Prompts and other registered models have separate grants.

    Which of them a search lists depends on the filter and on tags of versions, so that it can match some of the other
    type. The grants on that one were not looked at, so these are left out.
    """
    if ctx.policy is None:
        return
    readable = {
        one: await ctx.read_filter(one, f"{one}_{part}" if part else "") for one in ("prompt", "registered_model")
    }
    if all(each == EVERYTHING for each in readable.values()):
        return
    listed = listed_types(text, fields)
    for one in listed:
        search.restrict(f"{fields.table}.name", sorted(readable[one].ids), excluded=readable[one].everything)
    if len(listed) == 1:
        search.where(of_type(listed[0], fields.table))


def _check_max_results(max_results: int, limit: int) -> None:
    if max_results > limit:
        raise invalid_value("max_results", str(max_results))
    if max_results < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {max_results}")
