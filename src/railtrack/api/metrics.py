"""The history of metrics: of one run page by page, of many runs at once, and sampled for charts."""

from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar

import msgspec

from railtrack.api.paged import paged_reply, whole_or_streamed
from railtrack.api.runs.rows import metric_of
from railtrack.auth import RUN_READ
from railtrack.context import Context
from railtrack.db import Db, Row
from railtrack.errors import SEE_DOCS, invalid
from railtrack.search.paging import Query
from railtrack.search.sql import INT64, Order
from railtrack.search.vocabulary import Term, Values
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

RUNS_LIMIT = 100
ROWS_AT_ONCE = 25_000
"""Points that one statement reads: a page of MLflow's clients. No index has their order, so each has to sort."""

_encode = msgspec.json.Encoder().encode


class GetMetricHistory(Request):
    ALIASES: ClassVar = {"run_uuid": "run_id"}

    run_id: RequiredStr
    metric_key: RequiredStr
    page_token: str = ""
    max_results: Int64 | None = None


@endpoint("GET", "metrics/get-history", access=RUN_READ)
async def get_metric_history(ctx: Context, req: GetMetricHistory) -> Reply:
    """The points of a run's metric by time, step and value: a page of `max_results`, all where it isn't given.

    Everything is streamed to a client that doesn't page; a run or metric that is not there has no points.
    """
    if req.max_results is not None and req.max_results < 1:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    where = ["run_uuid = $1", "key = $2"]
    query = Query("is_nan", "metrics", where, Order((), BY_TIME), [req.run_id, req.metric_key])
    last = query.last_of(req.page_token)
    wanted = INT64[-1] if req.max_results is None else req.max_results

    async def encode(rows: Sequence[Row]) -> bytes:
        return _encode(
            [metric_of((req.metric_key, value, timestamp, step, is_nan)) for is_nan, timestamp, step, value, _ in rows]
        )

    return await paged_reply(ctx.db, query, last, wanted, "metrics", encode, rows_at_once=ROWS_AT_ONCE)


BY_TIME = (
    Term("timestamp", Values.BIGINT),
    Term("step", Values.BIGINT),
    Term("value", Values.DOUBLE),
    Term("CAST(is_nan AS INTEGER)", Values.BIGINT),
)


