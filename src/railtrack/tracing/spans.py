"""Spans of an export as MLflow stores them, and what they add to their traces. Pure: no database, no HTTP."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from railtrack.errors import ApiError, invalid
from railtrack.mlflow.validation import check_tag_key
from railtrack.tracing.attribute_keys import (
    CONVERSATION_ID,
    COST,
    COST_KEYS,
    INPUTS,
    MODEL,
    MODEL_PROVIDER,
    NAME_TAG,
    OUTPUTS,
    REQUEST_ID,
    SESSION_ID,
    SPAN_TYPE,
    SYSTEM_TAGS,
    TOKEN_KEYS,
    TOKEN_USAGE,
    TRACE_TAG_PREFIX,
    USER_ID,
)
from railtrack.tracing.conventions import Events, dump, parsed
from railtrack.tracing.previews import preview
from railtrack.tracing.translate import translate
from railtrack.tracing.values import TAG_VALUE_LIMIT, check_session_id, check_trace_name, finite, storable, whole
from railtrack.wire.otlp.messages import Attributes, Span

KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
"""By OpenTelemetry's numbers; unspecified counts as internal."""
STATUSES = ("UNSET", "OK", "ERROR")
TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MODEL_LIMIT = 500
TYPE_LIMIT = 500
INT64_MAX = 2**63 - 1
KNOWN_AGENTS = frozenset(("claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"))
"""Services whose name becomes an attribute of their root spans."""
SKIPPED_RESOURCE_KEYS = ("telemetry.sdk.", "mlflow.")


