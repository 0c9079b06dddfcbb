"""The log write path: the entries of many requests, checked against their runs and written set by set.

Statements are few whatever the number of entries, and rows go in sorted by (run, key), so that two workers that
write to the same run wait for each other instead of dead-locking. db/group_commit.py collects and commits.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from railtrack.db import Conflict, Db, Tx
from railtrack.db.recordset import recordset, rows_parameter
from railtrack.errors import ApiError, invalid, not_found

RUN_NAME = "mlflow.runName"
TEXT_COLUMNS = {"run_uuid": "text", "key": "text", "value": "text"}


class MetricRow(NamedTuple):
    """A metric's point as it is stored: NaN as 0 with `is_nan`, infinities as the largest doubles."""

    key: str
    value: float
    timestamp: int
    step: int
    is_nan: bool
    model_id: str
    dataset_name: str
    dataset_digest: str


class Entry(msgspec.Struct):
    """What one request logs to one run. `single`: one param by itself, whose refusal is worded differently."""

    run_id: str
    metrics: Sequence[MetricRow] = ()
    params: Sequence[tuple[str, str]] = ()
    tags: Sequence[tuple[str, str]] = ()
    single: bool = False

    @property
    def cost(self) -> int:
        """Rows, a long text counting for several."""
        texts = sum(len(value) for named in (self.params, self.tags) if named for _, value in named)
        return 1 + len(self.metrics) + len(self.params) + len(self.tags) + texts // 500

    @property
    def is_points(self) -> bool:
        """Metrics and nothing else, none of them of a logged model."""
        return not (self.params or self.tags or any(metric.model_id for metric in self.metrics))


class _Run(NamedTuple):
    run_id: str
    lifecycle_stage: str
    experiment_id: int


async def write_entries(db: Db, entries: Sequence[Entry]) -> list[ApiError | None]:
    """Commit the entries, in their order; one that is refused leaves nothing. Returns each one's refusal or None."""
    if db.engine == "postgresql" and all(entry.is_points for entry in entries):
        return await _write_points(db, entries)
    async with db.write() as tx:
        return await _write_all(tx, entries)


async def _write_all(tx: Tx, entries: Sequence[Entry]) -> list[ApiError | None]:
    runs = await _runs(tx, entries)
    models = await _known_models(tx, entries)
    params = _Params(await _stored_params(tx, entries))
    refusals = [_refusal(entry, runs, models, params) for entry in entries]
    kept = [entry for entry, refusal in zip(entries, refusals, strict=True) if refusal is None]
    await _write_metrics(tx, kept)
    await _write_model_metrics(tx, kept, runs)
    await _write_params(tx, params.new)
    await _write_tags(tx, kept)
    return refusals


async def _runs(tx: Tx, entries: Sequence[Entry]) -> dict[str, _Run]:
    rows = await tx.fetch(
        "SELECT run_uuid, lifecycle_stage, experiment_id FROM runs WHERE run_uuid = ANY($1)",
        sorted({entry.run_id for entry in entries}),
    )
    return {row[0]: _Run(*row) for row in rows}


def _refusal(entry: Entry, runs: dict[str, _Run], models: frozenset[str], params: "_Params") -> ApiError | None:
    """Why the entry can't be written, None when it can; its params are taken over in that case."""
    if refusal := _run_refusal(entry, runs):
        return refusal
    for metric in entry.metrics:
        if metric.model_id and metric.model_id not in models:
            return not_found(f"Logged model with ID '{metric.model_id}' not found.")
    return params.take(entry)


def _run_refusal(entry: Entry, runs: dict[str, _Run]) -> ApiError | None:
    run = runs.get(entry.run_id)
    if run is None:
        return not_found(f"Run with id={entry.run_id} not found")
    if run.lifecycle_stage != "active":
        return invalid(f"The run {entry.run_id} must be in the 'active' state. Current state is {run.lifecycle_stage}.")
    return None


class _Params:
    """Params are written once: what is stored, and what the entries of this transaction add to it."""

    def __init__(self, stored: dict[tuple[str, str], str]) -> None:
        self._stored = stored
        self.new: dict[tuple[str, str], str] = {}

    def take(self, entry: Entry) -> ApiError | None:
        """Add the entry's params, all or, with the refusal returned, none."""
        changed = []
        for key, value in entry.params:
            old = self._known(entry.run_id, key)
            if old is not None and old != value:
                changed.append((key, old, value))
        if changed:
            return _changed(entry, changed)
        for key, value in entry.params:
            if self._known(entry.run_id, key) is None:
                self.new[entry.run_id, key] = value
        return None

    def _known(self, run_id: str, key: str) -> str | None:
        stored = self._stored.get((run_id, key))
        return self.new.get((run_id, key)) if stored is None else stored


def _changed(entry: Entry, changed: list[tuple[str, str, str]]) -> ApiError:
    if entry.single:
        key, old, new = changed[0]
        return invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' "
            f"for run ID='{entry.run_id}'. Attempted logging new value '{new}'."
        )
    told = [{"key": key, "old_value": old, "new_value": new} for key, old, new in changed]
    return invalid(
        f"Changing param values is not allowed. Params were already logged='{told}' for run ID='{entry.run_id}'."
    )


