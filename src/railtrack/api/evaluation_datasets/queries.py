"""Reads of evaluation datasets: one, or a page of them with their tags, and the experiments of one."""

from collections.abc import Sequence
from hashlib import sha256

from railtrack.api.evaluation_datasets.schemas import DATASET_COLUMNS, EvaluationDataset, dumped_tags
from railtrack.db import Row, Tx
from railtrack.errors import not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE

EXPERIMENTS_OF = """
    SELECT destination_id FROM entity_associations
    WHERE source_type = 'evaluation_dataset' AND source_id = $1 AND destination_type = 'experiment'
    ORDER BY created_time, destination_id
"""


async def load_datasets(tx: Tx, rows: Sequence[Row]) -> list[EvaluationDataset]:
    """Return the datasets of rows of DATASET_COLUMNS with their tags, in their order. The caller bounds the page."""
    datasets = [EvaluationDataset(*row) for row in rows]
    tags: dict[str, dict[str, str]] = {dataset.dataset_id: {} for dataset in datasets}
    for dataset_id, key, value in await tx.fetch(
        "SELECT dataset_id, key, COALESCE(value, '') FROM evaluation_dataset_tags WHERE dataset_id = ANY($1) "
        "ORDER BY key",
        list(tags),
    ):
        tags[dataset_id][key] = value
    for dataset in datasets:
        dataset.tags = dumped_tags(tags[dataset.dataset_id])
    return datasets


async def load_dataset(tx: Tx, dataset_id: str) -> EvaluationDataset | None:
    rows = await tx.fetch(
        f"SELECT {DATASET_COLUMNS} FROM evaluation_datasets WHERE workspace = $1 AND dataset_id = $2",  # noqa: S608 (our own text)
        DEFAULT_WORKSPACE,
        dataset_id,
    )
    loaded = await load_datasets(tx, rows)
    return loaded[0] if loaded else None


async def lock_dataset(tx: Tx, dataset_id: str, message: str) -> str:
    """Lock a dataset until the transaction ends, and return its name. Raise RESOURCE_DOES_NOT_EXIST."""
    name: str | None = await tx.fetch_value(
        "SELECT name FROM evaluation_datasets WHERE workspace = $1 AND dataset_id = $2 FOR NO KEY UPDATE",
        DEFAULT_WORKSPACE,
        dataset_id,
    )
    if name is None:
        raise not_found(message.format(dataset_id[:250]))
    return name


def digest_of(name: str, last_update_time: int) -> str:
    """Return the digest of a dataset, which, as in MLflow, changes with each change of its records."""
    return sha256(f"{name}:{last_update_time}".encode()).hexdigest()[:8]
