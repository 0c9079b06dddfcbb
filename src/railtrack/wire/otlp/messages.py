"""The message of a trace export, as far as MLflow stores it, and the limits of decoding it."""

from typing import Any, NamedTuple

Attributes = list[tuple[str, Any]]
"""Values are JSON values, or bytes. A key may occur several times."""

DEPTH_LIMIT = 100
"""Nested lists and maps of an attribute's value, as in protobuf's own parsers."""
VALUES_LIMIT = 500_000
"""Fields of one export. An export of 512 spans with 40 attributes each, the SDK's largest, has about 100,000."""


class InvalidOtlp(ValueError):
    """The body is not a trace export, or exceeds a limit."""


class SpanEvent(NamedTuple):
    name: str
    time_unix_nano: int
    attributes: Attributes


class SpanLink(NamedTuple):
    trace_id: bytes
    span_id: bytes
    attributes: Attributes


class Span(NamedTuple):
    """`kind` and `status_code` are the numbers of OpenTelemetry's enums; 0 is unset."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Attributes
    events: list[SpanEvent]
    links: list[SpanLink]
    status_code: int
    status_message: str


class ResourceSpans(NamedTuple):
    """The spans of one resource, such as a service. `spans` are encoded: decode_span reads them one at a time."""

    attributes: Attributes
    spans: list[Any]
