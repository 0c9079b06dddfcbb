"""experiments/search-datasets: the datasets that the runs of experiments used."""

import msgspec

from railtrack.auth import EXPERIMENTS_READ
from railtrack.context import Context
from railtrack.errors import invalid
from railtrack.mlflow.ids import experiment_numbers
from railtrack.wire.request import Request
from railtrack.wire.routing import endpoint

CONTEXT_TAG = "mlflow.data.context"
"""The input tag that describes what a run used a dataset for: training, evaluation."""
EXPERIMENTS_LIMIT = 20
SUMMARIES_LIMIT = 1000


class DatasetSummary(msgspec.Struct, omit_defaults=True):
    experiment_id: str
    name: str
    digest: str
    context: str | None = None


class SearchDatasets(Request):
    experiment_ids: list[str] = []


class SearchDatasetsResponse(msgspec.Struct, omit_defaults=True):
    dataset_summaries: list[DatasetSummary] = []


@endpoint("POST", "experiments/search-datasets", access=EXPERIMENTS_READ, ajax_only=True, is_read=True)
async def search_datasets(ctx: Context, req: SearchDatasets) -> SearchDatasetsResponse:
    """Return the datasets that runs of these experiments used, once for each context: at most 1,000, without paging."""
    if not req.experiment_ids:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(req.experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(
            f"SearchDatasets request cannot specify more than {EXPERIMENTS_LIMIT} experiment_ids. "
            f"Received {len(req.experiment_ids)} experiment_ids."
        )
    rows = await ctx.db.fetch(
        """
        SELECT DISTINCT CAST(d.experiment_id AS TEXT), d.name, d.digest, NULLIF(t.value, '') AS context
        FROM datasets d
        JOIN inputs i ON i.source_id = d.dataset_uuid AND i.source_type = 'DATASET'
        LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = $2
        WHERE d.experiment_id = ANY($1)
        ORDER BY 1, 2, 3, context NULLS LAST LIMIT $3
        """,
        experiment_numbers(req.experiment_ids),
        CONTEXT_TAG,
        SUMMARIES_LIMIT,
    )
    return SearchDatasetsResponse([DatasetSummary(*row) for row in rows])
