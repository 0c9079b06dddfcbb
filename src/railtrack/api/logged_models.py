"""Logged models, of which this version serves one question: whether there are any.

Every newer client asks it when it lists a run's artifacts, and the UI on its table of runs.
"""

import re

from railtrack.api.ids import experiment_numbers
from railtrack.auth import EXPERIMENT_READ
from railtrack.context import Context
from railtrack.errors import ApiError
from railtrack.wire.request import Request
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

BY_NAME = re.compile(r"name\s*=\s*'([^']*)'")
"""The filter that clients send: the first part of an artifact's path, which may be a model's name."""


class SearchLoggedModels(Request):
    experiment_ids: list[str]
    filter: str = ""


@endpoint("POST", "logged-models/search", access=EXPERIMENT_READ)
async def search_logged_models(ctx: Context, req: SearchLoggedModels) -> Reply:
    """`{}` where no model is in the experiments, or none of the name asked for; refused where one would have to be
    shown, which takes a database that MLflow 3 has logged models to.
    """
    by_name = BY_NAME.fullmatch(req.filter.strip())
    found = await ctx.db.fetchval(
        """
        SELECT COUNT(*) FROM logged_models
        WHERE experiment_id = ANY($1) AND lifecycle_stage = 'active' AND (CAST($2 AS TEXT) = '' OR name = $2)
        """,
        experiment_numbers(req.experiment_ids),
        by_name[1] if by_name else "",
    )
    if found:
        raise ApiError("ENDPOINT_NOT_FOUND", f"There are {found} logged models; this version does not serve them.")
    return EMPTY
