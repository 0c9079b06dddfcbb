"""Logging to a run: log-metric, log-parameter, set-tag, log-batch.

Requests that arrive at the same time are validated against their runs and written together (db/group_commit.py), in a
few statements whatever their number. Rows are sorted by (run, key): two workers that write to the same run wait for
each other instead of running into a deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from railtrack.api.runs import postgres
from railtrack.api.runs.postgres import Point, insert_points
from railtrack.api.runs.schemas import RUN_NAME, Param, RunTag
from railtrack.auth import RUN_EDIT, RUN_LOG
from railtrack.context import Context
from railtrack.db import Conflict, Db, Row, Tx
from railtrack.db.retry import idempotent
from railtrack.errors import ApiError, invalid, not_found
from railtrack.mlflow.validation import (
    PARAM_VALUE_LIMIT,
    TAG_VALUE_LIMIT,
    check_metric_key,
    check_param_key,
    check_run_name,
    check_tag_key,
    is_valid_key,
)
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint

BATCH_LIMIT = 1000
METRICS_LIMIT = 1000
PARAMS_LIMIT = 100
TAGS_LIMIT = 100

LARGEST_DOUBLE = 1.7976931348623157e308
"""MLflow stores this for infinity, which not all of its databases can hold."""


class LogMetric(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@endpoint("POST", "runs/log-metric", access=RUN_LOG)
async def log_metric(ctx: Context, req: LogMetric) -> EmptyResponse:
    """Log one point of a metric. Repeating the same point is allowed; it is stored once."""
    point = _point(req.run_id, req)
    entry = LogEntry(req.run_id, points=[point])
    if req.model_id:
        entry.model_metrics = [ModelMetric(point, req.model_id, req.dataset_name, req.dataset_digest)]
    await ctx.grouped(write_entries).submit(entry)
    return EMPTY_RESPONSE


class LogParam(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "runs/log-parameter", access=RUN_EDIT)
async def log_param(ctx: Context, req: LogParam) -> EmptyResponse:
    """Log a param, whose value cannot change: repeating it is allowed, another value is an error that names both."""
    check_param_key(req.key, "key")
    entry = LogEntry(req.run_id, params=[(req.key, req.value[:PARAM_VALUE_LIMIT])], is_single_param=True)
    await ctx.grouped(write_entries).submit(entry)
    return EMPTY_RESPONSE


class SetTag(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    key: RequiredStr
    value: str = ""


@endpoint("POST", "runs/set-tag", access=RUN_EDIT)
async def set_tag(ctx: Context, req: SetTag) -> EmptyResponse:
    """Set a tag of a run; `mlflow.runName` renames the run."""
    await ctx.grouped(write_entries).submit(LogEntry(req.run_id, tags=[_tag(req, "key")]))
    return EMPTY_RESPONSE


class NewMetric(msgspec.Struct):
    """`timestamp` is in milliseconds since 1970."""

    key: RequiredStr
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogBatch(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    metrics: list[NewMetric] = []
    params: list[Param] = []
    tags: list[RunTag] = []


@endpoint("POST", "runs/log-batch", access=RUN_LOG)
async def log_batch(ctx: Context, req: LogBatch) -> EmptyResponse:
    """Log metrics, params and tags of a run, all or none. Limits: 1,000, 100 and 100, and 1,000 together."""
    _check_batch_size(req)
    points = [_point(req.run_id, metric, at) for at, metric in enumerate(req.metrics)]
    entry = LogEntry(
        req.run_id,
        points=points,
        model_metrics=[
            ModelMetric(point, metric.model_id, metric.dataset_name, metric.dataset_digest)
            for point, metric in zip(points, req.metrics, strict=True)
            if metric.model_id
        ],
        params=[_param(param, f"params[{at}].key") for at, param in enumerate(req.params)],
        tags=[_tag(tag, f"tags[{at}].key") for at, tag in enumerate(req.tags)],
    )
    keys = [param.key for param in req.params]
    if len(set(keys)) < len(keys):
        repeated = [key for at, key in enumerate(keys) if key in keys[:at]]
        raise invalid(
            f"Duplicate parameter keys have been submitted: {repeated}. "
            "Please ensure the request contains only one param value per param key."
        )
    await ctx.grouped(write_entries).submit(entry)
    return EMPTY_RESPONSE


def _check_batch_size(req: LogBatch) -> None:
    metrics, params, tags = len(req.metrics), len(req.params), len(req.tags)
    for noun, count, limit in (
        ("metrics", metrics, METRICS_LIMIT),
        ("params", params, PARAMS_LIMIT),
        ("tags", tags, TAGS_LIMIT),
        ("metrics, params, and tags", metrics + params + tags, BATCH_LIMIT),
    ):
        if count > limit:
            raise invalid(
                f"A batch logging request can contain at most {limit} {noun}. Got {count} {noun}. "
                f"Please split up {noun} across multiple requests and try again."
            )


def _point(run_id: str, metric: LogMetric | NewMetric, index: int | None = None) -> Point:
    """Validate a metric and return it as it is stored. `index`: of the metric in its batch."""
    if metric.timestamp < 0 or not is_valid_key(metric.key):
        raise _point_error(metric, "" if index is None else f"metrics[{index}].")
    if bool(metric.dataset_name) != bool(metric.dataset_digest):
        raise invalid("Both dataset_name and dataset_digest must be provided if one is provided")
    value = metric.value
    is_nan = value != value
    if is_nan:
        value = 0.0
    elif value in (float("inf"), float("-inf")):
        value = LARGEST_DOUBLE if value > 0 else -LARGEST_DOUBLE
    return Point(run_id, metric.key, value, metric.timestamp, metric.step, is_nan)


def _point_error(metric: LogMetric | NewMetric, field_prefix: str) -> ApiError:
    """Return the error of an invalid key, or else of an invalid timestamp."""
    check_metric_key(metric.key, f"{field_prefix}name")
    return invalid(
        f"Invalid value {metric.timestamp} for parameter '{field_prefix}timestamp' supplied: metric "
        f"'{metric.key}' (value={metric.value}). Timestamp must be a nonnegative long (64-bit integer) "
    )


def _param(param: Param, field_path: str) -> tuple[str, str]:
    check_param_key(param.key, field_path)
    return param.key, param.value[:PARAM_VALUE_LIMIT]


def _tag(tag: SetTag | RunTag, field_path: str) -> tuple[str, str]:
    check_tag_key(tag.key, field_path)
    if tag.key == RUN_NAME:
        check_run_name(tag.value)
    return tag.key, tag.value[:TAG_VALUE_LIMIT]


class ModelMetric(NamedTuple):
    """A point that is stored with a logged model, too."""

    point: Point
    model_id: str
    dataset_name: str
    dataset_digest: str


class LogEntry(msgspec.Struct):
    """What one request logs to one run; params and tags are (key, value)."""

    run_id: str
    points: Sequence[Point] = ()
    model_metrics: Sequence[ModelMetric] = ()
    params: Sequence[tuple[str, str]] = ()
    tags: Sequence[tuple[str, str]] = ()
    is_single_param: bool = False
    """Whether it is a log-parameter request, for which MLflow has its own error message."""

    @property
    def cost(self) -> int:
        """The approximate number of rows; a long text counts for several."""
        characters = sum(len(value) for pairs in (self.params, self.tags) if pairs for _, value in pairs)
        return 1 + len(self.points) + len(self.params) + len(self.tags) + characters // 500


class _Run(NamedTuple):
    run_id: str
    lifecycle_stage: str
    experiment_id: int


@idempotent
async def write_entries(db: Db, entries: Sequence[LogEntry]) -> list[ApiError | None]:
    """Commit the valid entries in their order, nothing of the others. Return the error of each entry, or None."""
    has_only_points = not any(entry.params or entry.tags or entry.model_metrics for entry in entries)
    if has_only_points and db.engine == "postgresql":
        points = [point for entry in entries for point in entry.points]
        run_ids = sorted({entry.run_id for entry in entries})
        rows = await postgres.insert_points_of_active_runs(db, run_ids, sorted(set(points)), latest_points(points))
        runs = _runs_by_id(rows)
        return [_run_error(entry, runs) for entry in entries]
    async with db.write() as tx:
        return await write_validated(tx, entries)


async def write_validated(tx: Tx, entries: Sequence[LogEntry]) -> list[ApiError | None]:
    """Validate the entries and write the valid ones. For points only, it does what
    postgres.insert_points_of_active_runs does in one statement.
    """
    runs = await _load_runs(tx, entries)
    models = await _existing_models(tx, entries)
    params = _Params(await _load_stored_params(tx, entries))
    errors = [_validation_error(entry, runs, models, params) for entry in entries]
    valid = [entry for entry, error in zip(entries, errors, strict=True) if error is None]
    points = [point for entry in valid for point in entry.points]
    if points:
        await insert_points(tx, sorted(set(points)), latest_points(points))
    await _write_model_metrics(tx, valid, runs)
    await _write_params(tx, params.new)
    await _write_tags(tx, valid)
    return errors


async def _load_runs(tx: Tx, entries: Sequence[LogEntry]) -> dict[str, _Run]:
    rows = await tx.fetch(
        "SELECT run_uuid, lifecycle_stage, experiment_id FROM runs WHERE run_uuid = ANY($1)",
        sorted({entry.run_id for entry in entries}),
    )
    return _runs_by_id(rows)


def _runs_by_id(rows: Iterable[Row]) -> dict[str, _Run]:
    return {run.run_id: run for run in map(_Run._make, rows)}


def _validation_error(
    entry: LogEntry, runs: Mapping[str, _Run], models: frozenset[str], params: "_Params"
) -> ApiError | None:
    """Return why the entry cannot be written, or None; in that case its params are added to `params`."""
    if error := _run_error(entry, runs):
        return error
    for metric in entry.model_metrics:
        if metric.model_id not in models:
            return not_found(f"Logged model with ID '{metric.model_id}' not found.")
    return params.add(entry)


def _run_error(entry: LogEntry, runs: Mapping[str, _Run]) -> ApiError | None:
    run = runs.get(entry.run_id)
    if run is None:
        return not_found(f"Run with id={entry.run_id} not found")
    if run.lifecycle_stage != "active":
        return invalid(f"The run {entry.run_id} must be in the 'active' state. Current state is {run.lifecycle_stage}.")
    return None


class _Params:
    """The params that are stored already, and `new`, those that the entries of this transaction add. No value changes.

    Both map (run_id, key) to the value.
    """

    def __init__(self, stored: Mapping[tuple[str, str], str]) -> None:
        self._stored = stored
        self.new: dict[tuple[str, str], str] = {}

    def add(self, entry: LogEntry) -> ApiError | None:
        """Add the entry's params: all, or none if an error is returned."""
        changed = []
        for key, value in entry.params:
            old = self._value(entry.run_id, key)
            if old is not None and old != value:
                changed.append((key, old, value))
        if changed:
            return _change_error(entry, changed)
        for key, value in entry.params:
            if self._value(entry.run_id, key) is None:
                self.new[entry.run_id, key] = value
        return None

    def _value(self, run_id: str, key: str) -> str | None:
        stored = self._stored.get((run_id, key))
        return self.new.get((run_id, key)) if stored is None else stored


