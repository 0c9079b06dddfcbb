"""scorers/get, list and versions, and the configurations for running scorers on new traces, which MLflow stored."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated

import msgspec

from railtrack.api.experiments.queries import no_such_experiment
from railtrack.api.scorers.queries import SCORER_COLUMNS, Scorer, load_scorer, may_see, no_such_scorer
from railtrack.auth import EXPERIMENTS_READ, SCORER_READ, SIGNED_IN
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import invalid, missing, not_implemented
from railtrack.mlflow.ids import experiment_number, experiment_numbers, known_numbers
from railtrack.search.conditions import Parameters
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import PageChunk, fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.wire.list_response import list_response
from railtrack.wire.request import HttpRequest, Int32, Request, RequiredStr
from railtrack.wire.response import BytesResponse, Response
from railtrack.wire.routing import endpoint

LISTED = 50_000
"""Scorers of a list, or versions of a scorer."""
IDS_LIMIT = 1000
LAST_VERSION = """
    JOIN scorer_versions v ON v.scorer_id = scorers.scorer_id AND v.scorer_version = (
        SELECT MAX(w.scorer_version) FROM scorer_versions w WHERE w.scorer_id = scorers.scorer_id
    )
"""
BY_NAME = (SortKey("scorers.experiment_id", ValueType.BIGINT), SortKey("scorers.scorer_name", ValueType.TEXT))


class GetScorer(Request):
    experiment_id: RequiredStr
    name: RequiredStr
    version: Int32 | None = None


class GetScorerResponse(msgspec.Struct):
    scorer: Scorer


@endpoint("GET", "scorers/get", access=SCORER_READ, api="3.0")
async def get_scorer(ctx: Context, req: GetScorer) -> GetScorerResponse:
    """Return a version of a scorer, by default the last one."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.read() as tx:
        await _check_active(tx, number)
        return GetScorerResponse(await load_scorer(tx, number, req.name, req.version))


async def _check_active(tx: Tx, number: int) -> None:
    stage = await tx.fetch_value("SELECT lifecycle_stage FROM experiments WHERE experiment_id = $1", number)
    if stage is None:
        raise no_such_experiment(number)
    if stage != "active":
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is {stage}.")


class ListScorers(Request):
    experiment_id: str = ""
    experiment_ids: list[str] = []


class ScorersResponse(msgspec.Struct):
    scorers: list[Scorer] = []
    next_page_token: str = ""
    """Never there: MLflow has no pages of scorers. A long list is streamed."""


@endpoint("GET", "scorers/list", access=EXPERIMENTS_READ, api="3.0")
async def list_scorers(ctx: Context, req: ListScorers) -> Annotated[Response, ScorersResponse]:
    """Return the last version of each scorer of an experiment, of several, or of all active ones."""
    if req.experiment_id and req.experiment_ids:
        raise invalid(
            "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to "
            "multiple experiments, or 'experiment_id' to scope it to a single experiment."
        )
    if len(req.experiment_ids) > IDS_LIMIT:
        raise invalid(f"A request can name at most {IDS_LIMIT} experiments. Got {len(req.experiment_ids)}.")
    parameters = Parameters()
    where = [
        "EXISTS (SELECT 1 FROM experiments e WHERE e.experiment_id = scorers.experiment_id "
        "AND e.lifecycle_stage = 'active')"
    ]
    if req.experiment_id:
        number = experiment_number(req.experiment_id)
        await _check_active(ctx.db, number)
        where.insert(0, f"scorers.experiment_id = {parameters.add(number)}")
    elif req.experiment_ids:
        where.insert(0, f"scorers.experiment_id = ANY({parameters.add(experiment_numbers(req.experiment_ids))})")
    readable = await ctx.read_filter("experiment")
    if readable.ids or not readable.everything:
        ids = f"scorers.experiment_id = ANY({parameters.add(known_numbers(readable.ids))})"
        where.append(f"NOT ({ids})" if readable.everything else ids)
    query = PagedQuery(SCORER_COLUMNS, "scorers", where, Order((LAST_VERSION,), BY_NAME), parameters.values)
    return await _listed(ctx, fetch_page(ctx.db.fetch, query, LISTED))


