"""The structs of traces on the wire and in the database, and the rules for what a trace may contain."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from railtrack.api.assessments.schemas import Assessment
from railtrack.errors import ApiError, invalid, invalid_value, not_found, shown
from railtrack.mlflow.validation import check_length
from railtrack.tracing.attribute_keys import (
    COST_KEYS,
    COST_METADATA,
    NAME_TAG,
    SESSION_METADATA,
    TOKEN_KEYS,
    TOKEN_USAGE_METADATA,
)
from railtrack.tracing.values import TAG_VALUE_LIMIT, check_session_id, finite, storable, whole

TRACE_ID_LIMIT = 50
CLIENT_REQUEST_ID_LIMIT = 50
KEY_LIMIT = 250
METADATA_SHOWN_LIMIT = 250
"""Characters of the keys and values of metadata that responses contain. More may be stored, as in MLflow."""
TEXTS_LIMIT = 1000
"""Tags, and entries of metadata, of one trace."""
TRACE_IDS_LIMIT = 1000
"""Ids of one request."""

STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
"""In protobuf's order, from 0."""
UNSPECIFIED_V2 = "TRACE_STATUS_UNSPECIFIED"
PROMOTED_METADATA = (SESSION_METADATA, TOKEN_USAGE_METADATA, COST_METADATA)
"""Metadata that is stored in columns of trace_info."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)


class ExperimentLocation(msgspec.Struct):
    experiment_id: str = ""


class TraceLocation(msgspec.Struct, omit_defaults=True):
    type: str = ""
    mlflow_experiment: ExperimentLocation | None = None


class TraceInfo(msgspec.Struct, omit_defaults=True):
    """A trace without its spans. Times are in protobuf's JSON form."""

    trace_id: str
    trace_location: TraceLocation
    request_time: str
    state: str
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    execution_duration: str | None = None
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[Assessment] = []


class TraceWithInfo(msgspec.Struct):
    trace_info: TraceInfo


class TraceInfoResponse(msgspec.Struct):
    trace: TraceWithInfo