def _change_error(entry: LogEntry, changed: list[tuple[str, str, str]]) -> ApiError:
    """`changed`: (key, old value, new value)."""
    if entry.is_single_param:
        key, old, new = changed[0]
        return invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' "
            f"for run ID='{entry.run_id}'. Attempted logging new value '{new}'."
        )
    listed = [{"key": key, "old_value": old, "new_value": new} for key, old, new in changed]
    return invalid(
        f"Changing param values is not allowed. Params were already logged='{listed}' for run ID='{entry.run_id}'."
    )


async def _load_stored_params(tx: Tx, entries: Sequence[LogEntry]) -> dict[tuple[str, str], str]:
    names = sorted({(entry.run_id, key) for entry in entries for key, _ in entry.params})
    if not names:
        return {}
    load = postgres.load_stored_params if tx.engine == "postgresql" else load_stored_params
    return {(run_id, key): value for run_id, key, value in await load(tx, names)}


async def load_stored_params(tx: Tx, names: Sequence[tuple[str, str]]) -> list[Row]:
    """The portable twin of postgres.load_stored_params. It returns other params of the same runs, too."""
    return await tx.fetch(
        "SELECT run_uuid, key, value FROM params WHERE run_uuid = ANY($1) AND key = ANY($2)",
        sorted({run_id for run_id, _ in names}),
        sorted({key for _, key in names}),
    )


