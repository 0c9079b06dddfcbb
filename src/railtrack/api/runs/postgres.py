"""PostgreSQL-only spellings of reads in queries.py and writes in log.py; their portable twins have the same result.

tests/api/test_postgres.py runs both on the same data.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from railtrack.api.runs.schemas import (
    INFO_COLUMNS,
    INPUT_LINKS,
    IS_DATASET_INPUT,
    IS_MODEL_INPUT,
    IS_MODEL_OUTPUT,
    PACKED_POINTS,
    InputLink,
    ModelInput,
    ModelOutput,
    Param,
    Points,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)
from railtrack.db import Db, Row, Tx
from railtrack.db.recordset import recordset, rows_parameter
from railtrack.wire.list_response import RowsTooLarge

T = TypeVar("T")

ONE_RUN = f"""
    SELECT {INFO_COLUMNS}, metrics.*, params.*, tags.*, has_datasets, inputs, outputs, steps
    FROM runs
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(key), {PACKED_POINTS} FROM latest_metrics WHERE run_uuid = runs.run_uuid
    ) AS metrics
    CROSS JOIN LATERAL (SELECT ARRAY_AGG(key), ARRAY_AGG(value) FROM params WHERE run_uuid = runs.run_uuid) AS params
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(key), ARRAY_AGG(COALESCE(value, '')) FROM tags WHERE run_uuid = runs.run_uuid
    ) AS tags
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT 1 FROM inputs
            WHERE destination_id = runs.run_uuid AND {IS_DATASET_INPUT}
        ) AS has_datasets
    ) AS read_datasets
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS inputs FROM inputs
        WHERE source_id = runs.run_uuid AND {IS_MODEL_INPUT}
    ) AS read_models
    CROSS JOIN LATERAL (
        SELECT ARRAY_AGG(destination_id) AS outputs, ARRAY_AGG(step) AS steps FROM inputs
        WHERE source_id = runs.run_uuid AND {IS_MODEL_OUTPUT}
    ) AS made_models
    WHERE runs.run_uuid = $1
"""  # noqa: S608 (our own text)
"""A run in one row, with arrays of what was logged to it: with a row for each metric, most of the cost was the row."""


class LoadedRun(NamedTuple):
    """A run without its dataset inputs."""

    run: Run
    has_datasets: bool


async def load_run(db: Db, run_id: str) -> LoadedRun | None:
    rows = await db.fetch_by_key(ONE_RUN, run_id)
    if not rows:
        return None
    (
        *info,
        metric_keys,
        packed_values,
        packed_timestamps,
        packed_steps,
        param_keys,
        params,
        tag_keys,
        tags,
        has_datasets,
        inputs,
        outputs,
        output_steps,
    ) = rows[0]
    data = RunData(
        Points.unpack(packed_values, packed_timestamps, packed_steps).metrics(metric_keys or ()),
        list(map(Param, param_keys or (), params or ())),
        list(map(RunTag, tag_keys or (), tags or ())),
    )
    model_inputs = list(map(ModelInput, sorted(inputs or ())))
    model_outputs = [ModelOutput(*output) for output in sorted(zip(outputs or (), output_steps or (), strict=True))]
    run = Run(RunInfo(*info), data, RunInputs([], model_inputs), RunOutputs(model_outputs))
    return LoadedRun(run, has_datasets)


_PART_COLUMNS = [f"c{number}" for number in range(12)]
PARTS = f"""
    SELECT size, {", ".join(f"CASE WHEN size <= $2 THEN {name} END" for name in _PART_COLUMNS)} FROM
    (
        SELECT json_agg(run_uuid), json_agg(key), {PACKED_POINTS} FROM latest_metrics WHERE run_uuid = ANY($1)
    ) AS metrics (c0, c1, c2, c3, c4)
    CROSS JOIN (
        SELECT json_agg(run_uuid), json_agg(key), json_agg(value) FROM params WHERE run_uuid = ANY($1)
    ) AS params (c5, c6, c7)
    CROSS JOIN (
        SELECT json_agg(run_uuid), json_agg(key), json_agg(COALESCE(value, '')) FROM tags WHERE run_uuid = ANY($1)
    ) AS tags (c8, c9, c10)
    CROSS JOIN (
        SELECT json_agg(json_build_array(kind, run_id, other_id, step)) FROM ({INPUT_LINKS}) AS rows
    ) AS links (c11)
    CROSS JOIN LATERAL (
        SELECT {" + ".join(f"COALESCE(pg_column_size({name}), 0)" for name in _PART_COLUMNS)} AS size
    ) AS sizes
"""  # noqa: S608 (our own text)
"""All parts of the runs $1 in one row, column by column: with a row for each, the worker took half as long again.

Columns of more than $2 bytes together stay with PostgreSQL, which knows their sizes without reading them again.

