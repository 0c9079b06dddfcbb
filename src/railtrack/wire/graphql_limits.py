"""Limits of a GraphQL query, checked between parsing and validation, which compares fields pair by pair."""

from collections import Counter
from collections.abc import Container, Mapping
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)

DEPTH_LIMIT = 10
"""As in MLflow. A fragment counts as a level here."""
SELECTIONS_LIMIT = 500
"""Selections of all operations and fragments, each with its fragments expanded. The UI's largest query has 64."""
COMPARISONS_LIMIT = 1000
"""Pairs of selections with one name in the response, which validation compares."""
COST_LIMIT = 20_000
"""Sum over the fields of an operation, each times the lengths of the lists that it is in. The UI's largest: 13,557."""
CALL_COST = 100
"""Cost of a field that calls an endpoint; others cost 1."""


class ConfiguredLimits(NamedTuple):
    """The limits that settings can change, with MLflow's defaults. Those above hold whatever these are."""

    root_fields: int = 10
    """Fields of Query and Mutation, in all operations of a request."""
    aliases: int = 10
    """Aliases of one selection set, including its fragments."""


DEFAULT_LIMITS = ConfiguredLimits()


class QueryLimits:
    """The limits for queries of a schema. `calls`: the fields that call an endpoint, as "Type.field".

    `list_lengths`: how long lists can become; one that is not named counts as one item.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        calls: Container[str],
        list_lengths: Mapping[str, int],
        configured: ConfiguredLimits,
    ) -> None:
        self._schema = schema
        self._calls = calls
        self._list_lengths = list_lengths
        self._configured = configured

    def check(self, document: DocumentNode) -> int:
        """Return the cost of the operations. Raise GraphQLError for a query that exceeds a limit."""
        counter = _Counter(self._schema, document, self._calls, self._list_lengths)
        root_fields = 0
        for definition in document.definitions:
            match definition:
                case OperationDefinitionNode(operation=operation, selection_set=selections):
                    counter.add_definition(selections, self._schema.get_root_type(operation))
                    root_fields += counter.root_fields
                case FragmentDefinitionNode(selection_set=selections):  # is validated, even if no operation uses it
                    counter.add_definition(selections, None)
        _check_as_mlflow(
            root_fields, self._configured.root_fields, "root fields", "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS"
        )
        _check_as_mlflow(counter.max_aliases, self._configured.aliases, "aliases", "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES")
        return counter.total_cost


def _check_as_mlflow(count: int, limit: int, noun: str, variable: str) -> None:
    if count > limit:
        raise GraphQLError(
            f"GraphQL queries should have at most {limit} {noun}, got {count} {noun}. "
            f"To increase the limit, set the {variable} environment variable."
        )


def _check(count: int, limit: int, noun: str) -> None:
    if count > limit:
        raise GraphQLError(f"Query exceeds maximum {noun} of {limit}")


class _Counter:
    """Counts what the definitions of a document select. Each level of recursion is one of the query's levels."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        calls: Container[str],
        list_lengths: Mapping[str, int],
    ) -> None:
        self._schema = schema
        self._fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._calls = calls
        self._list_lengths = list_lengths
        self.total_cost = 0
        self._selections = 0
        self._comparisons = 0
        self.max_aliases = 0
        """The most aliases of one selection set."""
        # Of the present definition:
        self.root_fields = 0
        self._cost = 0
        self._at_path: Counter[tuple[str, ...]] = Counter()

    def add_definition(self, selections: SelectionSetNode, parent: GraphQLNamedType | None) -> None:
        self.root_fields = self._cost = 0
        self._at_path.clear()
        self._add(selections, parent, (), 1, 1, set())
        self.total_cost += self._cost

    def _add(
        self,
        selections: SelectionSetNode,
        parent: GraphQLNamedType | None,
        path: tuple[str, ...],
        level: int,
        of: int,
        aliases: set[int],
    ) -> None:
        """Count a selection set and all below it. `path`: of names in the response, `of`: number of objects there.

        `aliases`: the ids of the nodes with an alias so far, which are one each however often their fragment is used.
        """
        _check(level, DEPTH_LIMIT, "depth")
        for selection in selections.selections:
            self._selections += 1
            _check(self._selections, SELECTIONS_LIMIT, "total selections")
            match selection:
                case FieldNode():
                    if selection.alias:
                        aliases.add(id(selection))
                    self._add_field(selection, parent, path, level, of)
                case InlineFragmentNode(selection_set=inner, type_condition=condition):
                    self._add(inner, self._type(condition) or parent, path, level + 1, of, aliases)
                case FragmentSpreadNode(name=name) if fragment := self._fragments.get(name.value):
                    self._compare((*path, "..."))
                    self._add(fragment.selection_set, self._type(fragment.type_condition), path, level + 1, of, aliases)
        self.max_aliases = max(self.max_aliases, len(aliases))

    def _add_field(
        self, field: FieldNode, parent: GraphQLNamedType | None, path: tuple[str, ...], level: int, of: int
    ) -> None:
        self.root_fields += not path
        name = field.name.value
        path = (*path, field.alias.value if field.alias else name)
        self._compare(path)
        coordinate = f"{parent.name}.{name}" if parent else name
        self._cost += of * (CALL_COST if coordinate in self._calls else 1)
        _check(self._cost, COST_LIMIT, "cost")
        if field.selection_set:
            known = parent.fields.get(name) if isinstance(parent, GraphQLObjectType) else None
            type_ = get_named_type(known.type) if known else None
            self._add(field.selection_set, type_, path, level + 1, of * self._list_lengths.get(coordinate, 1), set())

    def _compare(self, path: tuple[str, ...]) -> None:
        """Count the selections at the same path before, to which validation compares this one."""
        self._comparisons += self._at_path[path]
        _check(self._comparisons, COMPARISONS_LIMIT, "number of repeated fields")
        self._at_path[path] += 1

    def _type(self, condition: NamedTypeNode | None) -> GraphQLNamedType | None:
        return self._schema.get_type(condition.name.value) if condition else None