class TraceRecord(msgspec.Struct):
    """A row of trace_info."""

    request_id: str
    experiment_id: int
    timestamp_ms: int
    execution_time_ms: int | None = None
    status: str = STATES[0]
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    db_payload_generation: int = 0
    trace_name: str | None = None
    session_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation_input_tokens_above_1hr: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    total_cost: float | None = None

    @property
    def token_usage(self) -> dict[str, int]:
        return {key: value for key in TOKEN_KEYS if (value := getattr(self, key)) is not None}

    @property
    def cost(self) -> dict[str, float]:
        return {key: value for key in COST_KEYS if (value := getattr(self, key)) is not None}

    def set_metadata(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Set the columns of promoted metadata. Return the rest."""
        if (session_id := metadata.get(SESSION_METADATA)) is not None:
            check_session_id(session_id)
            self.session_id = session_id
        for key, columns, convert in (
            (TOKEN_USAGE_METADATA, TOKEN_KEYS, whole),
            (COST_METADATA, COST_KEYS, finite),
        ):
            if key in metadata:
                values = _json_object(metadata[key])
                for column in columns:
                    if column in values:
                        setattr(self, column, convert(values[column]))
        return {key: value for key, value in metadata.items() if key not in PROMOTED_METADATA}


RECORD_FIELDS = TraceRecord.__struct_fields__
RECORD_COLUMNS = ", ".join(f"trace_info.{name}" for name in RECORD_FIELDS)


class TraceTexts(NamedTuple):
    """Tags and metadata of a trace, as they are stored."""

    tags: dict[str, str]
    metadata: dict[str, str]


def trace_info(record: TraceRecord, texts: TraceTexts, assessments: list[Assessment]) -> TraceInfo:
    tags = {key[:KEY_LIMIT]: value[:TAG_VALUE_LIMIT] for key, value in texts.tags.items() if key != NAME_TAG}
    if record.trace_name is not None:
        tags[NAME_TAG] = record.trace_name
    return TraceInfo(
        record.request_id,
        TraceLocation("MLFLOW_EXPERIMENT", ExperimentLocation(str(record.experiment_id))),
        timestamp_text(record.timestamp_ms),
        record.status,
        record.client_request_id,
        record.request_preview,
        record.response_preview,
        None if record.execution_time_ms is None else duration_text(record.execution_time_ms),
        all_metadata(record, texts),
        tags,
        assessments,
    )


def all_metadata(record: TraceRecord, texts: TraceTexts) -> dict[str, str]:
    """Return the metadata with what is stored in columns, as MLflow's clients expect it."""
    metadata = {
        key[:METADATA_SHOWN_LIMIT]: value[:METADATA_SHOWN_LIMIT]
        for key, value in texts.metadata.items()
        if key not in PROMOTED_METADATA
    }
    if record.session_id is not None:
        metadata[SESSION_METADATA] = record.session_id
    if usage := record.token_usage:
        metadata[TOKEN_USAGE_METADATA] = json.dumps(usage)[:METADATA_SHOWN_LIMIT]
    if cost := record.cost:
        metadata[COST_METADATA] = json.dumps(cost)[:METADATA_SHOWN_LIMIT]
    return metadata


class KeyValue(msgspec.Struct):
    key: str = ""
    value: str = ""


class TraceInfoV2(msgspec.Struct):
    """The info of a trace as clients before 3.0 read it."""

    request_id: str
    experiment_id: str
    timestamp_ms: int
    execution_time_ms: int
    status: str
    request_metadata: list[KeyValue]
    tags: list[KeyValue]


class TraceInfoV2Response(msgspec.Struct):
    trace_info: TraceInfoV2


def trace_info_v2(record: TraceRecord, texts: TraceTexts) -> TraceInfoV2:
    info = trace_info(record, texts, [])
    return TraceInfoV2(
        info.trace_id,
        str(record.experiment_id),
        record.timestamp_ms,
        record.execution_time_ms or 0,
        UNSPECIFIED_V2 if record.status == STATES[0] else record.status,
        [KeyValue(*item) for item in info.trace_metadata.items()],
        [KeyValue(*item) for item in info.tags.items()],
    )


def timestamp_text(milliseconds: int) -> str:
    """Return the time as RFC 3339, with the fraction of a second only if there is one."""
    seconds, rest = divmod(milliseconds, 1000)
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:  # not written by this server or a client
        return "1970-01-01T00:00:00Z"
    year, _, after = text.partition("-")
    fraction = f".{rest:03}" if rest else ""
    return f"{year.zfill(4)}-{after}{fraction}Z"


def duration_text(milliseconds: int) -> str:
    sign = "-" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{sign}{seconds}.{rest:03}s" if rest else f"{sign}{seconds}s"


def timestamp_ms(text: str, field: str) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 timestamp. Raise INVALID_PARAMETER_VALUE."""
    match = _TIMESTAMP.fullmatch(text)
    if match:
        base, fraction, zone = match.groups()
        try:
            time = datetime.fromisoformat(base + zone.replace("Z", "+00:00"))
            seconds = (time - _EPOCH) // timedelta(seconds=1)
        except (ValueError, OverflowError):
            pass
        else:
            return seconds * 1000 + int((fraction or "").ljust(3, "0")[:3])
    raise invalid_value(field, text)


def duration_ms(text: str, field: str) -> int:
    """Return the milliseconds of a duration in protobuf's JSON form: "1.5s". Raise INVALID_PARAMETER_VALUE."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise invalid_value(field, text)
    sign, seconds, fraction = match.groups()
    milliseconds = int(seconds) * 1000 + int((fraction or "").ljust(3, "0")[:3])
    return -milliseconds if sign else milliseconds


def check_new_trace_id(trace_id: str) -> None:
    """Raise unless the id can be a folder's name: it becomes part of the trace's artifact location."""
    if not trace_id or trace_id.rstrip(" .") != trace_id or "/" in trace_id:
        raise invalid(
            f"Invalid value {shown(trace_id)} for parameter 'trace_id' supplied: must be a single path component"
        )
    if any(character in "%?#\\" or ord(character) < 32 or ord(character) == 127 for character in trace_id):
        raise invalid(
            f"Invalid value {shown(trace_id)} for parameter 'trace_id' supplied: must not contain '%', '?', '#' or "
            "control characters"
        )
    check_length("trace_id", trace_id, TRACE_ID_LIMIT)


def check_trace_ids(trace_ids: list[str]) -> list[str]:
    """Return the ids without repetitions, in their order. Raise if there are too many."""
    if len(trace_ids) > TRACE_IDS_LIMIT:
        raise invalid(f"A request can name at most {TRACE_IDS_LIMIT} traces. Got {len(trace_ids)}.")
    return list(dict.fromkeys(trace_ids))


def stored_texts(values: Mapping[str, str], field: str) -> dict[str, str]:
    """Return tags or metadata as they are stored. Raise if there are too many, or if a key is too long."""
    if len(values) > TEXTS_LIMIT:
        raise invalid(f"A trace can have at most {TEXTS_LIMIT} {field}. Got {len(values)}.")
    for key in values:
        check_length(f"{field}.key", key, KEY_LIMIT)
    return {storable(key): storable(value)[:TAG_VALUE_LIMIT] for key, value in values.items()}


def no_such_trace(trace_id: str) -> ApiError:
    return not_found(f"Trace with ID '{trace_id[:250]}' not found.")


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
