"""Writes of traces that several endpoints use: group commits of infos and spans, and links. No endpoint.

Traces that are written at the same time are committed together (db/group_commit.py): their rows are locked in the
order of their ids, changed in memory request by request, and written by a few statements whatever their number.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

import msgspec

from railtrack.api.assessments.queries import insert_assessments
from railtrack.api.assessments.schemas import AssessmentRow
from railtrack.api.traces.schemas import RECORD_COLUMNS, RECORD_FIELDS, TraceRecord, no_such_trace
from railtrack.db import Conflict, Db, Tx
from railtrack.db.retry import idempotent
from railtrack.errors import ApiError, invalid, invalid_state, not_found
from railtrack.mlflow.validation import check_length
from railtrack.tracing.attribute_keys import (
    ARCHIVE_REPO,
    ARTIFACT_LOCATION_TAG,
    COST,
    COST_KEYS,
    FINALIZED_METADATA,
    SPANS_LOCATION_TAG,
    TOKEN_KEYS,
    TOKEN_USAGE,
    TRACKING_STORE,
    USER_METADATA,
)
from railtrack.tracing.spans import NewSpans, Node, SpanRow, sums
from railtrack.tracing.values import PREVIEW_LIMIT

UNFINISHED = ("IN_PROGRESS", "STATE_UNSPECIFIED")
CHARACTERS_OF_A_ROW = 500


class StartEntry(msgspec.Struct):
    """The info of a trace that a client sent. The values of `record` that are None keep those of the database."""

    record: TraceRecord
    tags: dict[str, str]
    metadata: dict[str, str]
    assessments: list[AssessmentRow] = []
    is_final: bool = True
    """Whether the trace has ended, so that spans that come later do not change the info."""
    was_new: bool = False
    """Set when it is written: whether no trace had this id."""
    artifact_location: str = ""
    """Set when it is written, for a new trace."""

    @property
    def cost(self) -> int:
        texts = (*self.tags.values(), *self.metadata.values())
        characters = sum(map(len, texts)) + sum(len(row.value) for row in self.assessments)
        return 1 + len(self.tags) + len(self.metadata) + len(self.assessments) + characters // CHARACTERS_OF_A_ROW


class SpansEntry(msgspec.Struct):
    """The spans of one export. `size`: their characters."""

    experiment_id: int
    traces: list[NewSpans]
    size: int

    @property
    def cost(self) -> int:
        return 1 + sum(len(new.rows) for new in self.traces) + self.size // CHARACTERS_OF_A_ROW


class _TraceExperiment(NamedTuple):
    artifact_location: str
    lifecycle_stage: str

    def location_of(self, trace_id: str) -> str:
        # The location's query stays at the end: s3://bucket/path?region=x.
        path, question_mark, query = self.artifact_location.partition("?")
        return f"{path.rstrip('/')}/traces/{trace_id}/artifacts{question_mark}{query}"


class _Trace(msgspec.Struct):
    """A trace as it will be after the transaction."""

    record: TraceRecord
    is_new: bool
    is_finalized: bool = False
    spans_location: str = TRACKING_STORE
    tags: dict[str, str] = {}
    """Tags to set."""
    metadata: dict[str, str] = {}
    """Metadata to set."""
    user_id: str | None = None
    """Metadata to set unless there is some."""
    rows: dict[str, SpanRow] = {}
    nodes: dict[str, Node] = {}
    assessments: dict[str, AssessmentRow] = {}
    """Assessments to store, by id. One with a known id replaces it."""
    time_changed: bool = False


class _Traces:
    """The traces that a transaction changes, by id."""

    def __init__(self, experiments: Mapping[int, _TraceExperiment], traces: dict[str, _Trace]) -> None:
        self.experiments = experiments
        self.by_id = traces

    @classmethod
    async def lock(cls, tx: Tx, experiment_ids: Iterable[int], trace_ids: Iterable[str]) -> "_Traces":
        """Load the experiments, and the traces that exist, whose rows stay locked."""
        experiments = {
            number: _TraceExperiment(location or "", stage)
            for number, location, stage in await tx.fetch(
                "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments "
                "WHERE experiment_id = ANY($1)",
                sorted(set(experiment_ids)),
            )
        }
        # Not FOR UPDATE: rows that refer to a trace may be inserted meanwhile.
        rows = await tx.fetch(
            f"SELECT {RECORD_COLUMNS} FROM trace_info WHERE request_id = ANY($1) ORDER BY request_id FOR NO KEY UPDATE",  # noqa: S608 (our own text)
            sorted(set(trace_ids)),
        )
        traces = {row[0]: _Trace(TraceRecord(*row), is_new=False) for row in rows}
        if traces:
            for trace_id, key, value in await tx.fetch(
                """
                SELECT request_id, key, value FROM trace_tags WHERE request_id = ANY($1) AND key = $2
                UNION ALL
                SELECT request_id, key, value FROM trace_request_metadata WHERE request_id = ANY($1) AND key = $3
                """,
                sorted(traces),
                SPANS_LOCATION_TAG,
                FINALIZED_METADATA,
            ):
                if key == FINALIZED_METADATA:
                    traces[trace_id].is_finalized = True
                else:
                    traces[trace_id].spans_location = value
        return cls(experiments, traces)

    async def write(self, tx: Tx) -> None:
        """Write what was changed."""
        traces = [self.by_id[trace_id] for trace_id in sorted(self.by_id)]
        await self._sum(tx, [trace for trace in traces if trace.nodes])
        new = [trace.record for trace in traces if trace.is_new]
        if new and await tx.execute_rows(INSERT_RECORDS, RECORD_TYPES, list(map(_values, new))) < len(new):
            raise Conflict("a trace was created at the same time")
        changed = [trace.record for trace in traces if not trace.is_new]
        if changed:
            await tx.execute_rows(UPDATE_RECORDS, RECORD_TYPES, list(map(_values, changed)))
        moved = [(trace.record.request_id, trace.record.timestamp_ms) for trace in traces if trace.time_changed]
        if moved:
            await tx.execute_rows(
                """
                UPDATE assessments SET trace_timestamp_ms = r.timestamp_ms
                FROM {rows} WHERE assessments.trace_id = r.request_id
                """,
                {"request_id": "text", "timestamp_ms": "bigint"},
                moved,
            )
        await self._write_assessments(tx, [trace for trace in traces if trace.assessments])
        spans = [(*row, trace.record.experiment_id) for trace in traces for _, row in sorted(trace.rows.items())]
        if spans:
            await tx.execute_rows(UPSERT_SPANS, SPAN_TYPES, spans)
        for table, values in (
            ("trace_tags", [(t.record.request_id, *item) for t in traces for item in sorted(t.tags.items())]),
            (
                "trace_request_metadata",
                [(t.record.request_id, *item) for t in traces for item in sorted(t.metadata.items())],
            ),
        ):
            if values:
                await tx.execute_rows(UPSERT_TEXTS.format(table=table, rows="{rows}"), TEXT_TYPES, values)
        users = [(trace.record.request_id, USER_METADATA, trace.user_id) for trace in traces if trace.user_id]
        if users:
            await tx.execute_rows(INSERT_USERS, TEXT_TYPES, users)

    @staticmethod
    async def _write_assessments(tx: Tx, traces: Sequence[_Trace]) -> None:
        ids = sorted(assessment_id for trace in traces for assessment_id in trace.assessments)
        if not ids:
            return
        owners = {assessment_id: trace.record.request_id for trace in traces for assessment_id in trace.assessments}
        for assessment_id, trace_id in await tx.fetch(
            "SELECT assessment_id, trace_id FROM assessments WHERE assessment_id = ANY($1)", ids
        ):
            if owners[assessment_id] != trace_id:
                raise invalid(f"Assessment with ID '{assessment_id}' belongs to another trace.")
        await tx.execute("DELETE FROM assessments WHERE assessment_id = ANY($1)", ids)
        rows = ((trace.record.request_id, row) for trace in traces for row in trace.assessments.values())
        await insert_assessments(tx, rows)

    @staticmethod
    async def _sum(tx: Tx, traces: Sequence[_Trace]) -> None:
        """Set token usage and cost of traces from all of their spans, unless their client has sent them."""
        wanted = []
        for trace in traces:
            has_usage = any(node.usage is not None for node in trace.nodes.values())
            has_cost = any(node.cost is not None for node in trace.nodes.values())
            sets_usage = has_usage and not (trace.is_finalized and trace.record.token_usage)
            sets_cost = has_cost and not (trace.is_finalized and trace.record.cost)
            if sets_usage or sets_cost:
                wanted.append((trace, sets_usage, sets_cost))
        older = await stored_nodes(tx, [trace.record.request_id for trace, *_ in wanted if not trace.is_new])
        for trace, sets_usage, sets_cost in wanted:
            nodes = {node.span_id: node for node in older.get(trace.record.request_id, ())} | trace.nodes
            usage, cost = sums(nodes.values())
            if sets_usage:
                for key, count in usage.items():
                    setattr(trace.record, key, count)
            if sets_cost:
                for key, value in cost.items():
                    setattr(trace.record, key, value)


def _values(record: TraceRecord) -> list[object]:
    return [getattr(record, name) for name in RECORD_FIELDS]


RECORD_TYPES = {
    name: "integer"
    if name in ("experiment_id", "db_payload_generation")
    else "double precision"
    if name in COST_KEYS
    else "bigint"
    if name in (*TOKEN_KEYS, "timestamp_ms", "execution_time_ms")
    else "text"
    for name in RECORD_FIELDS
}
INSERT_RECORDS = f"""
    INSERT INTO trace_info ({", ".join(RECORD_FIELDS)}) SELECT {", ".join(RECORD_FIELDS)} FROM {{rows}} WHERE true
    ON CONFLICT (request_id) DO NOTHING
