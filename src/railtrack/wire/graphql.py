"""GraphQL as MLflow speaks it: a schema with functions behind some of its fields, bounded queries, errors as texts.

No type is named in here. Importing this costs 5 MB and 50 ms, so whoever needs it imports it with the first query.
"""

import logging
import re
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
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    execute,
    parse,
    validate,
)

from railtrack.errors import ApiError
from railtrack.wire.graphql_data import Attribute, DataAtOnce

log = logging.getLogger("railtrack")

LONGEST_QUERY = 16 * 1024
TOKENS = 2000
ROOT_FIELDS = 10
DEPTH = 10
"""MLflow's own bounds, these two; fragments count as a level here."""
FIELDS = 500
"""Fields of a query with its fragments spread."""
QUERIES_KEPT = 32

Resolver = Callable[..., Awaitable[Any]]
"""(context, source, **arguments) -> the field's value; source is None for the fields of Query."""


class Answer(msgspec.Struct):
    """`errors` are texts, not objects as the specification has them: so MLflow answers, and its UI shows them."""

    data: Any = None
    errors: list[str] | None = None


class _Checked(NamedTuple):
    """A query that may be run, or what is wrong with it."""

    document: DocumentNode | None
    errors: list[str]


class Engine:
    """`sdl`: the schema; `resolvers`: functions by "Type.field".

    All other fields are read from their source's attribute of the same name in snake case. One that is absent or
    None is what protobuf makes of an unset field: "", "0" for a LongString, []. Numbers that JSON cannot say are null.
    """

    def __init__(self, sdl: str, resolvers: Mapping[str, Resolver]) -> None:
        self._schema = build_schema(sdl, no_location=True)
        self._checked = lru_cache(QUERIES_KEPT)(self._check)
        for type_name, type_ in self._schema.type_map.items():
            if not isinstance(type_, GraphQLObjectType) or type_name.startswith("__"):
                continue
            for field_name, field in type_.fields.items():
                resolver = resolvers.get(f"{type_name}.{field_name}")
                field.resolve = _called(resolver) if resolver else Attribute(_snake_case(field_name), field.type)

    async def answer(self, context: Any, query: str, variables: dict[str, Any], operation: str | None) -> Answer:
        """Run a query. Raises the ApiError of a resolver when the server, not the query, is at fault."""
        checked = self._checked(query) if len(query) <= LONGEST_QUERY else _Checked(None, [_TOO_LONG])
        if checked.document is None:
            return Answer(errors=checked.errors)
        result = execute(
            self._schema,
            checked.document,
            context_value=context,
            variable_values=variables,
            operation_name=operation,
            execution_context_class=DataAtOnce,
        )
        if isawaitable(result):
            result = await result
        return Answer(result.data, [_text(error) for error in result.errors] if result.errors else None)

    def _check(self, query: str) -> _Checked:
        try:
            document = parse(query, no_location=True, max_tokens=TOKENS)
            _refuse_large(document)
        except GraphQLError as error:
            return _Checked(None, [error.message])
        errors = [error.message for error in validate(self._schema, document)]
        return _Checked(None if errors else document, errors)


_TOO_LONG = f"The query is longer than {LONGEST_QUERY} characters."


def _called(resolver: Resolver) -> Callable[..., Any]:
    def resolve(source: Any, info: Any, **arguments: Any) -> Awaitable[Any]:
        return resolver(info.context, source, **arguments)

    return resolve


def _snake_case(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _refuse_large(document: DocumentNode) -> None:
    """Raise for a query that asks too much at once, before anything costlier is done with it."""
    fragments = {
        definition.name.value: definition.selection_set
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _Measure(fragments).take(definition.selection_set)


class _Measure:
    def __init__(self, fragments: Mapping[str, SelectionSetNode]) -> None:
        self._fragments = fragments
        self._fields = 0
        self._root_fields = 0

    def take(self, selections: SelectionSetNode, level: int = 1, *, root: bool = True) -> None:
        """Count a selection set and all below it; every recursion is a level, so that a circle of fragments ends."""
        if level > DEPTH:
            raise GraphQLError(f"Query exceeds maximum depth of {DEPTH}")
        for selection in selections.selections:
            self._fields += 1
            if self._fields > FIELDS:
                raise GraphQLError(f"Query exceeds maximum total selections of {FIELDS}")
            match selection:
                case FieldNode(selection_set=inner):
                    self._root_fields += root
                    if inner:
                        self.take(inner, level + 1, root=False)
                case InlineFragmentNode(selection_set=inner):
                    self.take(inner, level + 1, root=root)
                case FragmentSpreadNode(name=name) if name.value in self._fragments:
                    self.take(self._fragments[name.value], level + 1, root=root)
        if self._root_fields > ROOT_FIELDS:
            count = self._root_fields
            raise GraphQLError(
                f"GraphQL queries should have at most {ROOT_FIELDS} root fields, got {count} root fields."
            )


def _text(error: GraphQLError) -> str:
    cause = error.original_error
    if isinstance(cause, ApiError):
        if cause.status >= 500:
            raise cause
        return cause.message
    if cause is None or isinstance(cause, GraphQLError):
        return error.message
    log.error("a GraphQL field failed", exc_info=cause)
    return "Internal error; the server's log tells more."
