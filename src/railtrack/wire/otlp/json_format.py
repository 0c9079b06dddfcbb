"""Decode a trace export in OTLP's JSON: names in camel case or as in protobuf, long integers as strings, ids in hex."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from railtrack.wire.json_limits import JsonLimitError, check_json_limits
from railtrack.wire.otlp.messages import VALUES_LIMIT, Attributes, InvalidOtlp, ResourceSpans, Span, SpanEvent, SpanLink

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)
_DIGITS = re.compile(r"-?\d{1,20}", re.ASCII)

Object = dict[str, Any]


class JsonDecoder:
    """Decodes one export. First export(), then span() for each of its spans."""

    def __init__(self, body: bytes) -> None:
        try:
            check_json_limits(body, values_limit=VALUES_LIMIT)
            body.decode()
            value = json.loads(body)
        except JsonLimitError as error:
            raise InvalidOtlp(str(error)) from None
        except (ValueError, RecursionError):
            raise InvalidOtlp("The body is not valid JSON.") from None
        if not isinstance(value, dict):
            raise InvalidOtlp("The body is not a JSON object.")
        self._export = value

    def export(self) -> list[ResourceSpans]:
        """Return the resources with their spans still undecoded."""
        return [
            ResourceSpans(
                _attributes(_member(resource, "resource")),
                [span for scope in _list(resource, "scopeSpans") for span in _list(scope, "spans")],
            )
            for resource in _list(self._export, "resourceSpans")
        ]

    def span(self, undecoded: Object) -> Span:
        status = _member(undecoded, "status")
        return Span(
            _id(undecoded, "traceId"),
            _id(undecoded, "spanId"),
            _id(undecoded, "parentSpanId"),
            _text(undecoded, "name"),
            _enum(undecoded, "kind", KINDS, "SPAN_KIND_"),
            _integer(undecoded, "startTimeUnixNano", UINT64),
            _integer(undecoded, "endTimeUnixNano", UINT64),
            _attributes(undecoded),
            [
                SpanEvent(_text(event, "name"), _integer(event, "timeUnixNano", UINT64), _attributes(event))
                for event in _list(undecoded, "events")
            ],
            [
                SpanLink(_id(link, "traceId"), _id(link, "spanId"), _attributes(link))
                for link in _list(undecoded, "links")
            ],
            _enum(status, "code", STATUSES, "STATUS_CODE_"),
            _text(status, "message"),
        )


def _get(message: Object, name: str) -> Any:
    """Return a member by its name in camel case or as in protobuf. null means absent."""
    value = message.get(name)
    if value is None:
        value = message.get(re.sub("([A-Z])", r"_\1", name).lower())
    return value


def _list(message: Object, name: str) -> list[Object]:
    value = _get(message, name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidOtlp(f"{name} is not a list of objects.")
    return value


def _member(message: Object, name: str) -> Object:
    value = _get(message, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidOtlp(f"{name} is not an object.")
    return value


def _text(message: Object, name: str) -> str:
    value = _get(message, name)
    if value is None:
        return ""
    return _valid_text(value, name)


def _valid_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidOtlp(f"{name} is not a string.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # a lone surrogate
            raise InvalidOtlp(f"{name} is not valid Unicode.") from None
    return value


def _id(message: Object, name: str) -> bytes:
    try:
        return bytes.fromhex(_text(message, name))
    except ValueError:
        raise InvalidOtlp(f"{name} is not hexadecimal.") from None


def _integer(message: Object, name: str, bounds: range) -> int:
    value = _get(message, name)
    return 0 if value is None else _valid_integer(value, name, bounds)


def _valid_integer(value: Any, name: str, bounds: range) -> int:
    if (isinstance(value, str) and _DIGITS.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value not in bounds:
        raise InvalidOtlp(f"{name} is not an integer in its range.")
    return value


def _enum(message: Object, name: str, members: tuple[str, ...], prefix: str) -> int:
    value = _get(message, name)
    if isinstance(value, str) and value.removeprefix(prefix) in members:
        return members.index(value.removeprefix(prefix))
    return 0 if value is None else _valid_integer(value, name, range(-(2**31), 2**31))


def _attributes(message: Object) -> Attributes:
    return [_key_value(item) for item in _list(message, "attributes")]


def _key_value(item: Object) -> tuple[str, Any]:
    return _text(item, "key"), _any_value(_member(item, "value"))


def _any_value(value: Object) -> Any:
    for name, convert in _VALUES:
        if (found := _get(value, name)) is not None:
            return convert(found, name)
    return None


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidOtlp(f"{name} is not a boolean.")
    return value


def _number(value: Any, name: str) -> float:
    try:
        if isinstance(value, str) and len(value) > 400:
            raise ValueError
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidOtlp(f"{name} is not a number.")


def _base64(value: Any, name: str) -> bytes:
    text = _valid_text(value, name)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & set("-_") else None)
    except (binascii.Error, ValueError):
        raise InvalidOtlp(f"{name} is not base64.") from None


def _object(value: Any, name: str) -> Object:
    if not isinstance(value, dict):
        raise InvalidOtlp(f"{name} is not an object.")
    return value


_VALUES: tuple[tuple[str, Callable[[Any, str], Any]], ...] = (
    ("stringValue", _valid_text),
    ("boolValue", _boolean),
    ("intValue", lambda value, name: _valid_integer(value, name, INT64)),
    ("doubleValue", _number),
    ("arrayValue", lambda value, name: [_any_value(item) for item in _list(_object(value, name), "values")]),
    ("kvlistValue", lambda value, name: dict(map(_key_value, _list(_object(value, name), "values")))),
    ("bytesValue", _base64),
)
