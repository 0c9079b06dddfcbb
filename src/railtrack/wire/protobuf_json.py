"""The JSON rules of protobuf, as MLflow applies them, for what strict decoding refused; and its complaints.

null is absent, int64 may be a decimal string, doubles may be numeric strings, "NaN" or "Infinity", enums may be
numbers, unknown fields are ignored. The rules are compiled from a struct's annotations on first use.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from railtrack.errors import SEE_DOCS, invalid, invalid_value, missing

INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)
DIGITS_LIMIT = 400
"""Longest text taken for a number; a double in plain decimals has at most 309 digits before the point."""
DEPTH_LIMIT = 100
"""Nested arrays and objects; protobuf's own limit."""

T = TypeVar("T", bound=msgspec.Struct)
Rule = Callable[[Any, str], Any]
"""From a JSON value and its place in the request (`metrics[0].key`) to the field's value."""


class _Mismatch(Exception):
    """The value is not of the field's type."""


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object. Takes Python's bare NaN and Infinity too."""
    if not body:
        return {}
    try:
        found = json.loads(body)
    except RecursionError:
        raise invalid(f"The request body is nested deeper than {DEPTH_LIMIT} levels.") from None
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None
    if isinstance(found, str):
        # Some old clients send their JSON encoded twice; MLflow decodes it again.
        return json_object(found.encode("utf-8", "surrogatepass"))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise invalid(f"The request body must be a JSON object, not a {type(found).__name__}. {SEE_DOCS}")
    return found


def reject_nul(value: Any) -> None:
    """Raise when a string anywhere in `value` holds a NUL, which PostgreSQL's text cannot store."""
    match value:
        case str():
            if "\0" in value:
                raise invalid("A value of the request contains a NUL character (\\u0000), which cannot be stored.")
        case list():
            for one in value:
                reject_nul(one)
        case dict():
            for key, one in value.items():
                reject_nul(key)
                reject_nul(one)


def convert(data: Mapping[str, Any], struct: type[T]) -> T:
    """The struct from decoded JSON. Raises MLflow's complaint about the first wrong field, in the struct's order."""
    return cast(T, _struct_rule(struct)(data, ""))


def convert_query(query: Mapping[str, list[str]], struct: type[T]) -> T:
    """The struct from a query string: lists by repetition, everything else by its first value."""
    kinds = {name: kind for _, names, _, kind in _fields(struct) for name in names}
    return convert({name: _from_text(query[name], kind) for name, kind in kinds.items() if name in query}, struct)


@cache
def _fields(struct: type[msgspec.Struct]) -> list[tuple[str, list[str], bool, inspect.Type]]:
    """A struct's fields in order: name, wire names (the first is the one complaints use), required, type."""
    names: dict[str, list[str]] = {}
    for other, field in getattr(struct, "ALIASES", {}).items():
        names.setdefault(field, []).append(other)
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    return [
        (field.name, [field.encode_name, *names.get(field.name, [])], field.required, _plain(field.type))
        for field in described.fields
    ]


@cache
def _struct_rule(struct: type[msgspec.Struct]) -> Rule:
    fields = [(name, wire, required, _rule(kind)) for name, wire, required, kind in _fields(struct)]

    def build(data: Any, place: str) -> msgspec.Struct:
        if not isinstance(data, Mapping):
            raise _Mismatch
        values: dict[str, Any] = {}
        for name, wire_names, required, rule in fields:
            value = next((data[wire] for wire in wire_names if data.get(wire) is not None), None)
            here = f"{place}.{wire_names[0]}" if place else wire_names[0]
            if value is None or (required and value == ""):
                if required:
                    raise missing(here)
                continue
            try:
                values[name] = rule(value, here)
            except _Mismatch:
                raise invalid_value(here, value) from None
        return struct(**values)

    return build


def _plain(kind: inspect.Type) -> inspect.Type:
    """`T | None` without the None: null is absence, and absence is the default."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return kind


def _rule(kind: inspect.Type) -> Rule:
    match kind:
        case inspect.ListType(item_type=item):
            return _list_rule(_rule(_plain(item)))
        case inspect.StructType(cls=cls):
            return lambda value, place: _struct_rule(cls)(value, place)
        case inspect.DictType(value_type=item):
            return _map_rule(_rule(_plain(item)))
    scalar = _scalar(kind)
    return lambda value, place: scalar(value)


def _scalar(kind: inspect.Type) -> Callable[[Any], Any]:
    match kind:
        case inspect.StrType():
            return _text
        case inspect.IntType(ge=ge) if ge == INT32.start:
            return _int32
        case inspect.IntType():
            return _int64
        case inspect.FloatType():
            return _double
        case inspect.BoolType():
            return _bool
        case inspect.EnumType(cls=cls):
            return lambda value: _enum(cls, value)
        case inspect.AnyType():
            return _any
    raise TypeError(f"no JSON rule for {kind}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mismatch
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # a lone surrogate, which JSON's \u escapes can express and UTF-8 cannot
            raise _Mismatch from None
    return value


def _any(value: Any) -> Any:
    match value:
        case str():
            _text(value)
        case list():
            for item in value:
                _any(item)
        case dict():
            for key, item in value.items():
                _text(key)
                _any(item)
    return value


def _int64(value: Any) -> int:
    return _integer(value, INT64)


def _int32(value: Any) -> int:
    return _integer(value, INT32)


def _integer(value: Any, bounds: range) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _Mismatch
    if isinstance(value, str) and (len(value) > DIGITS_LIMIT or not value.isascii() or value != value.strip()):
        raise _Mismatch
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _Mismatch from None
    if number not in bounds or (isinstance(value, float) and number != value):
        raise _Mismatch
    return number


def _double(value: Any) -> float:
    if isinstance(value, str):
        return _double_from_text(value)
    if not isinstance(value, (int, float)):  # true is 1.0 to protobuf, and here
        raise _Mismatch
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch from None


def _double_from_text(text: str) -> float:
    """Protobuf's words NaN and Infinity, and what else Python reads as a number but for its 1_000."""
    if len(text) > DIGITS_LIMIT or not text.isascii() or "_" in text:
        raise _Mismatch
    try:
        return float(text)
    except ValueError:
        raise _Mismatch from None


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Mismatch
    return value


def _enum(cls: type[Enum], value: Any) -> Enum:
    """By name, or by protobuf's number: our enums list their members in its order, from 1."""
    if isinstance(value, str) and value in cls.__members__:
        return cls[value]
    number = _integer(value, INT32)
    if 1 <= number <= len(cls):
        return list(cls)[number - 1]
    raise _Mismatch


def _list_rule(item: Rule) -> Rule:
    def rule(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise _Mismatch
        return [item(one, f"{place}[{index}]") for index, one in enumerate(value)]

    return rule


def _map_rule(item: Rule) -> Rule:
    def rule(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Mismatch
        return {_text(key): item(one, f"{place}.{key}") for key, one in value.items()}

    return rule


def _from_text(values: list[str], kind: inspect.Type) -> Any:
    """Query values in the shape their field's rule expects."""
    if isinstance(kind, inspect.ListType):
        return [_from_text([one], _plain(kind.item_type)) for one in values]
    value = values[0]
    if isinstance(kind, inspect.BoolType):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
