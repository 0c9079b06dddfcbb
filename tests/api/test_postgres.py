"""PostgreSQL-only spellings and their portable twins: both run on PostgreSQL, on the same data, with the same result.

A new function in an api/*/postgres.py needs a comparison here.
"""

import contextlib
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from tests.api.runs.stored import store_dataset, store_run
from tests.servers.postgres import PostgresServer

import railtrack.api.metrics.postgres
import railtrack.api.runs.postgres
from railtrack.api.metrics import postgres as metrics_postgres
from railtrack.api.metrics.queries import fetch_points_by_row, sample_numbered_points
from railtrack.api.metrics.schemas import SampleSpec
from railtrack.api.runs import postgres as runs_postgres
from railtrack.api.runs.log import LogEntry, latest_points, load_stored_params, write_entries, write_validated
from railtrack.api.runs.postgres import Point
from railtrack.api.runs.queries import load_parts_by_row, load_run_by_parts, new_run
from railtrack.api.runs.schemas import INFO_COLUMNS, Run
from railtrack.db import Db
from railtrack.db.open import open_database, prepare
from railtrack.db.url import parse_database_url
from railtrack.wire.list_response import RowsTooLarge

MB = 1 << 20
LARGEST_DOUBLE = 1.7976931348623157e308
INT64 = (-(2**63), 2**63 - 1)

UNNAMED = "f" * 32

Compare = Callable[[Db], Awaitable[None]]
COMPARED: dict[Callable[..., Any], Compare] = {}
"""Function of a postgres.py -> its comparison with the portable twin."""


def compares(function: Callable[..., Any]) -> Callable[[Compare], Compare]:
    def register(compare: Compare) -> Compare:
        COMPARED[function] = compare
        return compare

    return register


@pytest.fixture(scope="module")
async def db(postgres: PostgresServer) -> AsyncIterator[Db]:
    """Runs with all that can be logged, with NULLs that only old versions of MLflow stored, and with nothing."""
    async with postgres.scratch_database() as uri:
        url = parse_database_url(uri)
        db = open_database(url, connections=2)
        await prepare(db, url, default_location="mlflow-artifacts:/0")
        await store_run(
            db,
            "full",
            metrics={"nan": None, "largest": LARGEST_DOUBLE, "least": -LARGEST_DOUBLE, "tiny": 5e-324, "é": 0.1},
            params={"p": "1", 'q"uote': "", "é": "'\\ü"},
            tags={"t": "x", "mlflow.runName": "full", "empty": ""},
        )
        for name in ("empty", "written"):
            await store_run(db, name)
        await store_run(db, "overwritten", metrics={"m": 7.0})
        await store_run(db, "deleted", lifecycle_stage="deleted", params={"p": "2"}, metrics={"m": 1.0})
        await store_run(db, "", run_id=UNNAMED, end_time=0, tags={"mlflow.runName": "old"})
        for name in ("full", "deleted"):
            await store_dataset(db, name.zfill(32), "iris", "d1", "train")
        await store_dataset(db, "full".zfill(32), "digits", "d2", "eval")
        async with db.write() as tx:
            await tx.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('null', NULL, $1)", "empty".zfill(32))
            await tx.execute("UPDATE latest_metrics SET timestamp = NULL WHERE key = 'tiny'")
            for source, destination, kinds, step in (
                ("full", "m-2", ("RUN_INPUT", "MODEL_INPUT"), 0),
                ("full", "m-1", ("RUN_INPUT", "MODEL_INPUT"), 0),
                ("full", "m-9", ("RUN_OUTPUT", "MODEL_OUTPUT"), INT64[1]),
                ("full", "m-3", ("RUN_OUTPUT", "MODEL_OUTPUT"), 3),
                ("deleted", "m-1", ("RUN_OUTPUT", "MODEL_OUTPUT"), 1),
            ):
                await tx.execute(
                    """
                    INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    """,
                    f"{source}-{destination}-{kinds[0]}"[:36],
                    kinds[0],
                    source.zfill(32),
                    kinds[1],
                    destination,
                    step,
                )
        await _store_histories(db)
        yield db
        await db.close()