async def _stored_params(tx: Tx, entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """The params in question that are stored already."""
    names = sorted({(entry.run_id, key) for entry in entries for key, _ in entry.params})
    if not names:
        return {}
    if tx.engine == "postgresql":
        rows = await tx.fetch(STORED_PARAMS, rows_parameter(NAME_COLUMNS, names))
    else:
        runs, keys = ({name[at] for name in names} for at in (0, 1))
        rows = await tx.fetch(
            "SELECT run_uuid, key, value FROM params WHERE run_uuid = ANY($1) AND key = ANY($2)",
            sorted(runs),
            sorted(keys),
        )
    return {(run_id, key): value for run_id, key, value in rows}


NAME_COLUMNS = {"run_uuid": "text", "key": "text"}
STORED_PARAMS = f"""
    SELECT params.run_uuid, params.key, params.value FROM {recordset(1, NAME_COLUMNS)}
    JOIN params ON params.key = r.key AND params.run_uuid = r.run_uuid
"""  # noqa: S608 (text of ours)
"""By the primary key; two lists, which SQLite takes, have PostgreSQL compare each param of the runs with each key."""


async def _write_params(tx: Tx, new: dict[tuple[str, str], str]) -> None:
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
        # Another worker wrote one of them between our look and our write: look again.
        raise Conflict("a param was written at the same time")


METRIC_COLUMNS = {
    "run_uuid": "text",
    "key": "text",
    "value": "double precision",
    "timestamp": "bigint",
    "step": "bigint",
    "is_nan": "boolean",
}
STORE_POINTS = """
    INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
    SELECT key, value, timestamp, run_uuid, step, is_nan FROM {rows}
"""
ONCE = "ON CONFLICT (key, timestamp, step, run_uuid, value, is_nan) DO NOTHING"
STORE_LATEST = """
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT key, value, timestamp, step, is_nan, run_uuid FROM {rows}
"""
NEWER = """
    ON CONFLICT (key, run_uuid) DO UPDATE
    SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value)
        > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)
"""


async def _write_metrics(tx: Tx, entries: Iterable[Entry]) -> None:
    """All points, each stored once however often it is sent, and the latest of each metric."""
    points = _points(entries)
    if not points:
        return
    await tx.execute_rows(f"{STORE_POINTS} WHERE true {ONCE}", METRIC_COLUMNS, sorted(set(points)))
    await tx.execute_rows(f"{STORE_LATEST} WHERE true {NEWER}", METRIC_COLUMNS, _latest(points))


OF_ACTIVE = (
    "WHERE run_uuid IN (SELECT id FROM run WHERE stage = 'active') ORDER BY run_uuid, key, step, timestamp, value"
)
AT_ONCE = f"""
    WITH run AS (
        SELECT run_uuid AS id, lifecycle_stage AS stage, experiment_id FROM runs WHERE run_uuid = ANY($1)
    ), stored AS (
        {STORE_POINTS.format(rows=recordset(2, METRIC_COLUMNS))} {OF_ACTIVE} {ONCE}
    ), latest AS (
        {STORE_LATEST.format(rows=recordset(3, METRIC_COLUMNS))} {OF_ACTIVE} {NEWER}
    )
    SELECT id, stage, experiment_id FROM run
"""  # noqa: S608 (text of ours)
"""The runs of the entries, and the points of those that are active, in one round trip; SQLite's WITH can't write."""


async def _write_points(db: Db, entries: Sequence[Entry]) -> list[ApiError | None]:
    """What _write_all does, for points alone, in one statement that is its own transaction."""
    points = _points(entries)
    rows = await db.fetch_by_key(
        AT_ONCE,
        sorted({entry.run_id for entry in entries}),
        rows_parameter(METRIC_COLUMNS, sorted(set(points))),
        rows_parameter(METRIC_COLUMNS, _latest(points)),
    )
    runs = {row[0]: _Run(*row) for row in rows}
    return [_run_refusal(entry, runs) for entry in entries]


Point = tuple[str, str, float, int, int, bool]
"""A metric's point in the order of METRIC_COLUMNS."""


def _points(entries: Iterable[Entry]) -> list[Point]:
    """The points of all entries, in the order in which they came."""
    return [(entry.run_id, *metric[:5]) for entry in entries for metric in entry.metrics]


def _latest(points: Iterable[Point]) -> list[Point]:
    """The greatest (step, timestamp, value) of each run's metric, sorted; among equal ones the first that came."""
    latest: dict[tuple[str, str], Point] = {}
    for point in points:
        run_id, key, value, timestamp, step, _ = point
        known = latest.get((run_id, key))
        if known is None or (step, timestamp, value) > (known[4], known[3], known[2]):
            latest[run_id, key] = point
    return [latest[name] for name in sorted(latest)]


async def _known_models(tx: Tx, entries: Sequence[Entry]) -> frozenset[str]:
    """Those of the logged models that metrics refer to which exist."""
    named = sorted({metric.model_id for entry in entries for metric in entry.metrics if metric.model_id})
    if not named:
        return frozenset()
    rows = await tx.fetch("SELECT model_id FROM logged_models WHERE model_id = ANY($1)", named)
    return frozenset(row[0] for row in rows)


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


async def _write_model_metrics(tx: Tx, entries: Iterable[Entry], runs: dict[str, _Run]) -> None:
    """Metrics that name a logged model are kept with it too, with their dataset if the experiment knows it."""
    rows = {
        (metric.model_id, metric.key, metric.timestamp, metric.step, entry.run_id): (
            metric.value,
            runs[entry.run_id].experiment_id,
            metric.dataset_name or None,
            metric.dataset_digest or None,
        )
        for entry in entries
        for metric in entry.metrics
        if metric.model_id
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


async def _write_tags(tx: Tx, entries: Iterable[Entry]) -> None:
    """The last value of each tag; a run's name follows its tag, and an empty one changes neither, as in MLflow."""
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
    names = [row for row in rows if row[1] == RUN_NAME]
    if names:
        await tx.execute_rows(
            "UPDATE runs SET name = r.value FROM {rows} WHERE runs.run_uuid = r.run_uuid", TEXT_COLUMNS, names
        )
