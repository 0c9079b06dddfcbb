"""The list of scorers, which the UI's experiment page requests: empty if none are stored."""

from railtrack.api.traces.queries import check_none_stored
from railtrack.auth import EXPERIMENTS_READ
from railtrack.context import Context
from railtrack.wire.request import Request
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class ListScorers(Request):
    experiment_id: str = ""


@endpoint("GET", "scorers/list", access=EXPERIMENTS_READ, api="3.0")
async def list_scorers(ctx: Context, req: ListScorers) -> EmptyResponse:
    """Return no scorers: this version does not serve them."""
    await check_none_stored(ctx.db, [req.experiment_id] if req.experiment_id else [], "scorers")
    return EMPTY_RESPONSE