HISTORIES = {
    "one": [7],
    "equal": [5] * 30,
    "extremes": [INT64[0]] * 4 + [INT64[1]] * 9,
    "mixed": [INT64[0], -5, *[0] * 9, *range(1, 20), *[20] * 5, INT64[1]],
    "thirds": [step // 3 for step in range(40)],
    "sparse": list(range(0, 400, 10)),
}
"""Run -> the steps of its metric m."""


async def _store_histories(db: Db) -> None:
    choose = random.Random(1)
    points = []
    for name, steps in HISTORIES.items():
        run_id = await store_run(db, name)
        for number, step in enumerate(steps):
            is_nan = choose.random() < 0.2
            value = 0.0 if is_nan else choose.choice([-LARGEST_DOUBLE, -1.5, 0.0, 0.1, LARGEST_DOUBLE])
            points.append(Point(run_id, "m", value, 1000 + number * 7 % 40, step, is_nan))
    async with db.write() as tx:
        await runs_postgres.insert_points(tx, points, latest_points(points))


RUN_IDS = [UNNAMED, *(name.zfill(32) for name in ("full", "empty", "deleted", *HISTORIES))]


def sorted_run(run: Run) -> Any:
    """The run with its metrics, params and tags sorted, whose order is undefined."""
    for part in (run.data.metrics, run.data.params, run.data.tags):
        part.sort(key=lambda each: each.key)
    return msgspec.to_builtins(run)


@compares(runs_postgres.load_run)
async def compare_load_run(db: Db) -> None:
    for run_id in RUN_IDS:
        one, other = await runs_postgres.load_run(db, run_id), await load_run_by_parts(db, run_id)
        assert one is not None
        assert other is not None
        assert sorted_run(one.run) == sorted_run(other.run)
        assert one.has_datasets == other.has_datasets
    assert await runs_postgres.load_run(db, "missing") is None
    assert await load_run_by_parts(db, "missing") is None


@compares(runs_postgres.load_parts)
async def compare_load_parts(db: Db) -> None:
    rows = await db.fetch(f"SELECT {INFO_COLUMNS} FROM runs ORDER BY name, run_uuid")
    for some_rows in (rows, rows[:1], []):
        loaded = []
        for load in (runs_postgres.load_parts, load_parts_by_row):
            runs = {run.info.run_id: run for run in map(new_run, some_rows)}
            links = await load(db, runs, MB)
            loaded.append((sorted(map(tuple, links), key=str), [sorted_run(run) for run in runs.values()]))
        assert loaded[0] == loaded[1]
        assert len(loaded[0][0]) == (8 if some_rows is rows else 0)
    for load in (runs_postgres.load_parts, load_parts_by_row):
        runs = {run.info.run_id: run for run in map(new_run, rows)}
        with pytest.raises(RowsTooLarge):
            await load(db, runs, 500)
        assert not any(run.data.params for run in runs.values())


@compares(runs_postgres.load_stored_params)
async def compare_load_stored_params(db: Db) -> None:
    """The portable twin may return more, which its caller does not look up."""
    names = [("full".zfill(32), "p"), ("full".zfill(32), "missing"), ("deleted".zfill(32), 'q"uote'), ("none", "p")]
    rows = await runs_postgres.load_stored_params(db, names)
    assert [tuple(row) for row in rows] == [("full".zfill(32), "p", "1")]
    portable = {(run_id, key): value for run_id, key, value in await load_stored_params(db, names)}
    assert {name: portable[name] for name in names if name in portable} == {("full".zfill(32), "p"): "1"}


class RollBack(Exception):
    """Undoes the writes of one twin before the other one runs."""


@compares(runs_postgres.insert_points_of_active_runs)
async def compare_insert_points_of_active_runs(db: Db) -> None:
    def points(run: str, *values: tuple[float, int, int]) -> list[Point]:
        run_id = run.zfill(32)
        return [Point(run_id, key, value, timestamp, step, False) for key in "nm" for value, timestamp, step in values]

    entries = [
        LogEntry(run.zfill(32), points=points(run, *values))
        for run, *values in (
            ("written", (1.0, 5, 1), (2.0, 5, 1), (LARGEST_DOUBLE, 4, 1)),
            ("deleted", (9.0, 9, 9)),
            ("missing", (9.0, 9, 9)),
            ("written", (1.0, 5, 1), (-1.0, 1, 0)),
            ("overwritten", (3.0, 1, INT64[0]), (0.1, 1, INT64[1])),
            ("written",),
        )
    ]
    with contextlib.suppress(RollBack):
        async with db.write() as tx:
            portable_errors = await write_validated(tx, entries)
            portable_tables = [await tx.fetch(statement) for statement in TABLES_OF_METRICS]
            raise RollBack
    errors = await write_entries(db, entries)
    assert [str(error) for error in errors] == [str(error) for error in portable_errors]
    assert sum(error is not None for error in errors) == 2
    tables = [await db.fetch(statement) for statement in TABLES_OF_METRICS]
    assert as_tuples(tables[0]) == as_tuples(portable_tables[0])
    assert as_tuples(tables[1]) == as_tuples(portable_tables[1])


TABLES_OF_METRICS = (
    "SELECT run_uuid, key, value, timestamp, step, is_nan FROM metrics ORDER BY 1, 2, 5, 4, 3, 6",
    "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics ORDER BY 1, 2",
)


def as_tuples(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


@compares(metrics_postgres.fetch_points)
async def compare_fetch_points(db: Db) -> None:
    sql = "SELECT is_nan, timestamp, step, value, 0 FROM metrics WHERE run_uuid = $1 ORDER BY step, timestamp, value"
    for run_id in [*RUN_IDS, "missing"]:
        one, other = await metrics_postgres.fetch_points(db, sql, run_id), await fetch_points_by_row(db, sql, run_id)
        assert [list(column) for column in one] == [list(column) for column in other]


@compares(metrics_postgres.sample_points)
async def compare_sample_points(db: Db) -> None:
    run_ids = [*RUN_IDS, "missing"]
    for first_step, last_step in ((INT64[0], INT64[1]), (0, 20), (-5, -5), (500, 600)):
        for size in (1, 2, 3, 11, 29, 30, 40, 2500):
            spec = SampleSpec("m", first_step, last_step, size)
            samples = await metrics_postgres.sample_points(db, run_ids, spec, max_steps=10_000)
            portable = await sample_numbered_points(db, run_ids, spec)
            assert not samples.too_long
            assert samples.by_run_id.keys() == portable.keys()
            for run_id, points in portable.items():
                assert [list(column) for column in samples.by_run_id[run_id]] == [list(column) for column in points]
    few = await metrics_postgres.sample_points(db, run_ids, SampleSpec("m", *INT64, 3), max_steps=10)
    assert list(few.by_run_id) == ["one".zfill(32)]
    assert len(few.too_long) == len(HISTORIES) - 1


@pytest.mark.parametrize("function", COMPARED, ids=lambda function: f"{function.__module__}.{function.__name__}")
async def test_a_postgres_spelling_has_the_result_of_its_portable_twin(db: Db, function: Callable[..., Any]) -> None:
    await COMPARED[function](db)


def test_every_postgres_spelling_is_compared() -> None:
    modules = (railtrack.api.metrics.postgres, railtrack.api.runs.postgres)
    functions = {
        function
        for module in modules
        for _, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__
    }
    portable = {runs_postgres.insert_points}
    assert functions - portable == set(COMPARED)
