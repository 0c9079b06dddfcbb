"""runs/log-inputs and runs/outputs: datasets and models that a run read, and models that it made.

Reading them is part of runs/queries.py. Logged models themselves are in logged_models/.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import msgspec

from railtrack.api.runs.queries import check_active, load_info
from railtrack.auth import RUN_LOG
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.retry import idempotent
from railtrack.errors import ApiError, bad_request, shown
from railtrack.mlflow.validation import check_length, first_duplicate
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

NAME_LIMIT = 500
DIGEST_LIMIT = 36
SOURCE_TYPE_LIMIT = 36
SOURCE_LIMIT = 65_535
SCHEMA_LIMIT = 1_048_575
PROFILE_LIMIT = 16_777_215
INPUT_TAG_KEY_LIMIT = 255
INPUT_TAG_VALUE_LIMIT = 500
MODEL_ID_LIMIT = 36


class NewDataset(msgspec.Struct):
    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class NewInputTag(msgspec.Struct):
    key: str = ""
    value: str = ""


class NewDatasetInput(msgspec.Struct):
    tags: list[NewInputTag] = []
    dataset: NewDataset = msgspec.field(default_factory=NewDataset)


class NewModelInput(msgspec.Struct):
    model_id: str = ""


class LogInputs(Request):
    run_id: RequiredStr
    datasets: list[NewDatasetInput] = []
    models: list[NewModelInput] = []


@endpoint("POST", "runs/log-inputs", access=RUN_LOG)
@idempotent
async def log_inputs(ctx: Context, req: LogInputs) -> EmptyResponse:
    """Log datasets and models that a run reads.

    What was logged before stays unchanged: a dataset, identified by name and digest within its experiment, and an
    input with its tags, identified by dataset within its run.
    """
    for dataset_input in req.datasets:
        _check_dataset_input(dataset_input)
    for model in req.models:
        check_length("model_id", model.model_id, MODEL_ID_LIMIT)
    async with ctx.db.write() as tx:
        if req.datasets:
            # Without the lock, requests for one run that list the same datasets in another order could deadlock.
            await tx.execute("SELECT 1 FROM runs WHERE run_uuid = $1 FOR NO KEY UPDATE", req.run_id)
        info = await load_info(tx, req.run_id)
        check_active(info)
        if req.datasets:
            await _insert_datasets(tx, info.run_id, int(info.experiment_id), req.datasets)
        # As in MLflow, a model need not exist: it may be created later, or belong to another registry.
        model_ids = sorted({model.model_id for model in req.models})
        await _insert_inputs(
            tx, [InputRow(uuid4().hex, "RUN_INPUT", info.run_id, "MODEL_INPUT", model_id, 0) for model_id in model_ids]
        )
    return EMPTY_RESPONSE


def _check_dataset_input(dataset_input: NewDatasetInput) -> None:
    dataset, tags = dataset_input.dataset, dataset_input.tags
    for field, value, limit in (
        ("name", dataset.name, NAME_LIMIT),
        ("digest", dataset.digest, DIGEST_LIMIT),
        ("source_type", dataset.source_type, SOURCE_TYPE_LIMIT),
        ("source", dataset.source, SOURCE_LIMIT),
        ("schema", dataset.schema or "", SCHEMA_LIMIT),
        ("profile", dataset.profile or "", PROFILE_LIMIT),
        *(("key", tag.key, INPUT_TAG_KEY_LIMIT) for tag in tags),
        *(("value", tag.value, INPUT_TAG_VALUE_LIMIT) for tag in tags),
    ):
        check_length(field, value, limit)
    repeated = first_duplicate(tag.key for tag in tags)
    if repeated is not None:
        raise bad_request(
            f"Duplicate tag key {shown(repeated)} for the dataset {shown(dataset.name)}: one value for each."
        )


class DatasetKey(NamedTuple):
    """What identifies a dataset within its experiment."""

    name: str
    digest: str


async def _insert_datasets(tx: Tx, run_id: str, experiment: int, dataset_inputs: Sequence[NewDatasetInput]) -> None:
    """Store datasets, their inputs to the run in this order, and the tags of new inputs. Callers lock the run.

    Of repeated datasets the first counts.
    """
    by_key = {DatasetKey(each.dataset.name, each.dataset.digest): each for each in reversed(dataset_inputs)}
    keys = sorted(by_key)
    dataset_ids = await _insert_or_load_datasets(tx, experiment, [by_key[key].dataset for key in keys])
    input_ids = {dataset_ids[key]: uuid4().hex for key in keys}
    in_order = dict.fromkeys(dataset_ids[DatasetKey(each.dataset.name, each.dataset.digest)] for each in dataset_inputs)
    rows = [InputRow(input_ids[dataset_id], "DATASET", dataset_id, "RUN", run_id, 0) for dataset_id in in_order]
    await _insert_inputs(tx, rows)
    tags = [(input_ids[dataset_ids[key]], tag.key, tag.value) for key in keys for tag in by_key[key].tags]
    if tags:
        # An input that existed before has kept its id and its tags.
        stored = await tx.fetch("SELECT input_uuid FROM inputs WHERE input_uuid = ANY($1)", list(input_ids.values()))
        inserted = {input_id for [input_id] in stored}
        await tx.execute_rows(
            "INSERT INTO input_tags (input_uuid, name, value) SELECT input_uuid, name, value FROM {rows} WHERE true",
            {"input_uuid": "text", "name": "text", "value": "text"},
            [(input_id, key, value) for input_id, key, value in tags if input_id in inserted],
        )


async def _insert_or_load_datasets(tx: Tx, experiment: int, datasets: Sequence[NewDataset]) -> dict[DatasetKey, str]:
    """Store those of the datasets that the experiment does not have yet. Return the id of each."""
    await tx.execute_rows(
        """
        INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source,
            dataset_schema, dataset_profile)
        SELECT dataset_uuid, experiment_id, name, digest, source_type, source, schema_text, profile
        FROM {rows} WHERE true
        ON CONFLICT (experiment_id, name, digest) DO NOTHING
        """,
        {
            "dataset_uuid": "text",
            "experiment_id": "integer",
            "name": "text",
            "digest": "text",
            "source_type": "text",
            "source": "text",
            "schema_text": "text",
            "profile": "text",
        },
        [(uuid4().hex, experiment, *msgspec.structs.astuple(dataset)) for dataset in datasets],
    )
    rows = await tx.fetch(
        "SELECT name, digest, dataset_uuid FROM datasets WHERE experiment_id = $1 AND name = ANY($2)",
        experiment,
        sorted({dataset.name for dataset in datasets}),
    )
    return {DatasetKey(name, digest): dataset_id for name, digest, dataset_id in rows}


class InputRow(NamedTuple):
    """A row of `inputs`, in the order of its columns in _insert_inputs."""

    input_uuid: str
    source_type: str
    source_id: str
    destination_type: str
    destination_id: str
    step: int


async def _insert_inputs(tx: Tx, inputs: Sequence[InputRow]) -> None:
    """Store rows that do not exist yet."""
    if not inputs:
        return
    await tx.execute_rows(
        """
        INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
        SELECT input_uuid, source_type, source_id, destination_type, destination_id, step FROM {rows} WHERE true
        ON CONFLICT (source_type, source_id, destination_type, destination_id) DO NOTHING
        """,
        {
            "input_uuid": "text",
            "source_type": "text",
            "source_id": "text",
            "destination_type": "text",
            "destination_id": "text",
            "step": "bigint",
        },
        inputs,
    )


class NewModelOutput(msgspec.Struct):
    model_id: str = ""
    step: Int64 = 0


class LogOutputs(Request):
    run_id: RequiredStr
    models: list[NewModelOutput]


@endpoint("POST", "runs/outputs", access=RUN_LOG)
@idempotent
async def log_outputs(ctx: Context, req: LogOutputs) -> EmptyResponse:
    """Log models that a run made, each at one step. Unlike in MLflow, repeating one is allowed at the same step."""
    steps: dict[str, int] = {}
    for model in req.models:
        check_length("model_id", model.model_id, MODEL_ID_LIMIT)
        if steps.setdefault(model.model_id, model.step) != model.step:
            raise _other_step(req.run_id, model.model_id, steps[model.model_id])
    async with ctx.db.write() as tx:
        check_active(await load_info(tx, req.run_id))
        await _insert_inputs(
            tx,
            [
                InputRow(uuid4().hex, "RUN_OUTPUT", req.run_id, "MODEL_OUTPUT", model_id, steps[model_id])
                for model_id in sorted(steps)
            ],
        )
        stored = await tx.fetch(
            """
            SELECT destination_id, step FROM inputs
            WHERE source_type = 'RUN_OUTPUT' AND source_id = $1 AND destination_type = 'MODEL_OUTPUT'
                AND destination_id = ANY($2)
            """,
            req.run_id,
            list(steps),
        )
        for model_id, step in stored:
            if step != steps[model_id]:
                raise _other_step(req.run_id, model_id, step)
    return EMPTY_RESPONSE


def _other_step(run_id: str, model_id: str, step: int) -> ApiError:
    return bad_request(f"The model {shown(model_id)} is an output of the run {run_id} already, of step {step}.")
