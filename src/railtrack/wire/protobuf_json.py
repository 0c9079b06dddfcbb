"""Lenient decoding by protobuf's JSON rules, for requests that strict decoding rejects, and MLflow's error messages.

null means absent, an int64 may be a string with any notation of a whole number, a double a numeric string, "NaN" or
"Infinity", an enum its number. A name may be in camel case, and unknown fields are ignored. The rules are compiled from
a struct's annotations on first use.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, Self, TypeVar, cast

import msgspec
from msgspec import inspect

from railtrack.errors import SEE_DOCS, ApiError, invalid, invalid_value, missing
from railtrack.wire.json_limits import JsonLimitError, check_json_limits

INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)
DIGITS_LIMIT = 400
"""Longest string that is parsed as a number. A double in decimal notation has at most 309 digits before the point."""

T = TypeVar("T", bound=msgspec.Struct)
Rule = Callable[[Any], Any]
"""JSON value -> the field's value. Raises _Mismatch, or _InvalidField for a field inside of the value."""


class _Mismatch(Exception):
    """The value does not have the field's type."""


class _InvalidField(Exception):
    """A field of a struct is missing, or its value does not have its type.

    `path` (such as `metrics[0].key`) grows from the field outwards while the exception passes the rules. To build it
    beforehand for each value that is valid took half of the time.
    """

    def __init__(self, path: str, value: Any) -> None:
        """`value` is None if the field is missing."""
        super().__init__(path)
        self.path = path
        self._value = value

    def within(self, parent: str) -> Self:
        """Return the error with the path of the parent in front."""
        self.path = f"{parent}{self.path}" if self.path.startswith("[") else f"{parent}.{self.path}"
        return self

    def to_api_error(self) -> ApiError:
        return missing(self.path) if self._value is None else invalid_value(self.path, self._value)


def camel_to_snake(name: str) -> str:
    """Return the name of a protobuf field for a name in GraphQL."""
    return re.sub("([A-Z])", r"_\1", name).lower()


def json_object(body: bytes) -> dict[str, Any]:
    """Parse the body as a JSON object. An empty body is an empty object. Accept Python's NaN and Infinity."""
    if not body:
        return {}
    try:
        check_json_limits(body)
        value = json.loads(body)
    except JsonLimitError as error:
        raise invalid(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None
    if isinstance(value, str):
        # Some old clients encode their JSON twice. MLflow decodes it twice, too.
        return json_object(value.encode("utf-8", "surrogatepass"))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"The request body must be a JSON object, not a {type(value).__name__}. {SEE_DOCS}")
    return value


def reject_nul(value: Any) -> None:
    """Raise if a string anywhere in `value` contains a NUL, which PostgreSQL cannot store."""
    match value:
        case str():
            if "\0" in value:
                raise invalid("A value of the request contains a NUL character (\\u0000), which cannot be stored.")
        case list():
            for item in value:
                reject_nul(item)
        case dict():
            for key, item in value.items():
                reject_nul(key)
                reject_nul(item)


def convert(data: Mapping[str, Any], struct: type[T]) -> T:
    """Build the struct from decoded JSON. Raise MLflow's error for the first invalid field in the struct's order."""
    try:
        return cast(T, _struct_rule(struct)(data))
    except _InvalidField as error:
        raise error.to_api_error() from None


def convert_query(query: Mapping[str, list[str]], struct: type[T]) -> T:
    """Build the struct from a query string. Lists are repeated parameters; of others the first counts."""
    kinds = {name: field.kind for field in _fields(struct) for name in field.wire_names}
    return convert({name: _from_text(query[name], kind) for name, kind in kinds.items() if name in query}, struct)


