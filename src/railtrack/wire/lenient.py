"""The JSON rules of protobuf, as MLflow applies them, for what strict decoding refused; and its complaints.

null is absent, int64 may be a decimal string, doubles may be numeric strings, "NaN" or "Infinity", enums may be
numbers, unknown fields are ignored. The rules are compiled from a struct's annotations on first use.
"""

import json
import math
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
Rule = Callable[[Any], Any]


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
    if not isinstance(found, dict):
        raise invalid(f"The request body must be a JSON object, not a {type(found).__name__}. {SEE_DOCS}")
    return found


def refuse_nul(value: Any) -> None:
    """Raise when a string anywhere in `value` holds a NUL, which PostgreSQL's text cannot store."""
    match value:
        case str():
            if "\0" in value:
                raise invalid("A value of the request contains a NUL character (\\u0000), which cannot be stored.")
        case list():
            for one in value:
                refuse_nul(one)
        case dict():
            for key, one in value.items():
                refuse_nul(key)
                refuse_nul(one)


def convert(data: Mapping[str, Any], struct: type[T]) -> T:
    """The struct from decoded JSON. Raises MLflow's complaint about the first wrong field, in the struct's order."""
    return cast(T, _struct_rule(struct)(data, False))


def convert_query(query: Mapping[str, list[str]], struct: type[T]) -> T:
    """The struct from a query string: lists by repetition, everything else by its last value."""
    return cast(T, _struct_rule(struct)(query, True))


@cache
def _struct_rule(struct: type[msgspec.Struct]) -> Callable[[Mapping[str, Any], bool], msgspec.Struct]:
    names: dict[str, list[str]] = {}
    for other, field in getattr(struct, "ALIASES", {}).items():
        names.setdefault(field, []).append(other)
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    fields = [
        (field.name, [field.encode_name, *names.get(field.name, [])], field.required, _plain(field.type))
        for field in described.fields
    ]
    rules = [_rule(kind) for *_, kind in fields]

    def build(data: Mapping[str, Any], from_query: bool) -> msgspec.Struct:
        values: dict[str, Any] = {}
        for (field, wire_names, required, kind), rule in zip(fields, rules, strict=True):
            value = next((data[name] for name in wire_names if data.get(name) is not None), None)
            if from_query and value is not None:
                value = _from_text(value, kind)
            if value is None or (required and value == "" and isinstance(kind, inspect.StrType)):
                if required:
                    raise missing(wire_names[0])
                continue
            try:
                values[field] = rule(value)
            except _Mismatch:
                raise invalid_value(wire_names[0], value) from None
        return struct(**values)

    return build


def _plain(kind: inspect.Type) -> inspect.Type:
    """`T | None` without the None: null is absence, and absence is the default."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    return kind


def _rule(kind: inspect.Type) -> Rule:
    match kind:
        case inspect.StrType():
            return _text
        case inspect.IntType(ge=ge):
            return _int32 if ge == INT32.start else _int64
        case inspect.FloatType():
            return _double
        case inspect.BoolType():
            return _bool
        case inspect.EnumType(cls=cls):
            return lambda value: _enum(cls, value)
        case inspect.ListType(item_type=item):
            return _list_rule(_rule(_plain(item)))
        case inspect.StructType(cls=cls):
            return lambda value: _nested(cls, value)
        case inspect.DictType(value_type=item):
            return _map_rule(_rule(_plain(item)))
        case inspect.AnyType():
            return lambda value: value
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
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _Mismatch
    if isinstance(value, str):
        return _double_from_text(value)
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch from None


def _double_from_text(text: str) -> float:
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(text)
    if special is not None:
        return special
    if len(text) > DIGITS_LIMIT or not text.isascii() or not any(char.isdigit() for char in text) or "_" in text:
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
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(cls):
        return list(cls)[value - 1]
    raise _Mismatch


def _list_rule(item: Rule) -> Rule:
    def rule(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _Mismatch
        return [item(one) for one in value]

    return rule


def _map_rule(item: Rule) -> Rule:
    def rule(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Mismatch
        return {_text(key): item(one) for key, one in value.items()}

    return rule


def _nested(cls: type[msgspec.Struct], value: Any) -> msgspec.Struct:
    if not isinstance(value, dict):
        raise _Mismatch
    return _struct_rule(cls)(value, False)


def _from_text(values: list[str], kind: inspect.Type) -> Any:
    """Query values in the shape their field's rule expects."""
    if isinstance(kind, inspect.ListType):
        return [_from_text([one], _plain(kind.item_type)) for one in values]
    value = values[-1]
    if isinstance(kind, inspect.BoolType):
        return {"true": True, "false": False}.get(value.lower(), value)
    if isinstance(kind, inspect.EnumType) and value.isdecimal():
        return int(value[:DIGITS_LIMIT])
    return value
