"""Runs from the database: one in a statement, a page of them in a few, whatever its length. No endpoint, no filter."""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from railtrack.api.metric_points import PACKED, metrics_of, unpacked
from railtrack.api.runs.inputs_rows import datasets_of
from railtrack.api.runs.shapes import (
    Metric,
    ModelInput,
    ModelOutput,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)
from railtrack.db import Db, Row, Tx
from railtrack.errors import ApiError, invalid, not_found

INFO_WIDTH = len(msgspec.structs.fields(RunInfo))
INFO_COLUMNS = """
    runs.run_uuid, runs.run_uuid, CAST(runs.experiment_id AS TEXT), COALESCE(runs.user_id, ''),
    COALESCE(
        NULLIF(runs.name, ''),
        (SELECT t.value FROM tags t WHERE t.run_uuid = runs.run_uuid AND t.key = 'mlflow.runName')
    ),
    runs.status, runs.start_time, NULLIF(runs.end_time, 0), runs.artifact_uri, runs.lifecycle_stage
"""
"""The columns of a RunInfo, in its order. Runs of old versions of MLflow have their name in the tag only.

An end time of 0 is none, as in MLflow.
"""


async def load_info(tx: Tx, run_id: str) -> RunInfo:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    row = await tx.fetchrow(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = $1", run_id)  # noqa: S608 (ours)
    if row is None:
        raise no_such_run(run_id)
    return RunInfo(*row)


def no_such_run(run_id: str) -> ApiError:
    return not_found(f"Run with id={run_id} not found")


def check_active(info: RunInfo) -> None:
    """Deleted runs refuse all changes but their restoration."""
    if info.lifecycle_stage != "active":
        raise invalid(f"The run {info.run_id} must be in the 'active' state. Current state is {info.lifecycle_stage}.")


async def load_run(db: Db, run_id: str) -> Run:
    """A run with all that it has. Raises RESOURCE_DOES_NOT_EXIST."""
    if db.engine == "sqlite":  # it has no arrays, and its round trips are short
        [run] = await load_runs(db, [await load_info(db, run_id)])
        return run
    rows = await db.fetch_by_key(COMPLETE, run_id)
    if not rows:
        raise no_such_run(run_id)
    run, has_datasets = _complete(rows[0])
    if has_datasets:
        run.inputs.dataset_inputs = [dataset for _, dataset in await datasets_of(db, [run_id])]
    return run


COMPLETE = f"""
    SELECT {INFO_COLUMNS}, metrics.*, params.*, tags.*, has_datasets, inputs, outputs, steps
    FROM runs
    CROSS JOIN LATERAL (SELECT ARRAY_AGG(key), {PACKED} FROM latest_metrics WHERE run_uuid = runs.run_uuid) AS metrics
    CROSS JOIN LATERAL (SELECT ARRAY_AGG(key), ARRAY_AGG(value) FROM params WHERE run_uuid = runs.run_uuid) AS params
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(key), ARRAY_AGG(COALESCE(value, '')) FROM tags WHERE run_uuid = runs.run_uuid
    ) AS tags
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT 1 FROM inputs
            WHERE destination_id = runs.run_uuid AND destination_type = 'RUN' AND source_type = 'DATASET'
        ) AS has_datasets
    ) AS read_datasets
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS inputs FROM inputs
        WHERE source_id = runs.run_uuid AND source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT'
    ) AS read_models
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS outputs, ARRAY_AGG(step) AS steps FROM inputs
        WHERE source_id = runs.run_uuid AND source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'
    ) AS made_models
    WHERE runs.run_uuid = $1
"""  # noqa: S608 (texts of ours)
"""A run in one row, what it has in arrays: of a row for each metric, most of the cost was the row."""


def _complete(row: Row) -> tuple[Run, bool]:
    """The run of a row of COMPLETE, and whether it has datasets, which are not in it."""
    keys, *points = row[INFO_WIDTH : INFO_WIDTH + 4]
    params, values, tags, texts, has_datasets, inputs, outputs, steps = row[INFO_WIDTH + 4 :]
    data = RunData(
        metrics_of(keys or (), unpacked(*points)),
        list(map(Param, params or (), values or ())),
        list(map(RunTag, tags or (), texts or ())),
    )
    models = RunInputs([], list(map(ModelInput, inputs or ())))
    made = RunOutputs(list(map(ModelOutput, outputs or (), steps or ())))
    return _in_order(RunInfo(*row[:INFO_WIDTH]), data, models, made), has_datasets


METRIC, PARAM, TAG, DATASET, MODEL_INPUT, MODEL_OUTPUT = range(6)
LOGGED = f"""
    SELECT {METRIC}, run_uuid, key, NULL, CASE WHEN is_nan THEN NULL ELSE value END, timestamp, step
    FROM latest_metrics WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {PARAM}, run_uuid, key, value, NULL, NULL, NULL FROM params WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {TAG}, run_uuid, key, COALESCE(value, ''), NULL, NULL, NULL FROM tags WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {DATASET}, destination_id, source_id, NULL, NULL, NULL, NULL FROM inputs
    WHERE destination_id = ANY($1) AND destination_type = 'RUN' AND source_type = 'DATASET'
    UNION ALL
    SELECT {MODEL_INPUT}, source_id, destination_id, NULL, NULL, NULL, NULL FROM inputs
    WHERE source_id = ANY($1) AND source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT'
    UNION ALL
    SELECT {MODEL_OUTPUT}, source_id, destination_id, NULL, NULL, NULL, step FROM inputs
    WHERE source_id = ANY($1) AND source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'
"""  # noqa: S608 (numbers of ours)
"""(kind, run_id, key or id, text, number or null for NaN, timestamp, step) of all that the runs have.

One statement instead of one a table: for a single run the round trips were most of what it cost.
"""


async def load_runs(tx: Tx, infos: Sequence[RunInfo]) -> list[Run]:
    """The runs of one page, complete, in the order of `infos`. The caller bounds the page.

    Metrics, params and tags come in no order, as MLflow sends them: sorting them would take a third of the time.
    """
    runs = {info.run_id: _empty(info) for info in infos}
    with_datasets = set()
    for kind, run_id, key, text, number, timestamp, step in await tx.fetch(LOGGED, list(runs)):
        _, data, inputs, outputs = runs[run_id]
        if kind == METRIC:
            data.metrics.append(Metric(key, "NaN" if number is None else number, timestamp, step))
        elif kind == PARAM:
            data.params.append(Param(key, text))
        elif kind == TAG:
            data.tags.append(RunTag(key, text))
        elif kind == DATASET:
            with_datasets.add(run_id)
        elif kind == MODEL_INPUT:
            inputs.model_inputs.append(ModelInput(key))
        else:
            outputs.model_outputs.append(ModelOutput(key, step))
    if with_datasets:
        for run_id, dataset in await datasets_of(tx, sorted(with_datasets)):
            runs[run_id][2].dataset_inputs.append(dataset)
    return [_in_order(*runs[info.run_id]) for info in infos]


_Parts = tuple[RunInfo, RunData, RunInputs, RunOutputs]


def _empty(info: RunInfo) -> _Parts:
    return info, RunData([], [], []), RunInputs([], []), RunOutputs([])


def _in_order(info: RunInfo, data: RunData, inputs: RunInputs, outputs: RunOutputs) -> Run:
    """The run, its models by their ids."""
    inputs.model_inputs.sort(key=attrgetter("model_id"))
    outputs.model_outputs.sort(key=attrgetter("model_id"))
    return Run(info, data, inputs, outputs)
