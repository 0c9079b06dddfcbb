"""The search for evaluation datasets, which the UI's experiment page requests: empty if none are stored."""

from railtrack.auth import EXPERIMENTS_READ
from railtrack.context import Context
from railtrack.errors import not_implemented
from railtrack.wire.request import Request
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class SearchEvaluationDatasets(Request):
    experiment_ids: list[str] = []


@endpoint("POST", "datasets/search", access=EXPERIMENTS_READ, api="3.0", is_read=True)
async def search_evaluation_datasets(ctx: Context, req: SearchEvaluationDatasets) -> EmptyResponse:
    """Return no datasets. Raise NOT_IMPLEMENTED if the database has any, in whatever experiment."""
    if await ctx.db.fetch_value("SELECT 1 FROM evaluation_datasets LIMIT 1"):
        raise not_implemented(
            "There are evaluation datasets in this database, which this version of Railtrack does not serve."
        )
    return EMPTY_RESPONSE
