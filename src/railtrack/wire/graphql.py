"""Run GraphQL queries as MLflow does: a schema with resolvers for some of its fields, size limits, errors as strings.

No type of the schema is named here. Import this with the first query only: it takes 5 MB and 50 ms.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from inspect import isawaitable
from typing import Any, NamedTuple

import msgspec
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLOutputType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    execute,
    get_named_type,
    is_list_type,
    parse,
    validate,
)

from railtrack.errors import ApiError
from railtrack.wire.protobuf_json import camel_to_snake

QUERY_LENGTH_LIMIT = 16 * 1024
TOKENS_LIMIT = 2000
ROOT_FIELDS_LIMIT = 10
DEPTH_LIMIT = 10
"""As in MLflow, like ROOT_FIELDS_LIMIT. A fragment counts as a level here."""
FIELDS_LIMIT = 500
"""Fields of a query with its fragments expanded."""
CACHED_QUERIES = 32

Resolver = Callable[..., Awaitable[Any]]
"""(context, source, **arguments) -> the field's value; source is None for the fields of Query and Mutation."""


class GraphQLResponse(msgspec.Struct):
    """`errors` are strings, not objects as in the specification: MLflow sends strings and its UI displays them."""

    data: Any = None
    errors: list[str] | None = None


class _ParsedQuery(NamedTuple):
    """A valid query, or the validation errors of an invalid one."""

    document: DocumentNode | None
    errors: list[str]


class GraphQLExecutor:
    """Execute queries of the schema `sdl` with `resolvers`, which are functions by "Type.field".

    Every other field is read from the attribute of the same name in snake case. If it is absent or None, the value is
    that of an unset protobuf field: "", "0" for a LongString, []. NaN and infinities become null.
    """

    def __init__(self, sdl: str, resolvers: Mapping[str, Resolver]) -> None:
        self._schema = build_schema(sdl, no_location=True)
        self._parsed = lru_cache(CACHED_QUERIES)(self._parse)
        for type_name, type_ in self._schema.type_map.items():
            if not isinstance(type_, GraphQLObjectType) or type_name.startswith("__"):
                continue
            for field_name, field in type_.fields.items():
                resolver = resolvers.get(f"{type_name}.{field_name}")
                field.resolve = _adapt(resolver) if resolver else _attribute_resolver(field_name, field.type)

    async def execute(
        self, context: Any, query: str, variables: dict[str, Any], operation: str | None
    ) -> GraphQLResponse:
        """Run a query. Raise what a resolver raises, unless it is an ApiError that the query is to blame for."""
        if len(query) > QUERY_LENGTH_LIMIT:
            return GraphQLResponse(errors=[f"The query is longer than {QUERY_LENGTH_LIMIT} characters."])
        document, errors = self._parsed(query)
        if document is None:
            return GraphQLResponse(errors=errors)
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=variables,
            operation_name=operation,
        )
        if isawaitable(result):
            result = await result
        return GraphQLResponse(result.data, [_message(error) for error in result.errors] if result.errors else None)

    def _parse(self, query: str) -> _ParsedQuery:
        try:
            document = parse(query, no_location=True, max_tokens=TOKENS_LIMIT)
            _check_size(document)
        except GraphQLError as error:
            return _ParsedQuery(None, [error.message])
        errors = [error.message for error in validate(self._schema, document)]
        return _ParsedQuery(None if errors else document, errors)


def _adapt(resolver: Resolver) -> Callable[..., Any]:
    def resolve(source: Any, info: Any, **arguments: Any) -> Awaitable[Any]:
        return resolver(info.context, source, **arguments)

    return resolve


def _attribute_resolver(field_name: str, type_: GraphQLOutputType) -> Callable[[Any, Any], Any]:
    name = camel_to_snake(field_name)
    convert, unset = (None, ()) if is_list_type(type_) else _SCALARS.get(get_named_type(type_).name, (None, None))

    def resolve(source: Any, _info: Any) -> Any:
        value = getattr(source, name, None)
        if value is None:
            return unset
        return convert(value) if convert else value

    return resolve


def _finite_or_none(value: float | str) -> float | None:
    """Return None for NaN, which the REST structs carry as the string "NaN", and for infinities."""
    return value if not isinstance(value, str) and math.isfinite(value) else None


_SCALARS: dict[str, tuple[Callable[[Any], Any] | None, Any]] = {
    "String": (None, ""),
    "LongString": (str, "0"),
    "Float": (_finite_or_none, None),
}
"""Type -> conversion of its values, and the value of an unset field."""


def _check_size(document: DocumentNode) -> None:
    """Raise for a query that asks for too much, before validating it, which costs more."""
    fragments = {
        definition.name.value: definition.selection_set
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _SizeCounter(fragments).add(definition.selection_set)


class _SizeCounter:
    def __init__(self, fragments: Mapping[str, SelectionSetNode]) -> None:
        self._fragments = fragments
        self._fields = 0
        self._root_fields = 0

    def add(self, selections: SelectionSetNode, level: int = 1, *, root: bool = True) -> None:
        """Count a selection set and all below it. Each recursion is a level, which ends a cycle of fragments."""
        if level > DEPTH_LIMIT:
            raise GraphQLError(f"Query exceeds maximum depth of {DEPTH_LIMIT}")
        for selection in selections.selections:
            self._fields += 1
            if self._fields > FIELDS_LIMIT:
                raise GraphQLError(f"Query exceeds maximum total selections of {FIELDS_LIMIT}")
            match selection:
                case FieldNode(selection_set=inner):
                    self._root_fields += root
                    if inner:
                        self.add(inner, level + 1, root=False)
                case InlineFragmentNode(selection_set=inner):
                    self.add(inner, level + 1, root=root)
                case FragmentSpreadNode(name=name) if name.value in self._fragments:
                    self.add(self._fragments[name.value], level + 1, root=root)
        if self._root_fields > ROOT_FIELDS_LIMIT:
            count = self._root_fields
            raise GraphQLError(
                f"GraphQL queries should have at most {ROOT_FIELDS_LIMIT} root fields, got {count} root fields."
            )


def _message(error: GraphQLError) -> str:
    """Return the message for the client. Raise a resolver's exception that the query is not to blame for."""
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error.message
    if isinstance(cause, ApiError) and cause.status < 500 and not cause.is_transient:
        return cause.message
    raise cause
