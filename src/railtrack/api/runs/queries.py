"""Runs from the database: one in a statement, a page of them in a few, whatever its length. No endpoint, no filter."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import msgspec

from railtrack.api.metrics.queries import PACKED, metrics_of, unpacked
from railtrack.api.runs.input_queries import datasets_of
from railtrack.api.runs.schemas import (
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

T = TypeVar("T")

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
    row = await tx.fetch_row(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = $1", run_id)  # noqa: S608 (ours)
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
        row = await db.fetch_row(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_uuid = $1", run_id)  # noqa: S608
        if row is None:
            raise no_such_run(run_id)
        [run] = await load_runs(db, [row])
        return run
    rows = await db.fetch_by_key(COMPLETE, run_id)
    if not rows:
        raise no_such_run(run_id)
    run, has_datasets = _complete(rows[0])
    if has_datasets:
        run.inputs.dataset_inputs = [dataset for _, dataset in await datasets_of(db, [run_id])]
    return run


DATASET_LINK = "destination_type = 'RUN' AND source_type = 'DATASET'"
INPUT_LINK = "source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT'"
OUTPUT_LINK = "source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'"
"""Which rows of `inputs` are datasets that a run read, models that it read, and models that it made."""

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
            WHERE destination_id = runs.run_uuid AND {DATASET_LINK}
        ) AS has_datasets
    ) AS read_datasets
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS inputs FROM inputs
        WHERE source_id = runs.run_uuid AND {INPUT_LINK}
    ) AS read_models
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS outputs, ARRAY_AGG(step) AS steps FROM inputs
        WHERE source_id = runs.run_uuid AND {OUTPUT_LINK}
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
LINKS = f"""
    SELECT {DATASET} AS kind, destination_id AS run_id, source_id AS id, CAST(NULL AS BIGINT) AS step FROM inputs
    WHERE destination_id = ANY($1) AND {DATASET_LINK}
    UNION ALL
    SELECT {MODEL_INPUT}, source_id, destination_id, NULL FROM inputs
    WHERE source_id = ANY($1) AND {INPUT_LINK}
    UNION ALL
    SELECT {MODEL_OUTPUT}, source_id, destination_id, step FROM inputs
    WHERE source_id = ANY($1) AND {OUTPUT_LINK}
"""  # noqa: S608 (numbers of ours)
ROWS = f"""
    SELECT {METRIC}, run_uuid, key, NULL, CASE WHEN is_nan THEN NULL ELSE value END, COALESCE(timestamp, 0), step
    FROM latest_metrics WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {PARAM}, run_uuid, key, value, NULL, NULL, NULL FROM params WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT {TAG}, run_uuid, key, COALESCE(value, ''), NULL, NULL, NULL FROM tags WHERE run_uuid = ANY($1)
    UNION ALL
    SELECT kind, run_id, id, NULL, NULL, NULL, step FROM ({LINKS}) AS links
"""  # noqa: S608 (texts of ours)
"""(kind, run_id, key or id, text, number or null for NaN, timestamp, step) of all that the runs have."""
COLUMNS = f"""
    SELECT metrics.*, params.*, tags.*, links.* FROM
    (SELECT json_agg(run_uuid), json_agg(key), {PACKED} FROM latest_metrics WHERE run_uuid = ANY($1)) AS metrics
    CROSS JOIN (
        SELECT json_agg(run_uuid), json_agg(key), json_agg(value) FROM params WHERE run_uuid = ANY($1)
    ) AS params
    CROSS JOIN (
        SELECT json_agg(run_uuid), json_agg(key), json_agg(COALESCE(value, '')) FROM tags WHERE run_uuid = ANY($1)
    ) AS tags
    CROSS JOIN (SELECT json_agg(json_build_array(kind, run_id, id, step)) FROM ({LINKS}) AS rows) AS links
