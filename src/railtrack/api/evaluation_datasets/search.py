"""datasets/search: evaluation datasets of experiments, or of all that the caller may read."""

from functools import partial
from typing import Annotated

import msgspec

from railtrack.api.evaluation_datasets.queries import load_datasets
from railtrack.api.evaluation_datasets.schemas import DATASET_COLUMNS, EvaluationDataset
from railtrack.api.evaluation_datasets.search_fields import DATASETS
from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.search.builder import SearchBuilder
from railtrack.search.conditions import Parameters
from railtrack.search.page import fetch_page
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request
from railtrack.wire.response import Response
from railtrack.wire.routing import endpoint

DEFAULT_RESULTS = 1000
MAX_RESULTS = 50_000
EXPERIMENTS_LIMIT = 5000
IN_EXPERIMENTS = """
    {no} EXISTS (
        SELECT 1 FROM entity_associations a
        WHERE a.source_type = 'evaluation_dataset' AND a.source_id = evaluation_datasets.dataset_id
            AND a.destination_type = 'experiment' AND a.destination_id {test}
    )
"""


class SearchEvaluationDatasets(Request):
    experiment_ids: list[str] = []
    filter_string: str = ""
    max_results: Int32 = DEFAULT_RESULTS
    order_by: list[str] = []
    page_token: str = ""


class SearchEvaluationDatasetsResponse(msgspec.Struct):
    datasets: list[EvaluationDataset] = []
    next_page_token: str = ""


@endpoint("GET", "datasets/search", access=SIGNED_IN, api="3.0")
@endpoint("POST", "datasets/search", access=SIGNED_IN, api="3.0", is_read=True)
async def search_evaluation_datasets(
    ctx: Context, req: SearchEvaluationDatasets
) -> Annotated[Response, SearchEvaluationDatasetsResponse]:
    """Return a page of datasets that match a filter, the newest first. Of no experiment: of all.

    Datasets of experiments that the caller may not read are left out, unless another experiment of theirs may be read.
    """
    if req.max_results < 1:
        shown = req.max_results or None  # as in MLflow's message
        raise invalid(f"Invalid value {shown} for parameter 'max_results' supplied. It must be a positive integer")
    if req.max_results > MAX_RESULTS:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be at most {MAX_RESULTS}"
        )
    if len(req.experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"A request can name at most {EXPERIMENTS_LIMIT} experiments. Got {len(req.experiment_ids)}.")
    parameters = Parameters()
    search = SearchBuilder(DATASETS, DATASET_COLUMNS, parameters)
    search.where(f"evaluation_datasets.workspace = '{DEFAULT_WORKSPACE}'").filter(req.filter_string)
    if req.order_by:
        search.order_by(req.order_by)
    readable = await ctx.read_filter("experiment")
    ids = [one for one in dict.fromkeys(req.experiment_ids) if readable.allows(one)]
    if req.experiment_ids:
        search.where(IN_EXPERIMENTS.format(no="", test=f"= ANY({parameters.add(ids)})"))
    elif not readable.everything:
        search.where(IN_EXPERIMENTS.format(no="", test=f"= ANY({parameters.add(sorted(readable.ids))})"))
    elif readable.ids:
        denied = f"= ANY({parameters.add(sorted(readable.ids))})"
        in_denied, in_others = IN_EXPERIMENTS.format(no="NOT", test=denied), f"NOT (a.destination_id {denied})"
        others = IN_EXPERIMENTS.format(no="", test=f"IS NOT NULL AND {in_others}")
        search.where(f"({in_denied} OR {others})")
    chunks = fetch_page(ctx.db.fetch, search.build(req.page_token), req.max_results)
    load = partial(load_datasets, ctx.db)
    return await list_response(ctx.http, SearchEvaluationDatasetsResponse, chunks, req.max_results, load)
