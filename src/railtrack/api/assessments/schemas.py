"""Structs of assessments: as clients send them, as clients see them, and the rows that they are stored in."""

import json
import math
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from railtrack.db import Row
from railtrack.errors import invalid, invalid_value
from railtrack.mlflow.validation import check_length

NAME_LIMIT = 250
SOURCE_ID_LIMIT = 250
ID_LIMIT = 50
RUN_ID_LIMIT = 32
STACK_TRACE_LIMIT = 10_000
"""Characters of a stack trace that responses show: its end, below TRUNCATED."""
TRUNCATED = "[Stack trace is truncated]\n...\n"
JSON_FORMAT = "JSON_FORMAT"
SOURCE_RUN_ID = "mlflow.assessment.sourceRunId"
"""The key in the metadata that names the run of a judge."""
UNSPECIFIED = "SOURCE_TYPE_UNSPECIFIED"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SourceType(Enum):
    """In the order of protobuf's enum numbers, from 1; the last one has 0."""

    HUMAN = "HUMAN"
    LLM_JUDGE = "LLM_JUDGE"
    CODE = "CODE"
    SOURCE_TYPE_UNSPECIFIED = UNSPECIFIED


class SourceInput(msgspec.Struct):
    source_type: SourceType = SourceType.SOURCE_TYPE_UNSPECIFIED
    source_id: str = ""


class ErrorInput(msgspec.Struct):
    error_code: str = ""
    error_message: str = ""
    stack_trace: str = ""


class FeedbackInput(msgspec.Struct):
    value: Any = None
    error: ErrorInput | None = None


class SerializedValue(msgspec.Struct):
    serialization_format: str = ""
    value: str = ""


class ExpectationInput(msgspec.Struct):
    value: Any = None
    serialized_value: SerializedValue | None = None


class IssueReference(msgspec.Struct):
    issue_name: str = ""


class AssessmentInput(msgspec.Struct):
    """An assessment in a request. Every field is optional here: an update has only some."""

    assessment_id: str = ""
    assessment_name: str = ""
    span_id: str = ""
    source: SourceInput = msgspec.field(default_factory=SourceInput)
    create_time: str | None = None
    last_update_time: str | None = None
    feedback: FeedbackInput | None = None
    expectation: ExpectationInput | None = None
    issue: IssueReference | None = None
    rationale: str = ""
    metadata: dict[str, str] = {}
    overrides: str = ""


class Value(NamedTuple):
    """The value of an assessment as it is stored: JSON, and the number that metrics of assessments use, if any."""

    kind: str
    """feedback, expectation or issue."""
    json: str
    error: str | None
    number: float | None
    is_number: bool


class AssessmentRow(NamedTuple):
    """A row to insert: the columns that do not depend on the trace, in the order of ROW_COLUMNS."""

    assessment_id: str
    name: str
    assessment_type: str
    value: str
    error: str | None
    created_timestamp: int
    last_updated_timestamp: int
    source_type: str
    source_id: str | None
    run_id: str | None
    span_id: str | None
    rationale: str | None
    overrides: str | None
    assessment_metadata: str | None
    aggregate_value: float | None
    is_numeric_value: bool


ROW_COLUMNS = {
    "assessment_id": "text",
    "name": "text",
    "assessment_type": "text",
    "value": "text",
    "error": "text",
    "created_timestamp": "bigint",
    "last_updated_timestamp": "bigint",
    "source_type": "text",
    "source_id": "text",
    "run_id": "text",
    "span_id": "text",
    "rationale": "text",
    "overrides": "text",
    "assessment_metadata": "text",
    "aggregate_value": "double precision",
    "is_numeric_value": "boolean",
}