"""  # noqa: S608 (texts of ours)
"""The same in one row of PostgreSQL, column by column: a row for each thing took the worker half as long again. 250
runs with 45 things each are 5.7 + 5.7 ms so, and were 8.9 + 5.0; arrays, or a row of JSON for each run, took longer.
"""
_Link = tuple[int, str, str, int | None]
_texts = msgspec.json.Decoder(list[str]).decode
_links = msgspec.json.Decoder(list[_Link]).decode


async def load_runs(tx: Tx, rows: Sequence[Row]) -> list[Run]:
    """Return the runs of rows of INFO_COLUMNS, complete, in their order. The caller bounds the page.

    Metrics, params and tags come in no order, as MLflow sends them: sorting them would take a third of the time.
    """
    infos = [RunInfo(*row) for row in rows]
    runs = {info.run_id: _empty(info) for info in infos}
    read = _read_columns if tx.engine == "postgresql" else _read_rows  # SQLite's JSON is not exact in numbers
    with_datasets = set()
    for kind, run_id, other, step in await read(tx, runs):
        if kind == DATASET:
            with_datasets.add(run_id)
        elif kind == MODEL_INPUT:
            runs[run_id][2].model_inputs.append(ModelInput(other))
        else:
            runs[run_id][3].model_outputs.append(ModelOutput(other, step or 0))
    if with_datasets:
        for run_id, dataset in await datasets_of(tx, sorted(with_datasets)):
            runs[run_id][2].dataset_inputs.append(dataset)
    return [_in_order(*runs[info.run_id]) for info in infos]


async def _read_rows(tx: Tx, runs: Mapping[str, "_Parts"]) -> list[_Link]:
    """Put in the runs' metrics, params and tags; what else they have is returned."""
    links: list[_Link] = []
    for kind, run_id, key, text, number, timestamp, step in await tx.fetch(ROWS, list(runs)):
        data = runs[run_id][1]
        if kind == METRIC:
            data.metrics.append(Metric(key, "NaN" if number is None else number, timestamp, step))
        elif kind == PARAM:
            data.params.append(Param(key, text))
        elif kind == TAG:
            data.tags.append(RunTag(key, text))
        else:
            links.append((kind, run_id, key, step))
    return links


async def _read_columns(tx: Tx, runs: Mapping[str, "_Parts"]) -> list[_Link]:
    """As _read_rows."""
    row = await tx.fetch_row(COLUMNS, list(runs))
    assert row is not None, "aggregates have a row"
    of_metrics, metric_keys, values, timestamps, steps, *texts, links = row
    of_params, params, param_values, of_tags, tags, tag_values = (_texts(text or "[]") for text in texts)
    metrics = metrics_of(_texts(metric_keys or "[]"), unpacked(values, timestamps, steps))
    _hand_out(metrics, _texts(of_metrics or "[]"), {run_id: parts[1].metrics for run_id, parts in runs.items()})
    _hand_out(map(Param, params, param_values), of_params, {run_id: parts[1].params for run_id, parts in runs.items()})
    _hand_out(map(RunTag, tags, tag_values), of_tags, {run_id: parts[1].tags for run_id, parts in runs.items()})
    return _links(links or "[]")


def _hand_out(things: Iterable[T], run_ids: Iterable[str], lists: Mapping[str, list[T]]) -> None:
    """Each of the things to the list of its run."""
    for run_id, thing in zip(run_ids, things, strict=True):
        lists[run_id].append(thing)


_Parts = tuple[RunInfo, RunData, RunInputs, RunOutputs]


def _empty(info: RunInfo) -> _Parts:
    return info, RunData([], [], []), RunInputs([], []), RunOutputs([])


def _in_order(info: RunInfo, data: RunData, inputs: RunInputs, outputs: RunOutputs) -> Run:
    """The run, its models by their ids."""
    inputs.model_inputs.sort(key=attrgetter("model_id"))
    outputs.model_outputs.sort(key=attrgetter("model_id"))
    return Run(info, data, inputs, outputs)