"""  # noqa: S608 (our own text)
UPDATE_RECORDS = f"""
    UPDATE trace_info SET {", ".join(f"{name} = r.{name}" for name in RECORD_FIELDS[2:])}
    FROM {{rows}} WHERE trace_info.request_id = r.request_id
"""  # noqa: S608 (our own text)

SPAN_TYPES = {
    **dict.fromkeys(SpanRow._fields, "text"),
    **dict.fromkeys(COST_KEYS, "double precision"),
    "start_time_unix_nano": "bigint",
    "end_time_unix_nano": "bigint",
    "experiment_id": "integer",
}
UPSERT_SPANS = f"""
    INSERT INTO spans ({", ".join(SPAN_TYPES)}) SELECT {", ".join(SPAN_TYPES)} FROM {{rows}} WHERE true
    ON CONFLICT (trace_id, span_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in SPAN_TYPES if name not in ("trace_id", "span_id"))}
"""  # noqa: S608 (our own text)

TEXT_TYPES = {"request_id": "text", "key": "text", "value": "text"}
UPSERT_TEXTS = """
    INSERT INTO {table} (request_id, key, value) SELECT request_id, key, value FROM {rows} WHERE true
    ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value
"""
INSERT_USERS = """
    INSERT INTO trace_request_metadata (request_id, key, value) SELECT request_id, key, value FROM {rows} WHERE true
    ON CONFLICT (key, request_id) DO NOTHING
