"""Datasets that a page of runs read. The models they read and made are in queries.py; writes are in api/inputs."""

from collections.abc import Sequence

from railtrack.api.runs.schemas import Dataset, DatasetInput, InputTag
from railtrack.db import Tx


async def datasets_of(tx: Tx, run_ids: Sequence[str]) -> list[tuple[str, DatasetInput]]:
    """(run_id, dataset with the tags of its use), by the dataset's name and digest."""
    tags = await _input_tags(tx, run_ids)
    rows = await tx.fetch(
        """
        SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
            NULLIF(d.dataset_schema, ''), NULLIF(d.dataset_profile, '')
        FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
        WHERE i.destination_id = ANY($1) AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
        ORDER BY d.name, d.digest
        """,
        run_ids,
    )
    return [
        (run_id, DatasetInput(Dataset(*dataset), tags.get(input_uuid, []))) for run_id, input_uuid, *dataset in rows
    ]


async def _input_tags(tx: Tx, run_ids: Sequence[str]) -> dict[str, list[InputTag]]:
    """input_uuid -> its tags."""
    found: dict[str, list[InputTag]] = {}
    for input_uuid, name, value in await tx.fetch(
        """
        SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid
        WHERE i.destination_id = ANY($1) AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
        ORDER BY t.name
        """,
        run_ids,
    ):
        found.setdefault(input_uuid, []).append(InputTag(name, value))
    return found
