"""Insert the benchmark's data by the same SQL into each server's tables.

FastTrackML's tables are MLflow's with a few more columns; SCHEMAS lists them.
"""

import hashlib
from dataclasses import dataclass

import asyncpg

LARGE, HISTORY, HEAVY = 1001, 1002, 1003
"""Experiments: many similar runs; a few large runs; runs with large tags."""
LARGE_RUNS = 23_525
METRICS = PARAMS = 20
TAGS = 5
RUN_METRICS = 1000
POINTS = 20_000
CHART_POINTS = 100_000
SHORT_HISTORY, LONG_HISTORY = 10_000, 200_000
HEAVY_RUNS, HEAVY_TAGS, HEAVY_BYTES = 300, 4, 4000
BATCH = 100
EXPERIMENTS = 100
"""Without any runs, from FIRST_EMPTY on."""
FIRST_EMPTY = 2001
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Columns:
    """A schema's additional columns: lists of ", name" and ", value", and the expression of a param's value."""

    experiments: tuple[str, str]
    runs: tuple[str, str]
    metrics: tuple[str, str]
    latest: tuple[str, str]
    param: str


SCHEMAS = {
    "mlflow": Columns((", workspace", ", 'default'"), ("", ""), ("", ""), ("", ""), "value"),
    "fasttrackml": Columns(
        (", namespace_id", ", 1"),
        (", row_num", ", n"),
        (", context_id, iter", ", 1, step"),
        (", context_id, last_iter", ", 1, step"),
        "value_str",
    ),
}


def run_id(experiment_id: int, number: int) -> str:
    """Return the id of the run with this number (from 1), as md5(...) in the SQL below."""
    return hashlib.md5(f"{experiment_id}/{number}".encode(), usedforsecurity=False).hexdigest()


async def seed(database: str, schema: str) -> None:
    """Insert all data that the loads need. The tables must exist; the server may run."""
    connection = await asyncpg.connect(database)
    try:
        data = _Seed(connection, SCHEMAS[schema])
        await data.experiment(LARGE, "large", LARGE_RUNS, metrics=METRICS, params=PARAMS, tags=TAGS)
        await data.empty_experiments()
        await data.experiment(HISTORY, "history", 5)
        await data.latest(HISTORY, 1, RUN_METRICS)
        await data.points(HISTORY, 2, "loss", 1, POINTS)
        await data.points(HISTORY, 3, "loss", 1, CHART_POINTS)
        await data.points(HISTORY, 4, "batch_", BATCH, SHORT_HISTORY)
        await data.points(HISTORY, 5, "batch_", BATCH, LONG_HISTORY)
        await _settle(connection)
    finally:
        await connection.close()


async def seed_some(database: str, runs: int) -> None:
    """Insert `runs` runs of the large experiment and the history of 20,000 points, into MLflow's tables."""
    connection = await asyncpg.connect(database)
    try:
        data = _Seed(connection, SCHEMAS["mlflow"])
        await data.experiment(LARGE, "large", runs, metrics=METRICS, params=PARAMS, tags=TAGS)
        await data.experiment(HISTORY, "history", 2)
        await data.points(HISTORY, 2, "loss", 1, POINTS)
        await _settle(connection)
    finally:
        await connection.close()


async def seed_heavy(database: str) -> None:
    """Insert runs with large tags, into MLflow's tables: a page of 1,000 is a response of 4.9 MB."""
    connection = await asyncpg.connect(database)
    try:
        await _Seed(connection, SCHEMAS["mlflow"]).experiment(HEAVY, "heavy", HEAVY_RUNS, tags=HEAVY_TAGS)
        await connection.execute(
            "UPDATE tags SET value = repeat('x', $1) WHERE run_uuid IN"
            " (SELECT run_uuid FROM runs WHERE experiment_id = $2)",
            HEAVY_BYTES, HEAVY,
        )  # fmt: skip
        await _settle(connection)
    finally:
        await connection.close()


async def seed_runs(database: str, schema: str, runs: int) -> None:
    """Insert one experiment of `runs` small runs, to measure growth."""
    connection = await asyncpg.connect(database)
    try:
        data = _Seed(connection, SCHEMAS[schema])
        await data.experiment(LARGE, "large", runs, metrics=5, params=5, tags=2)
        await _settle(connection)
    finally:
        await connection.close()