class MetricOfRun(msgspec.Struct, gc=False):
    """A point of a metric; a `value` that is no number is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str


class GetMetricHistoryBulk(Request):
    run_id: list[str] = []
    metric_key: str | None = None
    max_results: Int64 = ROWS_AT_ONCE


class GetMetricHistoryBulkResponse(msgspec.Struct):
    metrics: list[MetricOfRun]


@endpoint("GET", "metrics/get-history-bulk", access=RUN_READ, ajax_only=True)
async def get_metric_history_bulk(ctx: Context, req: GetMetricHistoryBulk) -> Reply:
    """The points of a metric of several runs, run by run, by time; the first 25,000 at most, and no further page."""
    if not req.run_id:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(req.run_id) > RUNS_LIMIT:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {RUNS_LIMIT} run_ids. "
            f"Received {len(req.run_id)} run_ids."
        )
    if req.metric_key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    if req.max_results < 0:
        raise invalid(
            f"Invalid value {req.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    rows = await ctx.db.fetch(
        """
        SELECT run_uuid, value, timestamp, step, is_nan FROM metrics
        WHERE run_uuid = ANY($1) AND key = $2
        ORDER BY run_uuid, timestamp, step, value, is_nan LIMIT $3
        """,
        req.run_id,
        req.metric_key,
        min(req.max_results, ROWS_AT_ONCE),
    )
    return GetMetricHistoryBulkResponse([_of_run(req.metric_key, row) for row in rows])


SAMPLE_LIMIT = 2500


class GetMetricHistoryBulkInterval(Request):
    run_ids: list[str]
    metric_key: RequiredStr
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int64 = SAMPLE_LIMIT


@endpoint("GET", "metrics/get-history-bulk-interval", access=RUN_READ)
async def get_metric_history_bulk_interval(ctx: Context, req: GetMetricHistoryBulkInterval) -> Reply:
    """A sample of each run's metric: at most `max_results` points, spread evenly by step, with the first and the last.

    In the order in which the runs are asked for; a run that is not there, or has no such metric, has no points.
    """
    _check_interval(req)
    return await whole_or_streamed(_samples(ctx.db, req))


def _check_interval(req: GetMetricHistoryBulkInterval) -> None:
    if len(req.run_ids) > RUNS_LIMIT:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {RUNS_LIMIT} run_ids. "
            f"Received {len(req.run_ids)} run_ids. {SEE_DOCS}"
        )
    if not 1 <= req.max_results <= SAMPLE_LIMIT:
        raise invalid(f"max_results must be between 1 and {SAMPLE_LIMIT}. {SEE_DOCS}")
    if (req.start_step is None) != (req.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if req.start_step is not None and req.end_step is not None and req.start_step > req.end_step:
        raise invalid(
            f"end_step must be greater than start_step. Found start_step={req.start_step} and end_step={req.end_step}."
        )


async def _samples(db: Db, req: GetMetricHistoryBulkInterval) -> AsyncGenerator[bytes, None]:
    """The answer in pieces, each of so many runs that their samples are ROWS_AT_ONCE points at most."""
    separator = opening = b'{"metrics":['
    runs_at_once = ROWS_AT_ONCE // req.max_results
    for at in range(0, len(req.run_ids), runs_at_once):
        runs = req.run_ids[at : at + runs_at_once]
        samples = await _sampled(db, runs, req)
        if points := [point for run_id in runs for point in samples.get(run_id, [])]:
            yield separator + _encode(points)[1:-1]
            separator = b","
    yield b"{}" if separator is opening else b"]}"


async def _sampled(db: Db, runs: list[str], req: GetMetricHistoryBulkInterval) -> dict[str, list[MetricOfRun]]:
    """run_id -> its sample, by step: all points where they are few enough."""
    steps = (
        INT64[0] if req.start_step is None else req.start_step,
        INT64[-1] if req.end_step is None else req.end_step,
    )
    rows = await db.fetch(
        """
        SELECT run_uuid, COUNT(*) FROM metrics
        WHERE run_uuid = ANY($1) AND key = $2 AND step BETWEEN $3 AND $4 GROUP BY run_uuid
        """,
        runs,
        req.metric_key,
        *steps,
    )
    totals: dict[str, int] = {row[0]: row[1] for row in rows}
    samples = await _whole(db, [run_id for run_id in totals if totals[run_id] <= req.max_results], req, steps)
    for run_id, total in totals.items():
        if total > req.max_results:
            samples[run_id] = await _some(db, run_id, req, steps, sample_places(total, req.max_results))
    return samples


def sample_places(total: int, wanted: int) -> list[int]:
    """The places, from 0, that a sample of `wanted` out of `total` points takes; `wanted` is less than `total`.

    As MLflow chooses them: the points are dealt out to `wanted` equal shares, of which the first ones get one more
    where it doesn't come out even. Each share gives its first point, but the last one gives its last.
    """
    share, larger = divmod(total, wanted)
    return [*(at * share + min(at, larger) for at in range(wanted - 1)), total - 1]


async def _whole(
    db: Db, runs: list[str], req: GetMetricHistoryBulkInterval, steps: tuple[int, int]
) -> dict[str, list[MetricOfRun]]:
    """run_id -> all its points of these steps."""
    samples: dict[str, list[MetricOfRun]] = {}
    if runs:
        for row in await db.fetch(
            """
            SELECT run_uuid, value, timestamp, step, is_nan FROM metrics
            WHERE run_uuid = ANY($1) AND key = $2 AND step BETWEEN $3 AND $4
            ORDER BY run_uuid, step, timestamp, value, is_nan
            """,
            runs,
            req.metric_key,
            *steps,
        ):
            samples.setdefault(row[0], []).append(_of_run(req.metric_key, row))
    return samples


async def _some(
    db: Db, run_id: str, req: GetMetricHistoryBulkInterval, steps: tuple[int, int], places: list[int]
) -> list[MetricOfRun]:
    """The points at these places of a run's history, by step and time.

    The index on (run_uuid, key, step) alone tells which steps the places have, and the how many-th points of their
    step they are; numbering the points themselves had PostgreSQL sort all of them.
    """
    chosen = await db.fetch(
        """
        SELECT step, CAST(step AS TEXT) || '/' || CAST(place - first AS TEXT) FROM (
            SELECT step, ROW_NUMBER() OVER (ORDER BY step) - 1 AS place, RANK() OVER (ORDER BY step) - 1 AS first
            FROM metrics WHERE run_uuid = $1 AND key = $2 AND step BETWEEN $3 AND $4
        ) AS placed
        WHERE place = ANY($5)
        """,
        run_id,
        req.metric_key,
        *steps,
        places,
    )
    rows = await db.fetch(
        """
        SELECT run_uuid, value, timestamp, step, is_nan FROM (
            SELECT run_uuid, value, timestamp, step, is_nan,
                ROW_NUMBER() OVER (PARTITION BY step ORDER BY timestamp, value, is_nan) - 1 AS nth
            FROM metrics WHERE run_uuid = $1 AND key = $2 AND step = ANY($3)
        ) AS of_step
        WHERE CAST(step AS TEXT) || '/' || CAST(nth AS TEXT) = ANY($4) ORDER BY step, nth
        """,
        run_id,
        req.metric_key,
        sorted({step for step, _ in chosen}),
        [step_and_nth for _, step_and_nth in chosen],
    )
    return [_of_run(req.metric_key, row) for row in rows]


def _of_run(key: str, row: Row) -> MetricOfRun:
    run_id, value, timestamp, step, is_nan = row
    return MetricOfRun(key, "NaN" if is_nan else value, timestamp, step, run_id)