"""

USAGE_CHARACTERS = 600
"""Of a span's content from its token usage on: six counts with their names have 300."""


async def stored_nodes(tx: Tx, trace_ids: Sequence[str]) -> dict[str, list[Node]]:
    """Return the nodes of the stored spans of traces. Of a span's content, only the part with its usage is read."""
    if not trace_ids:
        return {}
    nodes: dict[str, list[Node]] = {}
    find = tx.per_dialect(postgresql="strpos", sqlite="instr")  # no engine has both
    for trace_id, span_id, parent_id, usage, cost in await tx.fetch(
        f"""
        SELECT trace_id, span_id, parent_span_id,
            CASE WHEN {find}(content, $2) > 0 THEN substr(content, {find}(content, $2), {USAGE_CHARACTERS}) END,
            CASE WHEN {find}(content, $3) > 0 THEN substr(content, {find}(content, $3), {USAGE_CHARACTERS}) END
        FROM spans WHERE trace_id = ANY($1)
        """,  # noqa: S608 (our own text)
        list(trace_ids),
        f'"{TOKEN_USAGE}": "',
        f'"{COST}": "',
    ):
        node = Node(span_id, parent_id, _inner_object(usage), _inner_object(cost))
        nodes.setdefault(trace_id, []).append(node)
    return nodes


_read_value = json.JSONDecoder().raw_decode