async def _settle(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Do the maintenance that would otherwise run during the measurement."""
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


class _Seed:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", columns: Columns) -> None:
        self._connection = connection
        self._columns = columns

    async def experiment(
        self, number: int, name: str, runs: int, *, metrics: int = 0, params: int = 0, tags: int = 0
    ) -> None:
        """Insert an experiment whose runs have these numbers of single-point metrics, params and tags."""
        names, values = self._columns.experiments
        await self._connection.execute(
            f"INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
            f" last_update_time{names}) VALUES ($1, $2, $3, 'active', $4, $4{values})",
            number, name, f"mlflow-artifacts:/{number}", START_MS,
        )  # fmt: skip
        await self._runs(number, runs)
        await self._alike(number, runs, metrics)
        await self._connection.execute(
            f"INSERT INTO params (key, {self._columns.param}, run_uuid)"
            " SELECT 'param_' || p, (n * p % 1000)::text, md5($1 || '/' || n)"
            " FROM generate_series(1, $2::int) n, generate_series(1, $3::int) p",
            str(number), runs, params,
        )  # fmt: skip
        await self._connection.execute(
            "INSERT INTO tags (key, value, run_uuid) SELECT 'tag_' || t, 'value ' || n % 10, md5($1 || '/' || n)"
            " FROM generate_series(1, $2::int) n, generate_series(1, $3::int) t",
            str(number), runs, tags,
        )  # fmt: skip

    async def empty_experiments(self) -> None:
        names, values = self._columns.experiments
        await self._connection.execute(
            f"INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
            f" last_update_time{names}) SELECT n, 'experiment ' || n, 'mlflow-artifacts:/' || n, 'active',"
            f" $3::bigint + n, $3::bigint + n{values} FROM generate_series($1::int, $2::int) n",
            FIRST_EMPTY, FIRST_EMPTY + EXPERIMENTS - 1, START_MS,
        )  # fmt: skip

    async def _runs(self, number: int, runs: int) -> None:
        names, values = self._columns.runs
        await self._connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
            f" start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id{names})"
            " SELECT md5($1 || '/' || n), 'run ' || n, 'LOCAL', 'train.py', '', 'bench', 'FINISHED',"
            " $3::bigint + n * 1000, $3::bigint + n * 1000 + 500, '', 'active',"
            f" 'mlflow-artifacts:/' || $1 || '/' || n || '/artifacts', $4{values}"
            f" FROM generate_series(1, $2::int) n",
            str(number), runs, START_MS, number,
        )  # fmt: skip

    async def _alike(self, number: int, runs: int, metrics: int) -> None:
        """Insert the same metrics into each run, with different values."""
        for table, (names, values) in (("metrics", self._columns.metrics), ("latest_metrics", self._columns.latest)):
            await self._connection.execute(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid{names})"
                " SELECT 'metric_' || m, (n * 7919 + m) % 100003 / 1000.0, $4::bigint + n, step, false,"
                f" md5($1 || '/' || n){values}"
                f" FROM generate_series(1, $2::int) n, generate_series(1, $3::int) m, (SELECT 10 AS step) s",
                str(number), runs, metrics, START_MS,
            )  # fmt: skip

    async def latest(self, number: int, run: int, metrics: int) -> None:
        """Insert one run with many metrics."""
        for table, (names, values) in (("metrics", self._columns.metrics), ("latest_metrics", self._columns.latest)):
            await self._connection.execute(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid{names})"
                f" SELECT 'metric_' || m, m * 0.5, $3::bigint, step, false, $1{values}"
                f" FROM generate_series(1, $2::int) m, (SELECT 10 AS step) s",
                run_id(number, run), metrics, START_MS,
            )  # fmt: skip

    async def points(self, number: int, run: int, key: str, keys: int, points: int) -> None:
        """Insert one run with `points` points in total over `keys` metrics: steps from 0, a second apart."""
        names, values = self._columns.metrics
        name = "$2::text || k" if keys > 1 else "$2::text || left(k::text, 0)"
        await self._connection.execute(
            f"INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid{names})"
            f" SELECT {name}, step + k / 7.0, $5::bigint + step * 1000, step, false, $1{values}"
            f" FROM generate_series(0, $3::int - 1) k, generate_series(0, $4::int / $3::int - 1) step",
            run_id(number, run), key, keys, points, START_MS,
        )  # fmt: skip
        names, values = self._columns.latest
        await self._connection.execute(
            f"INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid{names})"
            f" SELECT {name}, step + k / 7.0, $5::bigint + step * 1000, step, false, $1{values}"
            f" FROM generate_series(0, $3::int - 1) k, (SELECT $4::int / $3::int - 1 AS step) s",
            run_id(number, run), key, keys, points, START_MS,
        )  # fmt: skip
