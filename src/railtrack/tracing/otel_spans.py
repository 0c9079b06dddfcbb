"""Stored spans in the form of OpenTelemetry's protobuf as JSON, in which MLflow's clients read them."""

import base64
import json
from typing import Any

import msgspec

INT64 = range(-(2**63), 2**63)
DEPTH_LIMIT = 200
"""Nested lists and objects of an attribute. What is deeper is returned as its JSON text."""

_decode = msgspec.json.Decoder().decode


def otel_span(content: str) -> dict[str, Any]:
    """Return the span of a stored text. Its absent and empty fields are omitted, as protobuf does."""
    stored = parsed(content)
    span: dict[str, Any] = {"trace_id": stored.get("trace_id", ""), "span_id": stored.get("span_id", "")}
    if parent := stored.get("parent_span_id"):
        span["parent_span_id"] = parent
    if name := stored.get("name"):
        span["name"] = name
    span["kind"] = stored.get("kind") or "SPAN_KIND_INTERNAL"
    for key in ("start_time_unix_nano", "end_time_unix_nano"):
        if value := stored.get(key):
            span[key] = value
    if attributes := stored.get("attributes"):
        span["attributes"] = [{"key": key, **_value_of(parsed(value))} for key, value in attributes.items()]
    if events := stored.get("events"):
        span["events"] = [_event(event) for event in events]
    if links := stored.get("links"):
        span["links"] = [_link(link) for link in links]
    status = stored.get("status") or {}
    code = status.get("code") or "STATUS_CODE_UNSET"
    shown = {"message": status["message"]} if status.get("message") else {}
    span["status"] = shown | ({"code": code} if code != "STATUS_CODE_UNSET" else {})
    return span


def parsed(text: Any) -> Any:
    """Return the value of a JSON text, and anything else as it is. Python's NaN is accepted, as in MLflow."""
    if not isinstance(text, str):
        return text
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _lenient(text)


def _lenient(text: str) -> Any:
    """Parse with Python's rules: NaN is valid. Halves of surrogate pairs, which no response can contain, become "?"."""
    try:
        value = json.loads(text)
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return text


def _event(event: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"time_unix_nano": event.get("time_unix_nano") or 0, "name": event.get("name", "")}
    if attributes := event.get("attributes"):
        shown["attributes"] = [{"key": key, **_value_of(value)} for key, value in attributes.items()]
    return shown


def _link(link: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key in ("trace_id", "span_id"):
        try:
            value = bytes.fromhex(str(link.get(key, "")).rpartition("/")[2].removeprefix("tr-"))
        except ValueError:
            value = b""
        shown[key] = base64.b64encode(value).decode()
    if attributes := link.get("attributes"):
        shown["attributes"] = [{"key": key, **_value_of(value)} for key, value in attributes.items()]
    return shown


def _value_of(value: Any) -> dict[str, Any]:
    """Return the member `value` of a KeyValue: none for null."""
    return {} if value is None else {"value": _any_value(value, 0)}


def _any_value(value: Any, depth: int) -> dict[str, Any]:
    match value:
        case str():
            return {"string_value": value}
        case bool():
            return {"bool_value": value}
        case int():
            return {"int_value": value} if value in INT64 else {"string_value": str(value)}
        case float():
            return {"double_value": _double(value)}
    if depth > DEPTH_LIMIT:
        return {"string_value": msgspec.json.encode(value).decode()}
    if isinstance(value, list):
        items = [{} if item is None else _any_value(item, depth + 1) for item in value]
        return {"array_value": {"values": items} if items else {}}
    if isinstance(value, dict):
        pairs = [
            {"key": key, **({} if item is None else {"value": _any_value(item, depth + 1)})}
            for key, item in value.items()
        ]
        return {"kvlist_value": {"values": pairs} if pairs else {}}
    return {}


def _double(value: float) -> float | str:
    """Return the number as protobuf writes it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
