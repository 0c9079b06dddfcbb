"""Reads and inserts of assessments that other resources use: those of many traces in one statement each."""

from collections.abc import Iterable, Sequence

from railtrack.api.assessments.schemas import COLUMNS, ROW_COLUMNS, Assessment, AssessmentRow, from_row
from railtrack.db import Tx
from railtrack.errors import not_found

SIZE = """
    SELECT COALESCE(SUM(
        500 + LENGTH(value) + LENGTH(COALESCE(error, '')) + LENGTH(COALESCE(rationale, ''))
        + LENGTH(COALESCE(assessment_metadata, ''))
    ), 0) FROM assessments WHERE trace_id = ANY($1)
"""


async def load_assessments(tx: Tx, trace_ids: Sequence[str]) -> dict[str, list[Assessment]]:
    """Return the assessments of traces by trace id, the oldest first, also those that are overridden.

    The caller bounds the number of traces, and by assessments_size() the bytes.
    """
    loaded: dict[str, list[Assessment]] = {}
    for row in await tx.fetch(
        f"SELECT {COLUMNS} FROM assessments WHERE trace_id = ANY($1) ORDER BY created_timestamp, assessment_id",  # noqa: S608 (our own text)
        list(trace_ids),
    ):
        assessment = from_row(row)
        loaded.setdefault(assessment.trace_id, []).append(assessment)
    return loaded


async def assessments_size(tx: Tx, trace_ids: Sequence[str]) -> int:
    """Return about the bytes that load_assessments() would load."""
    return int(await tx.fetch_value(SIZE, list(trace_ids)))


async def insert_assessments(tx: Tx, rows: Iterable[tuple[str, AssessmentRow]]) -> None:
    """Insert assessments of existing traces, each with the id of its trace. Make invalid what they override.

    The caller has locked the rows of the traces: assessments copy the experiment and the time of their trace.
    """
    rows = list(rows)
    for trace_id, row in rows:
        if row.overrides and not await tx.execute(
            "UPDATE assessments SET valid = FALSE WHERE trace_id = $1 AND assessment_id = $2", trace_id, row.overrides
        ):
            raise not_found(f"Assessment with ID '{row.overrides[:250]}' not found for trace '{trace_id}'")
    names = ", ".join(ROW_COLUMNS)
    await tx.execute_rows(
        f"""
        INSERT INTO assessments (trace_id, {names}, valid, experiment_id, trace_timestamp_ms)
        SELECT r.trace_id, {", ".join(f"r.{name}" for name in ROW_COLUMNS)}, TRUE, t.experiment_id, t.timestamp_ms
        FROM {{rows}} JOIN trace_info t ON t.request_id = r.trace_id WHERE true
        """,  # noqa: S608 (our own text)
        {"trace_id": "text", **ROW_COLUMNS},
        [(trace_id, *row) for trace_id, row in rows],
    )