def _inner_object(text: str | None) -> dict[str, object] | None:
    """Return the object of a text that begins like `"mlflow.llm.cost": "{\\"total_cost\\": 0.5}", ...`."""
    if text is None:
        return None
    try:
        value = json.loads(_read_value(text, text.index('": ') + 3)[0])
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, dict) else None


@idempotent
async def write_started(db: Db, entries: Sequence[StartEntry]) -> list[ApiError | None]:
    """Commit the valid entries. Return the error of each entry, or None."""
    async with db.write() as tx:
        traces = await _Traces.lock(
            tx,
            (entry.record.experiment_id for entry in entries),
            (entry.record.request_id for entry in entries),
        )
        errors = [_start(traces, entry) for entry in entries]
        await traces.write(tx)
    return errors


def _start(traces: _Traces, entry: StartEntry) -> ApiError | None:
    new = entry.record
    experiment = traces.experiments.get(new.experiment_id)
    if experiment is None:
        return not_found(f"No Experiment with id={new.experiment_id} exists")
    if experiment.lifecycle_stage != "active":
        return invalid(
            f"The experiment {new.experiment_id} must be in the 'active' state. "
            f"Current state is {experiment.lifecycle_stage}."
        )
    trace = traces.by_id.get(new.request_id)
    if trace is None:
        entry.was_new = True
        entry.artifact_location = experiment.location_of(new.request_id)
        trace = traces.by_id[new.request_id] = _Trace(msgspec.structs.replace(new), is_new=True)
    else:
        if error := _write_error([trace], new.experiment_id):
            return error
        record = trace.record
        trace.time_changed = trace.time_changed or record.timestamp_ms != new.timestamp_ms
        for name in ("timestamp_ms", "execution_time_ms", "status", "client_request_id"):
            setattr(record, name, getattr(new, name))
        _keep_given(record, new)
        record.db_payload_generation += 1
    trace.tags |= entry.tags | {ARTIFACT_LOCATION_TAG: experiment.location_of(new.request_id)}
    trace.metadata |= entry.metadata
    trace.assessments |= {row.assessment_id: row for row in entry.assessments}
    if entry.is_final:
        trace.metadata[FINALIZED_METADATA] = "true"
        trace.is_finalized = True
    return None


class EndEntry(msgspec.Struct):
    """The end of a trace, by a client before 3.0. The values of `record` that are None keep those of the database."""

    record: TraceRecord
    end_ms: int
    tags: dict[str, str]
    metadata: dict[str, str]

    @property
    def cost(self) -> int:
        texts = (*self.tags.values(), *self.metadata.values())
        return 1 + len(self.tags) + len(self.metadata) + sum(map(len, texts)) // CHARACTERS_OF_A_ROW


@idempotent
async def write_ended(db: Db, entries: Sequence[EndEntry]) -> list[ApiError | None]:
    """Commit the entries whose trace exists. Return the error of each entry, or None."""
    async with db.write() as tx:
        traces = await _Traces.lock(tx, (), (entry.record.request_id for entry in entries))
        errors = [_end(traces, entry) for entry in entries]
        await traces.write(tx)
    return errors


def _end(traces: _Traces, entry: EndEntry) -> ApiError | None:
    trace = traces.by_id.get(entry.record.request_id)
    if trace is None:
        return no_such_trace(entry.record.request_id)
    trace.record.execution_time_ms = entry.end_ms - trace.record.timestamp_ms
    trace.record.status = entry.record.status
    _keep_given(trace.record, entry.record)
    trace.tags |= entry.tags
    trace.metadata |= entry.metadata
    return None


def _keep_given(record: TraceRecord, given: TraceRecord) -> None:
    """Take over the values that a client has sent, from previews to costs."""
    for name in RECORD_FIELDS[RECORD_FIELDS.index("request_preview") :]:
        value = getattr(given, name)
        if value is not None and name != "db_payload_generation":
            setattr(record, name, value)


@idempotent
async def write_spans(db: Db, entries: Sequence[SpansEntry]) -> list[ApiError | None]:
    """Commit the valid entries, each as a whole. Return the error of each entry, or None."""
    async with db.write() as tx:
        traces = await _Traces.lock(
            tx,
            (entry.experiment_id for entry in entries),
            (new.trace_id for entry in entries for new in entry.traces),
        )
        errors = [_add_spans(traces, entry) for entry in entries]
        await traces.write(tx)
    return errors


