"""Points of metrics from the database: a history, and samples of histories. No endpoint."""

from collections.abc import Sequence

from railtrack.api.metrics import postgres
from railtrack.api.metrics.schemas import SampleSpec
from railtrack.api.runs.schemas import Points
from railtrack.db import Db
from railtrack.db.sql import bind

MAX_STEPS = 2_000_000
"""Steps of one history that PostgreSQL holds in memory, of 8 bytes each; for more it numbers the rows, on disk."""


async def fetch_points(db: Db, sql: str, *values: object) -> Points:
    """Return the points that a statement selects as is_nan, timestamp, step, value and one more column."""
    fetch = postgres.fetch_points if db.engine == "postgresql" else fetch_points_by_row
    return await fetch(db, sql, *values)


async def fetch_points_by_row(db: Db, sql: str, *values: object) -> Points:
    """The portable twin of postgres.fetch_points."""
    return Points.of_rows(await db.fetch(sql, *values))


async def sample_points(db: Db, run_ids: Sequence[str], spec: SampleSpec) -> dict[str, Points]:
    """Return the samples of those of the runs that have points, by run, sorted by step; all points if they are few."""
    if db.engine != "postgresql":
        return await sample_numbered_points(db, run_ids, spec)
    samples = await postgres.sample_points(db, run_ids, spec, MAX_STEPS)
    if samples.too_long:
        return samples.by_run_id | await sample_numbered_points(db, samples.too_long, spec)
    return samples.by_run_id


def sample_positions(total: int, size: int) -> list[int]:
    """Return the positions, from 0, of a sample of `size` out of `total` points; `size` is less than `total`.

    As MLflow chooses them: the points are divided into `size` equal shares, of which the first ones have one point more
    if there is a remainder. Each share contributes its first point, but the last one contributes its last.
    """
    share, remainder = divmod(total, size)
    return [*(number * share + min(number, remainder) for number in range(size - 1)), total - 1]


async def sample_numbered_points(db: Db, run_ids: Sequence[str], spec: SampleSpec) -> dict[str, Points]:
    """The portable twin of postgres.sample_points, which has the database number the rows. It takes any length."""
    totals = await db.fetch(
        """
        SELECT run_uuid, COUNT(*) FROM metrics
        WHERE run_uuid = ANY($1) AND key = $2 AND step BETWEEN $3 AND $4 GROUP BY run_uuid
        """,
        run_ids,
        spec.key,
        spec.first_step,
        spec.last_step,
    )
    samples = await _all_points(db, [run_id for run_id, total in totals if total <= spec.size], spec)
    for run_id, total in totals:
        if total > spec.size:
            samples[run_id] = await _points_at(db, run_id, spec, sample_positions(total, spec.size))
    return samples


async def _all_points(db: Db, run_ids: Sequence[str], spec: SampleSpec) -> dict[str, Points]:
    if not run_ids:
        return {}
    rows: dict[str, list[Sequence[object]]] = {}
    for run_id, *point in await db.fetch(
        """
        SELECT run_uuid, is_nan, timestamp, step, value FROM metrics
        WHERE run_uuid = ANY($1) AND key = $2 AND step BETWEEN $3 AND $4
        ORDER BY run_uuid, step, timestamp, value, is_nan
        """,
        run_ids,
        spec.key,
        spec.first_step,
        spec.last_step,
    ):
        rows.setdefault(run_id, []).append(point)
    return {run_id: Points.of_rows(points) for run_id, points in rows.items()}


async def _points_at(db: Db, run_id: str, spec: SampleSpec, positions: Sequence[int]) -> Points:
    """Return the points at these positions of a run's history, sorted by step and time.

    The index on (run_uuid, key, step) alone gives the steps at the positions, and which point of its step each is; when
    the points themselves were numbered, PostgreSQL sorted all of them.
    """
    chosen = await db.fetch(
        *bind(
            """
            SELECT step, CAST(step AS TEXT) || '/' || CAST(position - first AS TEXT) FROM (
                SELECT step, ROW_NUMBER() OVER (ORDER BY step) - 1 AS position, RANK() OVER (ORDER BY step) - 1 AS first
                FROM metrics WHERE run_uuid = :run_id AND key = :key AND step BETWEEN :first_step AND :last_step
            ) AS numbered
            WHERE position = ANY(:positions)
            """,
            run_id=run_id,
            key=spec.key,
            first_step=spec.first_step,
            last_step=spec.last_step,
            positions=positions,
        )
    )
    rows = await db.fetch(
        """
        SELECT is_nan, timestamp, step, value FROM (
            SELECT is_nan, timestamp, step, value,
                ROW_NUMBER() OVER (PARTITION BY step ORDER BY timestamp, value, is_nan) - 1 AS nth
            FROM metrics WHERE run_uuid = $1 AND key = $2 AND step = ANY($3)
        ) AS of_step
        WHERE CAST(step AS TEXT) || '/' || CAST(nth AS TEXT) = ANY($4) ORDER BY step, nth
        """,
        run_id,
        spec.key,
        sorted({step for step, _ in chosen}),
        [step_and_nth for _, step_and_nth in chosen],
    )
    return Points.of_rows(rows)
