"""What runs read and made: log-inputs, outputs, the old log-model, and the datasets of an experiment.

How a run shows its inputs and outputs is in runs/inputs_rows.py; logged models themselves are not in here.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from railtrack.api.runs.queries import check_active, load_info
from railtrack.auth import EXPERIMENT_READ, RUN_EDIT
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, bad_request, invalid, shown
from railtrack.mlflow.ids import experiment_numbers
from railtrack.mlflow.validation import TAG_VALUE_LIMIT
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

CONTEXT_TAG = "mlflow.data.context"
"""The input tag that says what a run used a dataset for: training, evaluation."""


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


@endpoint("POST", "runs/log-inputs", access=RUN_EDIT)
async def log_inputs(ctx: Context, req: LogInputs) -> EmptyResponse:
    """Datasets and models that a run reads. What is known stays as it was logged first: a dataset by name and digest
    within its experiment, an input with its tags within its run.
    """
    for each in req.datasets:
        _check_dataset(each)
    model_ids = _model_ids(model.model_id for model in req.models)
    async with ctx.db.write() as tx:
        info = await load_info(tx, req.run_id)
        check_active(info)
        if req.datasets:
            await _link_datasets(tx, info.run_id, int(info.experiment_id), req.datasets)
        links = [(uuid4().hex, "RUN_INPUT", info.run_id, "MODEL_INPUT", model_id, 0) for model_id in sorted(model_ids)]
        await _link(tx, links)
    return EMPTY_RESPONSE


def _check_dataset(each: NewDatasetInput) -> None:
    dataset = each.dataset
    for field, value, limit in (
        ("name", dataset.name, NAME_LIMIT),
        ("digest", dataset.digest, DIGEST_LIMIT),
        ("source_type", dataset.source_type, SOURCE_TYPE_LIMIT),
        ("source", dataset.source, SOURCE_LIMIT),
        ("schema", dataset.schema or "", SCHEMA_LIMIT),
        ("profile", dataset.profile or "", PROFILE_LIMIT),
        *(("key", tag.key, INPUT_TAG_KEY_LIMIT) for tag in each.tags),
        *(("value", tag.value, INPUT_TAG_VALUE_LIMIT) for tag in each.tags),
    ):
        _check_length(field, value, limit)
    keys = [tag.key for tag in each.tags]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise bad_request(
            f"Duplicate tag key {shown(twice)} for the dataset {shown(dataset.name)}: one value for each."
        )


def _check_length(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise invalid(f"'{field}' exceeds the maximum length of {limit} characters")


def _model_ids(ids: Iterable[str]) -> list[str]:
    """Any id will do, as in MLflow: the model itself may come later, or be another registry's."""
    found = list(ids)
    for model_id in found:
        _check_length("model_id", model_id, MODEL_ID_LIMIT)
    return list(dict.fromkeys(found))


async def _link_datasets(tx: Tx, run_id: str, experiment: int, inputs: Sequence[NewDatasetInput]) -> None:
    given = {(each.dataset.name, each.dataset.digest): each for each in reversed(inputs)}
    known = await _dataset_ids(tx, experiment, [given[key].dataset for key in sorted(given)])
    links = {known[key]: uuid4().hex for key in sorted(given)}
    await _link(tx, [(links[dataset], "DATASET", dataset, "RUN", run_id, 0) for dataset in sorted(links)])
    tags = [(links[known[key]], tag.key, tag.value) for key in sorted(given) for tag in given[key].tags]
    if tags:
        # An input that was there already has kept its own id, and its tags.
        new = await tx.fetch("SELECT input_uuid FROM inputs WHERE input_uuid = ANY($1)", list(links.values()))
        made = {row[0] for row in new}
        await tx.execute_rows(
            "INSERT INTO input_tags (input_uuid, name, value) SELECT input_uuid, name, value FROM {rows} WHERE true",
            {"input_uuid": "text", "name": "text", "value": "text"},
            [tag for tag in tags if tag[0] in made],
        )


async def _dataset_ids(tx: Tx, experiment: int, datasets: Sequence[NewDataset]) -> dict[tuple[str, str], str]:
    """(name, digest) -> id of the experiment's datasets, the new ones among these created."""
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
    return {(name, digest): dataset_id for name, digest, dataset_id in rows}


async def _link(tx: Tx, links: Sequence[tuple[str, str, str, str, str, int]]) -> None:
    """Put links into `inputs`, in the order of its key, so that two writers can't dead-lock; known ones stay."""
    if not links:
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
        links,
    )


class NewModelOutput(msgspec.Struct):
    model_id: str = ""
    step: Int64 = 0


