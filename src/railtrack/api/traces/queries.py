"""Reads that find out whether MLflow has stored anything that this version doesn't serve."""

from typing import Literal

from railtrack.db import Tx
from railtrack.errors import invalid, not_implemented
from railtrack.mlflow.ids import experiment_numbers

EXPERIMENTS_LIMIT = 1000


async def check_none_stored(tx: Tx, experiment_ids: list[str], table: Literal["trace_info", "scorers"]) -> None:
    """Raise NOT_IMPLEMENTED if one of the experiments has rows in this table: an empty response would hide them."""
    if len(experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"A request can name at most {EXPERIMENTS_LIMIT} experiments. Got {len(experiment_ids)}.")
    numbers = experiment_numbers(experiment_ids)
    if await tx.fetch_value(f"SELECT 1 FROM {table} WHERE experiment_id = ANY($1) LIMIT 1", numbers):  # noqa: S608 (a constant)
        stored = "traces" if table == "trace_info" else table
        raise not_implemented(f"There are {stored} in this database, which this version of Railtrack does not serve.")
