"""What runs read and made: the datasets and models of a page of runs. Writing them is api/inputs.py's."""

from collections.abc import Sequence

from railtrack.api.runs.shapes import (
    Dataset,
    DatasetInput,
    InputTag,
    ModelInput,
    ModelOutput,
    RunInputs,
    RunOutputs,
)
from railtrack.db import Tx


async def inputs_of(tx: Tx, run_ids: Sequence[str]) -> dict[str, RunInputs]:
    """run_id -> its dataset and model inputs, by name and by id; runs without any are left out."""
    found: dict[str, RunInputs] = {}
    tags = await _input_tags(tx, run_ids)
    for run_id, input_uuid, *dataset in await tx.fetch(
        """
        SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
            NULLIF(d.dataset_schema, ''), NULLIF(d.dataset_profile, '')
        FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
        WHERE i.destination_id = ANY($1) AND i.destination_type = 'RUN' AND i.source_type = 'DATASET'
        ORDER BY d.name, d.digest
        """,
        run_ids,
    ):
        one = DatasetInput(Dataset(*dataset), tags.get(input_uuid, []))
        found.setdefault(run_id, RunInputs([], [])).dataset_inputs.append(one)
    for run_id, model_id in await tx.fetch(
        """
        SELECT source_id, destination_id FROM inputs
        WHERE source_id = ANY($1) AND source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT'
        ORDER BY destination_id
        """,
        run_ids,
    ):
        found.setdefault(run_id, RunInputs([], [])).model_inputs.append(ModelInput(model_id))
    return found


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


async def outputs_of(tx: Tx, run_ids: Sequence[str]) -> dict[str, RunOutputs]:
    """run_id -> the models it made, by id; runs without any are left out."""
    found: dict[str, RunOutputs] = {}
    for run_id, model_id, step in await tx.fetch(
        """
        SELECT source_id, destination_id, step FROM inputs
        WHERE source_id = ANY($1) AND source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'
        ORDER BY destination_id
        """,
        run_ids,
    ):
        found.setdefault(run_id, RunOutputs([])).model_outputs.append(ModelOutput(model_id, step))
    return found