TEXT_COLUMNS = {"run_uuid": "text", "key": "text", "value": "text"}


async def _write_params(tx: Tx, new: Mapping[tuple[str, str], str]) -> None:
    if not new:
        return
    rows = [(run_id, key, new[run_id, key]) for run_id, key in sorted(new)]
    written = await tx.execute_rows(
        """
        INSERT INTO params (key, value, run_uuid) SELECT key, value, run_uuid FROM {rows} WHERE true
        ON CONFLICT (key, run_uuid) DO NOTHING
        """,
        TEXT_COLUMNS,
        rows,
    )
    if written < len(rows):
        # Another worker has written one of them since they were read: validate again.
        raise Conflict("a param was written at the same time")


def latest_points(points: Iterable[Point]) -> list[Point]:
    """Return the point with the greatest (step, timestamp, value) of each run's metric, sorted; of equals the first."""
    latest: dict[tuple[str, str], Point] = {}
    for point in points:
        run_id, key, value, timestamp, step, _ = point
        known = latest.get((run_id, key))
        if known is None or (step, timestamp, value) > (known.step, known.timestamp, known.value):
            latest[run_id, key] = point
    return [latest[name] for name in sorted(latest)]


async def _existing_models(tx: Tx, entries: Sequence[LogEntry]) -> frozenset[str]:
    """Return those of the logged models named in metrics that exist."""
    named = sorted({metric.model_id for entry in entries for metric in entry.model_metrics})
    if not named:
        return frozenset()
    rows = await tx.fetch("SELECT model_id FROM logged_models WHERE model_id = ANY($1)", named)
    return frozenset(model_id for [model_id] in rows)


