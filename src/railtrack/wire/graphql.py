"""Run GraphQL queries as MLflow does: a schema with resolvers for some of its fields, errors as strings.

No type of the schema is named here. Import this with the first query only: it takes 5 MB and 50 ms.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from graphql import (
    DocumentNode,
    ExecutionContext,
    FieldNode,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    build_schema,
    execute,
    get_named_type,
    is_list_type,
    parse,
    validate,
)

from railtrack.errors import ApiError, not_processed
from railtrack.wire.graphql_limits import DEFAULT_LIMITS, ConfiguredLimits, QueryLimits
from railtrack.wire.protobuf_json import camel_to_snake
from railtrack.wire.turns import in_turn

QUERY_LENGTH_LIMIT = 16 * 1024
TOKENS_LIMIT = 1000
"""The UI's largest query has 170."""
CACHED_QUERIES = 32
ITEMS_LIMIT = 100_000
"""Items of all lists of a response: a run with as many metrics, or 50 with 2,000."""
HEAVY_COST = 1000
"""Queries that cost more, such as pages of runs, are executed one at a time. The UI's query for a run costs 375."""
HEAVY_TIMEOUT_S = 20.0
ITEMS_AT_ONCE = 50
"""Items without lists in them that are completed at once. The library takes about 30 us for one of five fields."""

Resolver = Callable[..., Awaitable[Any]]
"""(context, source, **arguments) -> the field's value; source is None for the fields of Query and Mutation."""


class GraphQLResponse(msgspec.Struct):
    """`errors` are strings, not objects as in the specification: MLflow sends strings and its UI displays them."""

    data: Any = None
    errors: list[str] | None = None


class _SlicedExecution(ExecutionContext):
    """graphql-core's execution, which completes a value in about 6 us, but long lists in several turns of the loop."""

    _items = 0

    def complete_list_value(
        self, return_type: GraphQLList[Any], field_nodes: list[FieldNode], info: Any, path: Any, result: Any
    ) -> Any:
        length = len(result) if isinstance(result, (list, tuple)) else 0
        self._items += length
        if self._items > ITEMS_LIMIT:
            raise GraphQLError(f"The response has more than {ITEMS_LIMIT} items. Use the REST API, which has pages.")
        at_once = 1 if any(map(_has_nested_selections, field_nodes)) else ITEMS_AT_ONCE
        if length <= at_once:
            return super().complete_list_value(return_type, field_nodes, info, path, result)
        return self._complete_slices(return_type, field_nodes, info, path, result, at_once)

    async def _complete_slices(
        self, return_type: Any, field_nodes: list[FieldNode], info: Any, path: Any, items: Sequence[Any], at_once: int
    ) -> list[Any]:
        complete = super().complete_list_value
        completed: list[Any] = []
        for start in range(0, len(items), at_once):
            part = await in_turn(complete, return_type, field_nodes, info, path, items[start : start + at_once])
            completed += await part if isawaitable(part) else part
        return completed


def _has_nested_selections(node: FieldNode) -> bool:
    """Return True if the objects of a list may have lists or objects in them. A fragment may select any."""
    selections = node.selection_set.selections if node.selection_set else ()
    return any(not isinstance(each, FieldNode) or each.selection_set for each in selections)


class _ParsedQuery(NamedTuple):
    """A valid query, or the validation errors of an invalid one."""

    document: DocumentNode | None
    errors: list[str]
    cost: int = 0


class GraphQLExecutor:
    """Execute queries of the schema `sdl` with `resolvers`, which are functions by "Type.field".

    Every other field is read from the attribute of the same name in snake case. If it is absent or None, the value is
    that of an unset protobuf field: "", "0" for a LongString, []. NaN and infinities become null.
    """

    def __init__(
        self,
        sdl: str,
        resolvers: Mapping[str, Resolver],
        list_lengths: Mapping[str, int] = MappingProxyType({}),
        limits: ConfiguredLimits = DEFAULT_LIMITS,
    ) -> None:
        """`list_lengths`: how long the lists of a response can become, by "Type.field"."""
        self._schema = build_schema(sdl, no_location=True)
        self._limits = QueryLimits(self._schema, resolvers, list_lengths, limits)
        self._parsed = lru_cache(CACHED_QUERIES)(self._parse)
        self._heavy = asyncio.Lock()
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
        document, errors, cost = await in_turn(self._parsed, query)
        if document is None:
            return GraphQLResponse(errors=errors)
        if cost <= HEAVY_COST:
            return await self._execute(document, context, variables, operation)
        async with self._one_heavy():
            return await self._execute(document, context, variables, operation)

    @asynccontextmanager
    async def _one_heavy(self) -> AsyncIterator[None]:
        """Wait until no other heavy query is executed: the whole response is in memory, up to 80 MB."""
        try:
            async with asyncio.timeout(HEAVY_TIMEOUT_S):
                await self._heavy.acquire()
        except TimeoutError:
            raise not_processed(
                "Other GraphQL queries for many runs or points are in progress. Please retry."
            ) from None
        try:
            yield
        finally:
            self._heavy.release()

    async def _execute(
        self, document: DocumentNode, context: Any, variables: dict[str, Any], operation: str | None
    ) -> GraphQLResponse:
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=variables,
            operation_name=operation,
            execution_context_class=_SlicedExecution,
        )
        if isawaitable(result):
            result = await result
        return GraphQLResponse(result.data, [_message(error) for error in result.errors] if result.errors else None)

    def _parse(self, query: str) -> _ParsedQuery:
        try:
            document = parse(query, no_location=True, max_tokens=TOKENS_LIMIT)
            cost = self._limits.check(document)
        except GraphQLError as error:
            return _ParsedQuery(None, [error.message])
        errors = [error.message for error in validate(self._schema, document)]
        return _ParsedQuery(None if errors else document, errors, cost)


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


def _message(error: GraphQLError) -> str:
    """Return the message for the client. Raise a resolver's exception that the query is not to blame for."""
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error.message
    if isinstance(cause, ApiError) and cause.status < 500 and not cause.is_transient:
        return cause.message
    raise cause