class SpanRow(NamedTuple):
    """A row of `spans`, without the experiment."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    type: str | None
    status: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    content: str
    input_cost: float | None
    output_cost: float | None
    total_cost: float | None
    model_name: str | None
    model_provider: str | None


class Node(NamedTuple):
    """What a span adds to the sums of its trace: its token usage and its cost, or None."""

    span_id: str
    parent_span_id: str | None
    usage: Mapping[str, Any] | None
    cost: Mapping[str, Any] | None


class NewSpans(msgspec.Struct):
    """The spans of one export that belong to one trace, and what they add to it."""

    trace_id: str
    rows: list[SpanRow] = []
    nodes: list[Node] = []
    start_ms: int = INT64_MAX
    end_ms: int = 0
    root_status: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    tags: dict[str, str] = {}

    @property
    def has_root(self) -> bool:
        return self.root_status is not None


class InvalidSpan(ValueError):
    """A span has no ids, or ids that are too long."""


class SpanReader:
    """Collects the spans of one export by trace."""

    def __init__(self) -> None:
        self.traces: dict[str, NewSpans] = {}
        self.size = 0
        """Characters of what will be stored."""

    def add(self, span: Span, resource: Attributes) -> None:
        """Add one span of a resource with these attributes."""
        trace_id, span_id, parent_id = _ids(span)
        attributes = {key: encoded(value) for key, value in span.attributes}
        attributes[REQUEST_ID] = json.dumps(trace_id)
        if parent_id is None:
            if (service := known_service(resource)) is not None:
                attributes["service.name"] = json.dumps(service)
            for key in SYSTEM_TAGS:
                attributes.pop(TRACE_TAG_PREFIX + key, None)
        own_type = parsed(attributes.get(SPAN_TYPE))
        events: Events = [
            {"name": event.name, "time_unix_nano": event.time_unix_nano, "attributes": dict(event.attributes)}
            for event in span.events
        ]
        translate(attributes, events)
        status = STATUSES[span.status_code] if span.status_code in (1, 2) else "UNSET"
        content = _json(
            {
                "trace_id": _base64(span.trace_id, TRACE_ID_BYTES),
                "span_id": _base64(span.span_id, SPAN_ID_BYTES),
                "parent_span_id": None if parent_id is None else _base64(span.parent_span_id, SPAN_ID_BYTES),
                "name": span.name,
                "kind": f"SPAN_KIND_{KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0]}",
                "start_time_unix_nano": span.start_time_unix_nano,
                "end_time_unix_nano": span.end_time_unix_nano,
                "events": events,
                "status": {
                    "code": f"STATUS_CODE_{status}",
                    "message": span.status_message if status == "ERROR" else "",
                },
                "attributes": attributes,
                "links": [
                    {
                        "trace_id": f"tr-{_hex(link.trace_id, TRACE_ID_BYTES)}",
                        "span_id": _hex(link.span_id, SPAN_ID_BYTES),
                        "attributes": dict(link.attributes) or None,
                    }
                    for link in span.links
                ],
            }
        )
        usage, cost = _object(attributes, TOKEN_USAGE), _object(attributes, COST)
        costs = [finite((cost or {}).get(key)) for key in COST_KEYS]
        row = SpanRow(
            trace_id,
            span_id,
            parent_id,
            storable(span.name),
            _limited(own_type, TYPE_LIMIT),
            status,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            content,
            costs[0],
            costs[1],
            costs[2],
            _limited(parsed(attributes.get(MODEL)), MODEL_LIMIT),
            _limited(parsed(attributes.get(MODEL_PROVIDER)), MODEL_LIMIT),
        )
        new = self.traces.get(trace_id)
        if new is None:
            new = self.traces[trace_id] = NewSpans(trace_id)
            new.tags = _resource_tags(resource)
        self.size += len(content)
        new.rows.append(row)
        new.nodes.append(Node(span_id, parent_id, usage, cost))
        new.start_ms = min(new.start_ms, span.start_time_unix_nano // 1_000_000)
        new.end_ms = max(new.end_ms, span.end_time_unix_nano // 1_000_000)
        if new.session_id is None and (session := attributes.get(SESSION_ID) or attributes.get(CONVERSATION_ID)):
            session_id = parsed(session)
            new.session_id = session_id if session_id is None else storable(_text(session_id))
            check_session_id(new.session_id)
        if new.user_id is None and (user := attributes.get(USER_ID)):
            user_id = parsed(user)
            new.user_id = storable(_text(user_id))[:TAG_VALUE_LIMIT] if user_id else None
        if parent_id is None:
            self._add_root(new, attributes, status)

    @staticmethod
    def _add_root(new: NewSpans, attributes: Mapping[str, str], status: str) -> None:
        if new.root_status is None:
            new.root_status = "ERROR" if status == "ERROR" else "OK"
        new.request_preview = preview(attributes.get(INPUTS), role="user")
        new.response_preview = preview(attributes.get(OUTPUTS), role="assistant")
        for key, value in attributes.items():
            if key.startswith(TRACE_TAG_PREFIX):
                tag, text = key.removeprefix(TRACE_TAG_PREFIX), storable(_text(parsed(value)))
                if not _is_tag_key(tag):
                    continue
                if tag == NAME_TAG:
                    check_trace_name(text)
                    new.name = text
                else:
                    new.tags[tag] = text[:TAG_VALUE_LIMIT]


def encoded(value: Any) -> str:
    """Return an attribute's value as JSON text. A string that is JSON of a text, list or object stays as it is.

    MLflow's clients send values that they have encoded themselves.
    """
    if isinstance(value, str):
        if value.lstrip(" \t\r\n")[:1] in ('"', "{", "["):
            try:
                json.loads(value)
            except (ValueError, RecursionError):
                pass
            else:
                return value
        return json.dumps(value, ensure_ascii=False)
    return dump(value)


def known_service(resource: Attributes) -> str | None:
    for key, value in resource:
        if key == "service.name":
            return str(value) if str(value) in KNOWN_AGENTS else None
    return None


def _resource_tags(resource: Attributes) -> dict[str, str]:
    """Return the attributes of the resource that become tags of its traces."""
    return {
        key: storable(value if isinstance(value, str) else dump(value))[:TAG_VALUE_LIMIT]
        for key, value in resource
        if not key.startswith(SKIPPED_RESOURCE_KEYS) and _is_tag_key(key)
    }


def _is_tag_key(key: str) -> bool:
    try:
        check_tag_key(key, "key")
    except ApiError:
        return False
    return "\0" not in key


def _ids(span: Span) -> tuple[str, str, str | None]:
    if not span.trace_id or not span.span_id:
        raise InvalidSpan("Cannot convert OpenTelemetry span to MLflow span")
    parent_id = _hex(span.parent_span_id, SPAN_ID_BYTES)
    return (
        f"tr-{_hex(span.trace_id, TRACE_ID_BYTES)}",
        _hex(span.span_id, SPAN_ID_BYTES),
        parent_id if any(span.parent_span_id) else None,
    )


def _hex(value: bytes, length: int) -> str:
    """Return the id as hexadecimal digits. A shorter one gets leading zeros, as in MLflow."""
    significant = value.lstrip(b"\0")
    if len(significant) > length:
        raise InvalidSpan("Failed to log OpenTelemetry spans")
    return significant.rjust(length, b"\0").hex()


def _base64(value: bytes, length: int) -> str:
    return base64.b64encode(value.lstrip(b"\0").rjust(length, b"\0")).decode()


def _json(content: dict[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=False, default=str)
    if len(text) >= CONTENT_LIMIT:
        raise invalid(f"A span has {len(text)} characters, more than {CONTENT_LIMIT}.")
    return text


CONTENT_LIMIT = 64 * 1024 * 1024
"""Characters of a span. The limit of the body, doubled for escapes, is below it in practice."""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _limited(value: Any, limit: int) -> str | None:
    return storable(value)[:limit] if isinstance(value, str) else None


def _object(attributes: Mapping[str, str], key: str) -> Mapping[str, Any] | None:
    value = parsed(attributes.get(key))
    return value if isinstance(value, dict) else None


def sums(nodes: Iterable[Node]) -> tuple[dict[str, int], dict[str, float]]:
    """Return token usage and cost of a trace. A span that has its own stands for its descendants."""
    nodes = list({node.span_id: node for node in nodes}.values())
    usage: dict[str, int] = {}
    for node in _topmost(nodes, [node.usage for node in nodes]):
        values = nodes[node].usage or {}
        for key in TOKEN_KEYS:
            if key in values or key in TOKEN_KEYS[:3]:
                usage[key] = usage.get(key, 0) + (whole(values.get(key)) or 0)
    cost: dict[str, float] = {}
    for node in _topmost(nodes, [node.cost for node in nodes]):
        values = nodes[node].cost or {}
        for key in COST_KEYS:
            cost[key] = cost.get(key, 0.0) + (finite(values.get(key)) or 0.0)
    return usage, cost


def _topmost(nodes: Sequence[Node], data: Sequence[Mapping[str, Any] | None]) -> list[int]:
    """Return the indexes of the nodes with data, but without an ancestor that has some."""
    index = {node.span_id: at for at, node in enumerate(nodes)}
    covered: list[bool | None] = [None] * len(nodes)
    """Whether the node or an ancestor has data."""
    topmost = []
    for at in range(len(nodes)):
        path = []
        current: int | None = at
        on_path: set[int] = set()
        while current is not None and covered[current] is None and current not in on_path:
            path.append(current)
            on_path.add(current)
            parent = nodes[current].parent_span_id
            current = index.get(parent) if parent else None
        above = bool(covered[current]) if current is not None and covered[current] is not None else False
        for step in reversed(path):
            if data[step] is not None and not above:
                topmost.append(step)
            above = covered[step] = above or data[step] is not None
    return topmost
