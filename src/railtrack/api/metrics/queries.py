"""Points of metrics from the database and as clients see them, many at once and column by column. No endpoint."""

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from struct import unpack
from typing import NamedTuple

import msgspec

from railtrack.api.runs.schemas import Metric
from railtrack.db import Db, Row

PACKED = """
    string_agg(float8send(CASE WHEN is_nan THEN 'NaN' ELSE value END), ''),
    string_agg(int8send(COALESCE(timestamp, 0)), ''), string_agg(int8send(step), '')
"""
"""PostgreSQL's columns of many points, for `unpacked`: each is one row of bytes, in the order in which rows come in.
In latest_metrics a timestamp may be null, which an aggregate would leave out.

A row for each of 20,000 points took the worker 10.8 ms until they were JSON, arrays take 4.0 and bytes 3.0.
"""


class Points(NamedTuple):
    """Columns of the same length; a value that is no number is the text "NaN"."""

    values: Sequence[float | str]
    timestamps: Sequence[int]
    steps: Sequence[int]


class MetricOfRun(msgspec.Struct, gc=False):
    """A point of a metric; a `value` that is no number is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


def unpacked(values: bytes | None, timestamps: bytes | None, steps: bytes | None) -> Points:
    """The points of a row of PACKED, whose columns are null where there are none."""
    if values is None or timestamps is None or steps is None:
        return Points((), (), ())
    count = len(values) // 8
    numbers: Sequence[float] = unpack(f">{count}d", values)
    # A NaN among them makes their sum one, which takes a tenth of the time of looking at each.
    shown = ["NaN" if math.isnan(number) else number for number in numbers] if math.isnan(sum(numbers)) else numbers
    return Points(shown, unpack(f">{count}q", timestamps), unpack(f">{count}q", steps))


def columns_of(rows: Iterable[Row]) -> Points:
    """The points of rows that begin with (is_nan, timestamp, step, value)."""
    columns = list(zip(*rows, strict=True))
    if not columns:
        return Points((), (), ())
    is_nan, timestamps, steps, values = columns[:4]
    if any(is_nan):
        values = tuple("NaN" if no_number else value for no_number, value in zip(is_nan, values, strict=True))
    return Points(values, timestamps, steps)


async def fetch_points(db: Db, sql: str, *args: object) -> Points:
    """The points of a statement that has the columns is_nan, timestamp, step and value, and one more, in this order."""
    if db.engine == "sqlite":
        return columns_of(await db.fetch(sql, *args))
    names = "is_nan, timestamp, step, value, last"
    row = await db.fetch_row(f"SELECT {PACKED} FROM ({sql}) AS points({names})", *args)  # noqa: S608 (texts of ours)
    assert row is not None, "an aggregate has a row"
    return unpacked(*row)


def metrics_of(keys: Iterable[str], points: Points) -> list[Metric]:
    """The points with their keys: one for each, or one repeated for ever."""
    return list(map(Metric, keys, *points))


def metrics_of_run(run_id: str, key: str, points: Points) -> list[MetricOfRun]:
    return list(map(MetricOfRun, repeat(key), *points, repeat(run_id)))