async def _listed(ctx: Context, chunks: AsyncGenerator[PageChunk, None]) -> Response:
    is_seen = await may_see(ctx)

    async def load(rows: list[tuple[object, ...]]) -> list[Scorer]:
        return [Scorer(*row) for row in rows if is_seen(row[0], row[1])]  # type: ignore[arg-type]

    return await list_response(ctx.http, ScorersResponse, chunks, LISTED, partial(load))


class ListScorerVersions(Request):
    experiment_id: RequiredStr
    name: RequiredStr


@endpoint("GET", "scorers/versions", access=SCORER_READ, api="3.0")
async def list_scorer_versions(ctx: Context, req: ListScorerVersions) -> Annotated[Response, ScorersResponse]:
    """Return all versions of a scorer, the oldest first."""
    number = experiment_number(req.experiment_id)
    async with ctx.db.read() as tx:
        await _check_active(tx, number)
        if not await tx.fetch_value(
            "SELECT 1 FROM scorers JOIN scorer_versions v ON v.scorer_id = scorers.scorer_id "
            "WHERE experiment_id = $1 AND scorer_name = $2 LIMIT 1",
            number,
            req.name,
        ):
            raise no_such_scorer(number, req.name)
    order = Order(
        ("JOIN scorer_versions v ON v.scorer_id = scorers.scorer_id",),
        (SortKey("v.scorer_version", ValueType.BIGINT),),
    )
    where = ["scorers.experiment_id = $1", "scorers.scorer_name = $2"]
    query = PagedQuery(SCORER_COLUMNS, "scorers", where, order, [number, req.name])
    return await _listed(ctx, fetch_page(ctx.db.fetch, query, LISTED))


class GetOnlineConfigs(Request):
    scorer_ids: list[str] = []


class OnlineConfig(msgspec.Struct, omit_defaults=True):
    online_scoring_config_id: str
    scorer_id: str
    sample_rate: float
    experiment_id: str
    filter_string: str | None = None


class OnlineConfigsResponse(msgspec.Struct):
    configs: list[OnlineConfig]


@endpoint("GET", "scorers/online-configs", access=SIGNED_IN, api="3.0")
async def get_online_configs(ctx: Context, req: GetOnlineConfigs) -> OnlineConfigsResponse:
    """Return the configurations that MLflow stored: of scorers in experiments that the caller may read."""
    if not req.scorer_ids:
        raise missing("scorer_ids")
    if len(req.scorer_ids) > IDS_LIMIT:
        raise invalid(f"A request can name at most {IDS_LIMIT} scorers. Got {len(req.scorer_ids)}.")
    readable, is_seen = await ctx.read_filter("experiment"), await may_see(ctx)
    rows = await ctx.db.fetch(
        """
        SELECT c.online_scoring_config_id, c.scorer_id, c.sample_rate, CAST(c.experiment_id AS TEXT), c.filter_string,
            s.experiment_id, s.scorer_name
        FROM online_scoring_configs c JOIN scorers s ON s.scorer_id = c.scorer_id
        WHERE c.scorer_id = ANY($1) ORDER BY c.online_scoring_config_id
        """,
        req.scorer_ids,
    )
    return OnlineConfigsResponse(
        [
            OnlineConfig(*row[:5])
            for row in rows
            if readable.allows(row[3]) and readable.allows(str(row[5])) and is_seen(row[5], row[6])
        ]
    )


@endpoint("PUT", "scorers/online-config", access=SIGNED_IN, api="3.0")
async def set_online_config(ctx: Context, http: HttpRequest) -> BytesResponse:
    """Raise NOT_IMPLEMENTED: who judges new traces is a model behind MLflow's gateway."""
    raise not_implemented("Railtrack runs no scorers on new traces. Run them with mlflow.genai.evaluate.")