def new_row(sent: AssessmentInput, now: int) -> AssessmentRow:
    """Return the row of a new assessment. As in MLflow, only feedback overrides others, and expectations have no
    rationale.
    """
    value = value_of(sent)
    is_feedback, is_expectation = value.kind == "feedback", value.kind == "expectation"
    run_id = sent.metadata.get(SOURCE_RUN_ID)
    check_name(sent.assessment_name)
    check_length("assessment.source.source_id", sent.source.source_id, SOURCE_ID_LIMIT)
    check_length("assessment.assessment_id", sent.assessment_id, ID_LIMIT)
    check_length("assessment.span_id", sent.span_id, ID_LIMIT)
    check_length(f"assessment.metadata['{SOURCE_RUN_ID}']", run_id or "", RUN_ID_LIMIT)
    return AssessmentRow(
        assessment_id=sent.assessment_id or f"a-{uuid4().hex}",
        name=sent.assessment_name,
        assessment_type=value.kind,
        value=value.json,
        error=value.error,
        created_timestamp=_milliseconds(sent.create_time, "assessment.create_time", now),
        last_updated_timestamp=_milliseconds(sent.last_update_time, "assessment.last_update_time", now),
        source_type=sent.source.source_type.value,
        source_id=sent.source.source_id or None,
        run_id=run_id,
        span_id=sent.span_id or None,
        rationale=None if is_expectation else sent.rationale or None,
        overrides=sent.overrides or None if is_feedback else None,
        assessment_metadata=json.dumps(sent.metadata) if sent.metadata else None,
        aggregate_value=value.number,
        is_numeric_value=value.is_number,
    )


def check_name(name: str) -> None:
    check_length("assessment.assessment_name", name, NAME_LIMIT)


def value_of(sent: AssessmentInput) -> Value:
    """Return the feedback, expectation or reference to an issue of a request, which must have exactly one of them."""
    kinds = (sent.feedback, sent.expectation, sent.issue)
    if sum(kind is not None for kind in kinds) > 1:
        raise invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
    if sent.feedback is not None:
        return feedback_value(sent.feedback)
    if sent.expectation is not None:
        return expectation_value(sent.expectation)
    if sent.issue is not None:
        return Value("issue", json.dumps({"issue_name": sent.issue.issue_name}), None, None, is_number=False)
    raise invalid("Unknown assessment type: None")


def feedback_value(sent: FeedbackInput) -> Value:
    error = None
    if sent.error is not None:
        error = json.dumps({
            "error_code": sent.error.error_code,
            "error_message": sent.error.error_message or None,
            "stack_trace": sent.error.stack_trace or None,
        })  # fmt: skip
    value = _with_doubles(sent.value, "assessment.feedback.value")
    return Value("feedback", json.dumps(value), error, *_aggregate(value))


def expectation_value(sent: ExpectationInput) -> Value:
    if (serialized := sent.serialized_value) is not None:
        if serialized.serialization_format != JSON_FORMAT:
            unknown = serialized.serialization_format[:100]
            raise invalid(f"Unknown serialization format: {unknown}. Only {JSON_FORMAT} is supported.")
        value = _parsed(serialized.value)
    else:
        value = _with_doubles(sent.value, "assessment.expectation.value")
    if value is None:
        raise invalid("The `value` field must be specified.")
    return Value("expectation", json.dumps(value), None, *_aggregate(value))


def _parsed(text: str) -> Any:
    field = "assessment.expectation.serialized_value.value"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The value of '{field}' is not valid JSON: {error}") from None
    _check_finite(value, field)
    return value


def _check_finite(value: Any, field: str) -> None:
    """Raise for NaN and Infinity, which JSON cannot express, anywhere in `value`."""
    match value:
        case float() if not math.isfinite(value):
            raise invalid(f"The value of '{field}' has a number that is not finite, which JSON cannot express.")
        case list():
            for item in value:
                _check_finite(item, field)
        case dict():
            for item in value.values():
                _check_finite(item, field)


def _with_doubles(value: Any, field: str) -> Any:
    """Return a JSON value with all numbers as doubles, which protobuf's Value has only."""
    match value:
        case bool():
            return value
        case int():
            try:
                return float(value)
            except OverflowError:
                raise invalid_value(field, value) from None
        case float() if not math.isfinite(value):
            raise invalid(f"The value of '{field}' has a number that is not finite, which JSON cannot express.")
        case list():
            return [_with_doubles(item, field) for item in value]
        case dict():
            return {key: _with_doubles(item, field) for key, item in value.items()}
    return value


