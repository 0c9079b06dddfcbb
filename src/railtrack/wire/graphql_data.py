"""How GraphQL fields are read from structs, and objects of such fields at once: the library takes 5 us for a field."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    ExecutionContext,
    FieldNode,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_list_type,
)


class Attribute:
    """Reads a field from its source's attribute: a resolver that needs nothing else, and never waits."""

    def __init__(self, name: str, type_: GraphQLOutputType) -> None:
        self._name = name
        self._shown, self._unset = _SCALARS.get(get_named_type(type_).name, (None, None))
        if is_list_type(type_):
            self._shown, self._unset = None, ()

    def __call__(self, source: Any, _info: Any = None) -> Any:
        """The value before its type has shown it; None where there is none."""
        value = getattr(source, self._name, None)
        if value is None:
            return self._unset
        return self._shown(value) if self._shown else value


def _finite(value: Any) -> float | None:
    """ "NaN" is how the REST API's structs carry a NaN."""
    return value if not isinstance(value, str) and math.isfinite(value) else None


_SCALARS: dict[str, tuple[Callable[[Any], Any] | None, Any]] = {
    "String": (None, ""),
    "LongString": (str, "0"),
    "Float": (_finite, None),
}
"""How a scalar is shown, and what stands for an unset one."""

Read = Callable[[Any], Any]
"""From an object or value to what is answered for it. Raises what the library then raises for the same."""


class _NotDataError(Exception):
    """A function stands behind a field, or one of the schema itself is asked for."""


class DataAtOnce(ExecutionContext):
    """An execution that reads what is nothing but attributes without asking field by field.

    Where that fails, for a value that its type refuses, the library goes the same way again and tells of it properly.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reads: dict[tuple[Any, ...], Read | None] = {}

    def complete_value(self, return_type: Any, field_nodes: list[FieldNode], info: Any, path: Any, result: Any) -> Any:
        read = self._read(return_type, field_nodes)
        if read is not None and not isinstance(result, Exception):
            try:
                return read(result)
            except Exception:  # noqa: S110 (it is raised again, with its place in the query)
                pass
        return super().complete_value(return_type, field_nodes, info, path, result)

    def _read(self, type_: GraphQLOutputType, nodes: list[FieldNode]) -> Read | None:
        """What reads a value of this type with these selections; None where that takes more than reading."""
        key = (type_, *map(id, nodes))
        if key not in self._reads:
            try:
                self._reads[key] = self._reader(type_, nodes)
            except _NotDataError:
                self._reads[key] = None
        return self._reads[key]

    def _reader(self, type_: Any, nodes: list[FieldNode]) -> Read:
        match type_:
            case GraphQLNonNull():
                return _required(self._reader(type_.of_type, nodes))
            case GraphQLList():
                return _each(self._reader(type_.of_type, nodes))
            case GraphQLObjectType():
                return _object(self._fields(type_, nodes))
            case _:
                return _leaf(type_)

    def _fields(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Mapping[str, tuple[Attribute, Read]]:
        found = {}
        for name, selected in self.collect_subfields(type_, nodes).items():
            field = type_.fields.get(selected[0].name.value)
            if field is None or not isinstance(field.resolve, Attribute):
                raise _NotDataError
            found[name] = field.resolve, self._reader(field.type, selected)
        return found


def _required(read: Read) -> Read:
    def required(value: Any) -> Any:
        found = read(value)
        if found is None:
            raise ValueError("null where the schema has none")
        return found

    return required


def _each(read: Read) -> Read:
    return lambda values: None if values is None else [read(value) for value in values]


def _object(fields: Mapping[str, tuple[Attribute, Read]]) -> Read:
    parts = [(name, attribute, read) for name, (attribute, read) in fields.items()]
    return lambda value: None if value is None else {name: read(get(value)) for name, get, read in parts}


def _leaf(type_: GraphQLLeafType) -> Read:
    serialize = type_.serialize

    def leaf(value: Any) -> Any:
        if value is None:
            return None
        found = serialize(value)
        if found is None:
            raise ValueError("a value that its type shows as none")
        return found

    return leaf
