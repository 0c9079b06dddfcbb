"""Reads of traces that several modules use: infos with tags and metadata, and spans."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Literal, NamedTuple

from railtrack.api.assessments.queries import assessments_size, load_assessments
from railtrack.api.traces.schemas import RECORD_COLUMNS, TraceInfo, TraceRecord, TraceTexts, no_such_trace, trace_info
from railtrack.db import Db, Row, Tx
from railtrack.errors import invalid, not_implemented
from railtrack.mlflow.ids import experiment_numbers
from railtrack.tracing.attribute_keys import SPANS_LOCATION_TAG, TRACKING_STORE
from railtrack.wire.list_response import RowsTooLarge
from railtrack.wire.request import HttpRequest

TEXTS = """
    SELECT request_id, key, COALESCE(value, ''), TRUE FROM trace_tags WHERE request_id = ANY($1)
    UNION ALL
    SELECT request_id, key, COALESCE(value, ''), FALSE FROM trace_request_metadata WHERE request_id = ANY($1)
"""
TEXTS_SIZE = """
    SELECT (SELECT COALESCE(SUM(100 + COALESCE(LENGTH(value), 0)), 0) FROM trace_tags WHERE request_id = ANY($1))
        + (SELECT COALESCE(SUM(100 + COALESCE(LENGTH(value), 0)), 0) FROM trace_request_metadata
            WHERE request_id = ANY($1))
"""
"""About the bytes of TEXTS."""


async def load_records(tx: Tx, trace_ids: Sequence[str]) -> list[TraceRecord]:
    """Return those of the traces that exist, in the order of the ids."""
    rows = await tx.fetch(f"SELECT {RECORD_COLUMNS} FROM trace_info WHERE request_id = ANY($1)", list(trace_ids))  # noqa: S608 (our own text)
    records = {row[0]: TraceRecord(*row) for row in rows}
    return [records[trace_id] for trace_id in trace_ids if trace_id in records]


async def load_texts(tx: Tx, trace_ids: Iterable[str]) -> dict[str, TraceTexts]:
    """Return tags and metadata of the traces."""
    texts = {trace_id: TraceTexts({}, {}) for trace_id in trace_ids}
    for trace_id, key, value, is_tag in await tx.fetch(TEXTS, list(texts)):
        (texts[trace_id].tags if is_tag else texts[trace_id].metadata)[key] = value
    return texts


async def load_infos(tx: Tx, records: Sequence[TraceRecord]) -> list[TraceInfo]:
    """Return the infos of traces, in their order. The caller limits their number."""
    trace_ids = [record.request_id for record in records]
    texts = await load_texts(tx, trace_ids)
    assessments = await load_assessments(tx, trace_ids)
    return [trace_info(record, texts[record.request_id], assessments.get(record.request_id, [])) for record in records]


async def load_infos_of_rows(tx: Tx, rows: Sequence[Row], max_bytes: int) -> list[TraceInfo]:
    """Return the infos of rows of RECORD_COLUMNS. Raise RowsTooLarge if their texts have more than `max_bytes`."""
    records = [TraceRecord(*row) for row in rows]
    trace_ids = [record.request_id for record in records]
    size = int(await tx.fetch_value(TEXTS_SIZE, trace_ids)) + await assessments_size(tx, trace_ids)
    if size > max_bytes:
        raise RowsTooLarge(size)
    return await load_infos(tx, records)


async def load_info(tx: Tx, trace_id: str) -> TraceInfo:
    """Return the info of one trace. Raise RESOURCE_DOES_NOT_EXIST."""
    records = await load_records(tx, [trace_id])
    if not records:
        raise no_such_trace(trace_id)
    return (await load_infos(tx, records))[0]


GROUP_CHARACTERS = 512 * 1024
"""Characters of spans that are loaded at a time, unless a single span has more."""
TRACES_AT_ONCE = 50
ROOT_FIRST = "CASE WHEN parent_span_id IS NULL THEN 0 ELSE 1 END, start_time_unix_nano, span_id"


class SpansSize(NamedTuple):
    """What is stored of a trace's spans."""

    trace_id: str
    spans: int
    characters: int


async def spans_sizes(tx: Tx, trace_ids: Sequence[str]) -> list[SpansSize]:
    """Return the sizes of traces, in the order of the ids."""
    rows = await tx.fetch(
        """
        SELECT trace_id, COUNT(*), SUM(LENGTH(content)) FROM spans WHERE trace_id = ANY($1) AND content <> ''
        GROUP BY trace_id
        """,
        list(trace_ids),
    )
    sizes = {row[0]: SpansSize(row[0], int(row[1]), int(row[2])) for row in rows}
    return [sizes.get(trace_id, SpansSize(trace_id, 0, 0)) for trace_id in trace_ids]


async def load_contents(tx: Tx, trace_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the spans of traces as JSON texts: the root first, then by their start. The caller bounds their size."""
    contents: dict[str, list[str]] = {}
    for trace_id, content in await tx.fetch(
        f"SELECT trace_id, content FROM spans WHERE trace_id = ANY($1) AND content <> '' ORDER BY {ROOT_FIRST}",  # noqa: S608 (our own text)
        list(trace_ids),
    ):
        contents.setdefault(trace_id, []).append(content)
    return contents


async def content_groups(db: Db, http: HttpRequest, trace_id: str) -> AsyncGenerator[list[str], None]:
    """Yield the spans of one trace of any size, as load_contents() returns them, some at a time."""
    rows = await db.fetch(
        f"SELECT span_id, LENGTH(content) FROM spans WHERE trace_id = $1 AND content <> '' ORDER BY {ROOT_FIRST}",  # noqa: S608 (our own text)
        trace_id,
    )
    start = 0
    while start < len(rows):
        stop, size = start, 0
        while stop < len(rows) and (stop == start or size + rows[stop][1] <= GROUP_CHARACTERS):
            size += rows[stop][1]
            stop += 1
        await http.hold_decoded(size)
        some = await db.fetch(
            "SELECT span_id, content FROM spans WHERE trace_id = $1 AND span_id = ANY($2)",
            trace_id,
            [span_id for span_id, _ in rows[start:stop]],
        )
        contents = {row[0]: row[1] for row in some}
        yield [contents[span_id] for span_id, _ in rows[start:stop] if span_id in contents]
        start = stop


def has_stored_spans(info: TraceInfo) -> bool:
    """Return whether the spans of the trace are in the database."""
    return info.tags.get(SPANS_LOCATION_TAG) == TRACKING_STORE


EXPERIMENTS_LIMIT = 1000


async def check_none_stored(tx: Tx, experiment_ids: list[str], table: Literal["trace_info", "scorers"]) -> None:
    """Raise NOT_IMPLEMENTED if one of the experiments has rows in this table: an empty response would hide them."""
    if len(experiment_ids) > EXPERIMENTS_LIMIT:
        raise invalid(f"A request can name at most {EXPERIMENTS_LIMIT} experiments. Got {len(experiment_ids)}.")
    numbers = experiment_numbers(experiment_ids)
    if await tx.fetch_value(f"SELECT 1 FROM {table} WHERE experiment_id = ANY($1) LIMIT 1", numbers):  # noqa: S608 (a constant)
        stored = "trace metrics" if table == "trace_info" else table
        raise not_implemented(f"There are {stored} in this database, which this version of Railtrack does not serve.")