class LogOutputs(Request):
    run_id: RequiredStr
    models: list[NewModelOutput]


@endpoint("POST", "runs/outputs", access=RUN_EDIT)
async def log_outputs(ctx: Context, req: LogOutputs) -> EmptyResponse:
    """Models that a run made, each at one step. The same again is fine (MLflow refuses it), another step is refused."""
    steps: dict[str, int] = {}
    for model in req.models:
        _check_length("model_id", model.model_id, MODEL_ID_LIMIT)
        if steps.setdefault(model.model_id, model.step) != model.step:
            raise _other_step(req.run_id, model.model_id, steps[model.model_id])
    async with ctx.db.write() as tx:
        check_active(await load_info(tx, req.run_id))
        links = [
            (uuid4().hex, "RUN_OUTPUT", req.run_id, "MODEL_OUTPUT", model_id, steps[model_id])
            for model_id in sorted(steps)
        ]
        await _link(tx, links)
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


LOG_MODEL_HISTORY = "mlflow.log-model.history"
MODEL_FIELDS = ("artifact_path", "flavors", "run_id", "utc_time_created")


class LogModel(Request):
    run_id: RequiredStr
    model_json: RequiredStr


@endpoint("POST", "runs/log-model", access=RUN_EDIT)
async def log_model(ctx: Context, req: LogModel) -> EmptyResponse:
    """Add a model to the list that a tag of the run keeps: how clients before MLflow 3 say which models a run made."""
    entry = _history_entry(_model(req.model_json))
    async with ctx.db.write() as tx:
        # Two calls for one run must follow each other: each rewrites the whole list.
        await tx.execute("SELECT 1 FROM runs WHERE run_uuid = $1 FOR NO KEY UPDATE", req.run_id)
        check_active(await load_info(tx, req.run_id))
        history = await tx.fetch_value(
            "SELECT value FROM tags WHERE run_uuid = $1 AND key = $2", req.run_id, LOG_MODEL_HISTORY
        )
        value = json.dumps([*_history(history), entry])
        _check_length(LOG_MODEL_HISTORY, value, TAG_VALUE_LIMIT)
        await tx.execute(
            """
            INSERT INTO tags (run_uuid, key, value) VALUES ($1, $2, $3)
            ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
            """,
            req.run_id,
            LOG_MODEL_HISTORY,
            value,
        )
    return EMPTY_RESPONSE


def _model(text: str) -> dict[str, Any]:
    try:
        model = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(f"Malformed model info. \n {text[:1000]} \n is not a valid JSON.") from None
    if not isinstance(model, dict):
        raise invalid(f"Malformed model info. \n {text[:1000]} \n is not a JSON object.")
    if missing := [repr(field) for field in MODEL_FIELDS if field not in model]:
        raise invalid(f"Model json is missing mandatory fields: {{{', '.join(missing)}}}")
    return model


def _history_entry(model: dict[str, Any]) -> dict[str, Any]:
    """What MLflow keeps of a model: not its signature, and of its flavors not their configuration."""
    flavors = {} if model["flavors"] is None else model["flavors"]
    if not isinstance(flavors, dict):
        raise invalid("Malformed model info: 'flavors' is not a JSON object.")
    kept = {
        "run_id": model["run_id"],
        "artifact_path": model["artifact_path"],
        "utc_time_created": str(model["utc_time_created"] or datetime.now(UTC).replace(tzinfo=None)),
        "model_uuid": model.get("model_uuid"),
        "flavors": {name: _without_config(flavor) for name, flavor in flavors.items()},
    }
    return {field: value for field, value in kept.items() if field != "artifact_path" or value is not None}


def _without_config(flavor: Any) -> Any:
    if not isinstance(flavor, dict):
        return flavor
    return {name: value for name, value in flavor.items() if name != "config"}


def _history(value: str | None) -> list[Any]:
    """The tag's list; anybody may have set the tag to something else."""
    try:
        history = json.loads(value) if value else []
    except ValueError:
        history = None
    if not isinstance(history, list):
        raise invalid(f"The tag {LOG_MODEL_HISTORY} of the run is not a list of models.")
    return history


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


@endpoint("POST", "experiments/search-datasets", access=EXPERIMENT_READ, ajax_only=True)
async def search_datasets(ctx: Context, req: SearchDatasets) -> SearchDatasetsResponse:
    """The datasets that runs of these experiments used, once for each context of use; at most 1,000, and no page."""
    if not req.experiment_ids:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(req.experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(
            f"SearchDatasets request cannot specify more than {EXPERIMENTS_LIMIT} experiment_ids. "
            f"Received {len(req.experiment_ids)} experiment_ids."
        )
    rows: list[Row] = await ctx.db.fetch(
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
