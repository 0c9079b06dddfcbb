"""Make trace exports, in protobuf and in JSON, from one description. Spans are dictionaries in OTLP's JSON form."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

PROTOBUF = "application/x-protobuf"
TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT = "b7ad6b7169203331"
START_NS = 1_796_093_422_411_594_764

Span = dict[str, Any]


def span(name: str = "root", attributes: Mapping[str, Any] | None = None, **fields: Any) -> Span:
    """Return a span of 1 s, the root of TRACE unless `fields` differ."""
    return {
        "traceId": TRACE,
        "spanId": ROOT,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 1_000_000_000),
        "attributes": pairs(attributes or {}),
        **fields,
    }


def pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"kvlistValue": {"values": pairs(value)}}


def export(*spans: Span, resource: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an export of one resource with these attributes."""
    return {
        "resourceSpans": [{"resource": {"attributes": pairs(resource or {})}, "scopeSpans": [{"spans": list(spans)}]}]
    }


def as_json(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode()


def as_protobuf(message: Mapping[str, Any]) -> bytes:
    """Encode an export by the field numbers of opentelemetry/proto."""
    return b"".join(
        _field(
            1,
            _field(1, _attributes(1, resource.get("resource", {})))
            + b"".join(
                _field(2, b"".join(_field(2, _span(one)) for one in scope.get("spans", ())))
                for scope in resource.get("scopeSpans", ())
            ),
        )
        for resource in message["resourceSpans"]
    )


def _span(one: Span) -> bytes:
    status = one.get("status", {})
    return (
        _field(1, bytes.fromhex(one["traceId"]))
        + _field(2, bytes.fromhex(one["spanId"]))
        + (_field(4, bytes.fromhex(one["parentSpanId"])) if one.get("parentSpanId") else b"")
        + _field(5, one["name"].encode())
        + _varint_field(6, one["kind"])
        + _fixed(7, int(one["startTimeUnixNano"]))
        + _fixed(8, int(one["endTimeUnixNano"]))
        + _attributes(9, one)
        + b"".join(
            _field(
                11,
                _fixed(1, int(event["timeUnixNano"])) + _field(2, event["name"].encode()) + _attributes(3, event),
            )
            for event in one.get("events", ())
        )
        + b"".join(
            _field(
                13,
                _field(1, bytes.fromhex(link["traceId"]))
                + _field(2, bytes.fromhex(link["spanId"]))
                + _attributes(4, link),
            )
            for link in one.get("links", ())
        )
        + _field(15, _field(2, status.get("message", "").encode()) + _varint_field(3, status.get("code", 0)))
    )


def _attributes(number: int, message: Mapping[str, Any]) -> bytes:
    return b"".join(_field(number, _pair(pair)) for pair in message.get("attributes", ()))


def _pair(pair: Mapping[str, Any]) -> bytes:
    return _field(1, pair["key"].encode()) + _field(2, _any_value(pair["value"]))


def _any_value(value: Mapping[str, Any]) -> bytes:
    for name, content in value.items():
        match name:
            case "stringValue":
                return _field(1, content.encode())
            case "boolValue":
                return _varint_field(2, int(content))
            case "intValue":
                return _varint_field(3, int(content) % 2**64)
            case "doubleValue":
                return _tag(4, 1) + struct.pack("<d", content)
            case "arrayValue":
                return _field(5, b"".join(_field(1, _any_value(item)) for item in content["values"]))
            case "kvlistValue":
                return _field(6, b"".join(_field(1, _pair(pair)) for pair in content["values"]))
    return b""


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(content)) + content


def _varint_field(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _fixed(number: int, value: int) -> bytes:
    return _tag(number, 1) + struct.pack("<Q", value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def nested(depth: int) -> Sequence[Any]:
    """Return a list in a list, and so on."""
    value: Sequence[Any] = []
    for _ in range(depth):
        value = [value]
    return value