def snake_to_camel(name: str) -> str:
    """Return the name that protobuf's JSON has for a field by default."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), name)


class _Field(NamedTuple):
    name: str
    wire_names: list[str]
    """Error messages use the first one."""
    is_required: bool
    kind: inspect.Type

    @property
    def json_names(self) -> list[str]:
        """Return the names in a JSON body, in which protobuf also accepts camel case."""
        return list(dict.fromkeys([*self.wire_names, *map(snake_to_camel, self.wire_names)]))


@cache
def _fields(struct: type[msgspec.Struct]) -> list[_Field]:
    aliases: dict[str, list[str]] = {}
    for alias, name in getattr(struct, "ALIASES", {}).items():
        aliases.setdefault(name, []).append(alias)
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return [
        _Field(
            field.name,
            [field.encode_name, *aliases.get(field.name, [])],
            field.required,
            _without_none(field.type),
        )
        for field in info.fields
    ]


class CamelCase:
    """Finds optional fields in camel case in a body, which strict decoding would ignore.

    Without a required field, strict decoding fails.
    """

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        names = sorted(_optional_camel_case_names(struct))
        self._pattern = re.compile(rf'"(?:{"|".join(names)})"\s*:'.encode())
        # Most bodies have none of these letters, and it takes a hundredth of the time to find that out.
        capitals = {next(filter(str.isupper, name)) for name in names}
        self._capitals = sorted(map(ord, capitals))  # Python finds a number in bytes ten times faster than b"A"

    def is_in(self, body: bytes) -> bool:
        for capital in self._capitals:
            if capital in body:
                return self._pattern.search(body) is not None
        return False


def _optional_camel_case_names(struct: type[msgspec.Struct]) -> set[str]:
    """Return those of the struct and of the structs in its fields."""
    names: set[str] = set()
    for field in _fields(struct):
        if not field.is_required:
            names.update(name for name in field.json_names if name not in field.wire_names)
        kind = field.kind
        while isinstance(kind, inspect.ListType | inspect.DictType):
            kind = _without_none(kind.item_type if isinstance(kind, inspect.ListType) else kind.value_type)
        if isinstance(kind, inspect.StructType):
            names |= _optional_camel_case_names(kind.cls)
    return names


@cache
def _struct_rule(struct: type[msgspec.Struct]) -> Rule:
    fields = [(field, field.json_names, _rule(field.kind)) for field in _fields(struct)]

    def build(data: Any) -> msgspec.Struct:
        if not isinstance(data, dict):
            raise _Mismatch
        values: dict[str, Any] = {}
        for (name, wire_names, is_required, _), json_names, rule in fields:
            for wire_name in json_names:
                value = data.get(wire_name)
                if value is not None:
                    break
            if value is None or (is_required and value == ""):
                if is_required:
                    raise _InvalidField(wire_names[0], None)
                continue
            try:
                values[name] = rule(value)
            except _Mismatch:
                raise _InvalidField(wire_names[0], value) from None
            except _InvalidField as error:
                raise error.within(wire_names[0]) from None
        return struct(**values)

    return build


def _without_none(kind: inspect.Type) -> inspect.Type:
    """Return T for `T | None`: null means absent, and then the field keeps its default."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    return kind


def _rule(kind: inspect.Type) -> Rule:
    match kind:
        case inspect.ListType(item_type=item):
            return _list_rule(_rule(_without_none(item)))
        case inspect.StructType(cls=cls):
            return lambda value: _struct_rule(cls)(value)
        case inspect.DictType(value_type=item):
            return _map_rule(_rule(_without_none(item)))
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
        except UnicodeEncodeError:  # a lone surrogate, which a JSON \u escape can express
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
    if isinstance(value, str):
        value = _number_from_text(value)
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _Mismatch from None
    if number not in bounds or (isinstance(value, float) and number != value):
        raise _Mismatch
    return number


def _number_from_text(text: str) -> int | float:
    """Parse an integer in any notation of a number: R sends 100000 as "1e+05"."""
    if len(text) > DIGITS_LIMIT or not text.isascii() or text != text.strip():
        raise _Mismatch
    try:
        return int(text)
    except ValueError:
        return _double_from_text(text)


def _double(value: Any) -> float:
    if isinstance(value, str):
        return _double_from_text(value)
    if not isinstance(value, (int, float)):  # true is 1.0, as in protobuf
        raise _Mismatch
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch from None


def _double_from_text(text: str) -> float:
    """Parse protobuf's NaN and Infinity, and what Python parses as a number except for 1_000."""
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
    """Return the member by name or by protobuf's number. The enums list their members in protobuf's order, from 1."""
    if isinstance(value, str) and value in cls.__members__:
        return cls[value]
    number = _integer(value, INT32)
    if 1 <= number <= len(cls):
        return list(cls)[number - 1]
    raise _Mismatch


def _list_rule(item: Rule) -> Rule:
    def rule(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _Mismatch
        items: list[Any] = []
        try:
            for member in value:
                items.append(item(member))  # noqa: PERF401 (the length is the index of an invalid one)
        except _InvalidField as error:
            raise error.within(f"[{len(items)}]") from None
        return items

    return rule


def _map_rule(item: Rule) -> Rule:
    def rule(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Mismatch
        return {_text(key): item(member) for key, member in value.items()}

    return rule


def _from_text(values: list[str], kind: inspect.Type) -> Any:
    """Return a parameter's values as the JSON value that the field's rule expects."""
    if isinstance(kind, inspect.ListType):
        return [_from_text([value], _without_none(kind.item_type)) for value in values]
    value = values[0]
    if isinstance(kind, inspect.BoolType):
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