def _aggregate(value: Any) -> tuple[float | None, bool]:
    """Return the number that stands for a value in averages, and whether it is a number itself."""
    match value:
        case bool():
            return float(value), False
        case int() | float():
            try:
                return float(value), True
            except OverflowError:
                return None, False
        case str() if (answer := value.strip().lower()) in ("yes", "no"):
            return float(answer == "yes"), False
    return None, False


def _milliseconds(text: str | None, field: str, now: int) -> int:
    """Return a timestamp in protobuf's JSON form as milliseconds since 1970, rounded down."""
    if text is None:
        return now
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_value(field, text) from None
    if time.tzinfo is None:
        raise invalid_value(field, text)
    return (time - EPOCH) // timedelta(milliseconds=1)


def timestamp(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970 as protobuf's JSON shows it."""
    try:
        time = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        time = datetime.max.replace(tzinfo=UTC) if milliseconds > 0 else datetime.min.replace(tzinfo=UTC)
    text = f"{time:%Y-%m-%dT%H:%M:%S}".rjust(19, "0")
    return f"{text}.{milliseconds % 1000:03}Z" if milliseconds % 1000 else f"{text}Z"


class Source(msgspec.Struct, omit_defaults=True):
    source_type: str
    source_id: str | None = None


class AssessmentError(msgspec.Struct, omit_defaults=True):
    error_code: str
    error_message: str | None = None
    stack_trace: str | None = None


class Feedback(msgspec.Struct, omit_defaults=True):
    value: msgspec.Raw
    error: AssessmentError | None = None


class Expectation(msgspec.Struct, omit_defaults=True):
    """A text, number or boolean is `value`, anything else `serialized_value`."""

    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    serialized_value: SerializedValue | None = None


class Assessment(msgspec.Struct, omit_defaults=True):
    """An assessment as clients see it. Exactly one of `feedback`, `expectation` and `issue` is there."""

    assessment_id: str
    assessment_name: str
    trace_id: str
    source: Source
    create_time: str
    last_update_time: str
    valid: bool
    span_id: str | None = None
    feedback: Feedback | None = None
    expectation: Expectation | None = None
    issue: IssueReference | None = None
    rationale: str | None = None
    metadata: dict[str, str] | None = None
    overrides: str | None = None


COLUMNS = """
    assessment_id, name, trace_id, source_type, NULLIF(source_id, ''), created_timestamp, last_updated_timestamp, valid,
    NULLIF(span_id, ''), assessment_type, value, error, rationale, assessment_metadata, NULLIF(overrides, '')
"""
"""What from_row builds an Assessment of, by position."""


def from_row(row: Row) -> Assessment:
    (
        assessment_id,
        name,
        trace_id,
        source_type,
        source_id,
        created,
        updated,
        valid,
        span_id,
        kind,
        value,
        error,
        rationale,
        metadata,
        overrides,
    ) = row
    assessment = Assessment(
        assessment_id,
        name,
        trace_id,
        Source(source_type, source_id),
        timestamp(created),
        timestamp(updated),
        bool(valid),
        span_id,
        rationale=rationale,
        metadata={key: str(each) for key, each in json.loads(metadata).items()} if metadata else None,
        overrides=overrides,
    )
    if kind == "feedback":
        assessment.feedback = Feedback(_raw(value), _error(error))
    elif kind == "expectation":
        is_scalar = value[:1] not in ("{", "[", "n")
        serialized = None if is_scalar else SerializedValue(JSON_FORMAT, value)
        assessment.expectation = Expectation(_raw(value) if is_scalar else msgspec.UNSET, serialized)
    else:
        assessment.issue = IssueReference(json.loads(value).get("issue_name") or "")
    return assessment


def _raw(text: str) -> msgspec.Raw:
    """Return stored JSON to embed in a response. Python writes NaN and Infinity, which are not JSON: then as texts."""
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=str))
    return msgspec.Raw(text.encode())


def _error(text: str | None) -> AssessmentError | None:
    if text is None:
        return None
    error = AssessmentError(**json.loads(text))
    if error.stack_trace and len(error.stack_trace) > STACK_TRACE_LIMIT:
        error.stack_trace = TRUNCATED + error.stack_trace[len(TRUNCATED) - STACK_TRACE_LIMIT :]
    return error