def _add_spans(traces: _Traces, entry: SpansEntry) -> ApiError | None:
    experiment = traces.experiments.get(entry.experiment_id)
    if experiment is None:
        return not_found(f"No Experiment with id={entry.experiment_id} exists")
    known = [trace for new in entry.traces if (trace := traces.by_id.get(new.trace_id))]
    if error := _write_error(known, entry.experiment_id):
        return error
    for new in entry.traces:
        trace = traces.by_id.get(new.trace_id)
        if trace is None:
            record = TraceRecord(
                new.trace_id, entry.experiment_id, new.start_ms, new.end_ms - new.start_ms, "IN_PROGRESS"
            )
            trace = traces.by_id[new.trace_id] = _Trace(record, is_new=True)
            trace.tags[ARTIFACT_LOCATION_TAG] = experiment.location_of(new.trace_id)
        _merge(trace, new)
    return None


def _merge(trace: _Trace, new: NewSpans) -> None:
    record = trace.record
    if not trace.is_finalized:
        start = min(record.timestamp_ms, new.start_ms)
        end = max(record.timestamp_ms + (record.execution_time_ms or 0), new.end_ms)
        trace.time_changed = trace.time_changed or (start != record.timestamp_ms and not trace.is_new)
        record.timestamp_ms, record.execution_time_ms = start, end - start
    if record.status in UNFINISHED and new.root_status:
        record.status = new.root_status
    if record.request_preview is None and new.request_preview is not None:
        record.request_preview = new.request_preview[:PREVIEW_LIMIT]
    if record.response_preview is None and new.response_preview is not None:
        record.response_preview = new.response_preview[:PREVIEW_LIMIT]
    if new.name is not None:
        record.trace_name = new.name
    if record.session_id is None:
        record.session_id = new.session_id
    trace.user_id = trace.user_id or new.user_id
    record.db_payload_generation += 1
    trace.tags |= {SPANS_LOCATION_TAG: TRACKING_STORE} | new.tags
    for row, node in zip(new.rows, new.nodes, strict=True):
        trace.rows[row.span_id] = row
        trace.nodes[row.span_id] = node


def _write_error(traces: Sequence[_Trace], experiment_id: int) -> ApiError | None:
    """Return why spans or an info cannot be added to these traces, or None."""
    foreign = sorted(trace.record.request_id for trace in traces if trace.record.experiment_id != experiment_id)
    if foreign:
        return invalid(f"Trace with ID '{foreign[0]}' already exists in another experiment.")
    elsewhere = [trace for trace in traces if trace.spans_location != TRACKING_STORE]
    if not elsewhere:
        return None
    listed = ", ".join(sorted(f"'{trace.record.request_id}'" for trace in elsewhere))
    if all(trace.spans_location == ARCHIVE_REPO for trace in elsewhere):
        return invalid_state(f"Cannot log spans to archived traces: {listed}.")
    return invalid_state(
        "Cannot log spans because one or more traces are unavailable for DB-backed span writes: other=" + listed
    )


ID_LIMIT = 36
"""Characters of the table's columns."""

INSERT_LINKS = """
    INSERT INTO entity_associations
        (association_id, source_type, source_id, destination_type, destination_id, created_time)
    SELECT association_id, source_type, source_id, destination_type, destination_id, created_time FROM {rows} WHERE true
    ON CONFLICT (source_type, source_id, destination_type, destination_id) DO NOTHING
"""
LINK_TYPES = {
    "association_id": "text",
    "source_type": "text",
    "source_id": "text",
    "destination_type": "text",
    "destination_id": "text",
    "created_time": "bigint",
}


async def link_traces(tx: Tx, destination_type: str, pairs: Iterable[tuple[str, str]], created_ms: int) -> None:
    """Link traces to destinations, as far as they are not linked yet. `pairs`: trace id and id of the destination."""
    rows = []
    for trace_id, destination_id in sorted(set(pairs)):
        check_length("trace_id", trace_id, ID_LIMIT)
        check_length(destination_type, destination_id, ID_LIMIT)
        rows.append((uuid4().hex, "trace", trace_id, destination_type, destination_id, created_ms))
    if rows:
        await tx.execute_rows(INSERT_LINKS, LINK_TYPES, rows)