MODEL_METRIC_COLUMNS = {
    "model_id": "text",
    "name": "text",
    "timestamp": "bigint",
    "step": "bigint",
    "run_id": "text",
    "value": "double precision",
    "experiment_id": "integer",
    "dataset_name": "text",
    "dataset_digest": "text",
}


async def _write_model_metrics(tx: Tx, entries: Iterable[LogEntry], runs: Mapping[str, _Run]) -> None:
    """Store metrics that name a logged model with the model, too, and with their dataset if the experiment has it."""
    rows = {
        (metric.model_id, metric.point.key, metric.point.timestamp, metric.point.step, entry.run_id): (
            metric.point.value,
            runs[entry.run_id].experiment_id,
            metric.dataset_name or None,
            metric.dataset_digest or None,
        )
        for entry in entries
        for metric in entry.model_metrics
    }
    if not rows:
        return
    await tx.execute_rows(
        """
        INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value,
            experiment_id, run_id, dataset_uuid, dataset_name, dataset_digest)
        SELECT r.model_id, r.name, r.timestamp, r.step, r.value, r.experiment_id, r.run_id,
            d.dataset_uuid, r.dataset_name, r.dataset_digest
        FROM {rows} LEFT JOIN datasets d
            ON d.experiment_id = r.experiment_id AND d.name = r.dataset_name AND d.digest = r.dataset_digest
        WHERE true
        ON CONFLICT (model_id, metric_name, metric_timestamp_ms, metric_step, run_id) DO NOTHING
        """,
        MODEL_METRIC_COLUMNS,
        [(*key, *rows[key]) for key in sorted(rows)],
    )


async def _write_tags(tx: Tx, entries: Iterable[LogEntry]) -> None:
    """Store the last value of each tag. A run's name follows its tag; an empty name changes neither, as in MLflow."""
    tags = {(entry.run_id, key): value for entry in entries for key, value in entry.tags if value or key != RUN_NAME}
    if not tags:
        return
    rows = [(run_id, key, tags[run_id, key]) for run_id, key in sorted(tags)]
    await tx.execute_rows(
        """
        INSERT INTO tags (key, value, run_uuid) SELECT key, value, run_uuid FROM {rows} WHERE true
        ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
        """,
        TEXT_COLUMNS,
        rows,
    )
    names = [(run_id, key, value) for run_id, key, value in rows if key == RUN_NAME]
    if names:
        await tx.execute_rows(
            "UPDATE runs SET name = r.value FROM {rows} WHERE runs.run_uuid = r.run_uuid", TEXT_COLUMNS, names
        )