250 runs with 45 metrics, params and tags each take 5.7 ms of PostgreSQL and 5.7 of the worker, and took 8.9 and 5.0;
arrays, or a row of JSON for each run, took longer.
"""
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_links = msgspec.json.Decoder(list[InputLink]).decode


async def load_parts(tx: Tx, runs: Mapping[str, Run], max_bytes: int) -> list[InputLink]:
    """Add the metrics, params and tags of the runs to them. Return their links.

    Raise RowsTooLarge if these have more than `max_bytes`.
    """
    row = await tx.fetch_row(PARTS, list(runs), max_bytes)
    assert row is not None, "aggregates have a row"
    size, *row = row
    if size > max_bytes:
        raise RowsTooLarge(size)
    of_metrics, metric_keys, values, timestamps, steps, *columns, links = row
    of_params, param_keys, params, of_tags, tag_keys, tags = (_decode_texts(column or "[]") for column in columns)
    metrics = Points.unpack(values, timestamps, steps).metrics(_decode_texts(metric_keys or "[]"))
    _distribute(metrics, _decode_texts(of_metrics or "[]"), {run_id: run.data.metrics for run_id, run in runs.items()})
    _distribute(map(Param, param_keys, params), of_params, {run_id: run.data.params for run_id, run in runs.items()})
    _distribute(map(RunTag, tag_keys, tags), of_tags, {run_id: run.data.tags for run_id, run in runs.items()})
    return _decode_links(links or "[]")


def _distribute(parts: Iterable[T], run_ids: Iterable[str], lists: Mapping[str, list[T]]) -> None:
    """Append each part to the list of its run."""
    for run_id, part in zip(run_ids, parts, strict=True):
        lists[run_id].append(part)


NAME_COLUMNS = {"run_uuid": "text", "key": "text"}
STORED_PARAMS = f"""
    SELECT params.run_uuid, params.key, params.value FROM {recordset(1, NAME_COLUMNS)}
    JOIN params ON params.key = r.key AND params.run_uuid = r.run_uuid
"""  # noqa: S608 (our own text)
"""By the primary key. Given two lists, as in the portable twin, PostgreSQL compares each param of the runs with each
key."""


async def load_stored_params(tx: Tx, names: Sequence[tuple[str, str]]) -> list[Row]:
    """Return (run_id, key, value) of those params that are stored. `names`: (run_id, key)."""
    return await tx.fetch(STORED_PARAMS, rows_parameter(NAME_COLUMNS, names))


POINT_COLUMNS = {
    "run_uuid": "text",
    "key": "text",
    "value": "double precision",
    "timestamp": "bigint",
    "step": "bigint",
    "is_nan": "boolean",
}
INSERT_POINTS = """
    INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT key, value, timestamp, run_uuid, step, is_nan FROM {rows}
"""
IGNORE_REPEATED = "ON CONFLICT (key, timestamp, step, run_uuid, value, is_nan) DO NOTHING"
INSERT_LATEST = """
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM {rows}
"""
REPLACE_OLDER = """
    ON CONFLICT (key, run_uuid) DO UPDATE
    SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value)
        > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)
"""


class Point(NamedTuple):
    """A row of `metrics`, in the order of POINT_COLUMNS: NaN as 0 with `is_nan`, infinities as the largest doubles."""

    run_id: str
    key: str
    value: float
    timestamp: int
    step: int
    is_nan: bool


async def insert_points(tx: Tx, points: Sequence[Point], latest: Sequence[Point]) -> None:
    """Store points, each once however often it is sent, and the latest point of each metric. Portable."""
    await tx.execute_rows(f"{INSERT_POINTS} WHERE true {IGNORE_REPEATED}", POINT_COLUMNS, points)
    await tx.execute_rows(f"{INSERT_LATEST} WHERE true {REPLACE_OLDER}", POINT_COLUMNS, latest)


OF_ACTIVE_RUNS = (
    "WHERE run_uuid IN (SELECT id FROM run WHERE stage = 'active') ORDER BY run_uuid, key, step, timestamp, value"
)
INSERT_POINTS_OF_ACTIVE_RUNS = f"""
    WITH run AS (
        SELECT run_uuid AS id, lifecycle_stage AS stage, experiment_id FROM runs WHERE run_uuid = ANY($1)
    ), stored AS (
        {INSERT_POINTS.format(rows=recordset(2, POINT_COLUMNS))} {OF_ACTIVE_RUNS} {IGNORE_REPEATED}
    ), latest AS (
        {INSERT_LATEST.format(rows=recordset(3, POINT_COLUMNS))} {OF_ACTIVE_RUNS} {REPLACE_OLDER}
    )
    SELECT id, stage, experiment_id FROM run
"""  # noqa: S608 (our own text)


async def insert_points_of_active_runs(
    db: Db, run_ids: Sequence[str], points: Sequence[Point], latest: Sequence[Point]
) -> list[Row]:
    """Read the runs and insert the points of active ones in one statement, which is its own transaction.

    Return (run_id, lifecycle_stage, experiment_id) of the runs that exist. Its portable twin is a read of the runs,
    then insert_points; SQLite's WITH cannot write.
    """
    return await db.fetch_by_key(
        INSERT_POINTS_OF_ACTIVE_RUNS,
        run_ids,
        rows_parameter(POINT_COLUMNS, points),
        rows_parameter(POINT_COLUMNS, latest),
        commits=True,
    )
