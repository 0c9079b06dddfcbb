"""What filters and orders of a resource may name: entities, their fields, and the SQL of each.

A resource declares one SearchFields of literals. All SQL comes from there; texts of a request only ever become
parameters. In templates `{key}` is the parameter that holds a field's name, `{test}` the condition on its value,
`{alias}` the alias of an order's join.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

NUMBER_COMPARATORS = ("<", "<=", ">", ">=", "=", "!=")
TEXT_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")
LIST_COMPARATORS = ("IN", "NOT IN")
NULL_COMPARATORS = ("IS NULL", "IS NOT NULL")


class ValueType(Enum):
    """The type of a field, which decides what it may be compared with."""

    TEXT = auto()
    DOUBLE = auto()
    BIGINT = auto()
    """A whole number; may be compared with any number."""
    WHOLE = auto()
    """A whole number; may be compared with whole numbers only."""
    ID = auto()
    """A whole number of 32 bits, written as a string."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value that comparisons test: the expression `column`, tested inside the template `condition`."""

    column: str
    type: ValueType = ValueType.TEXT
    condition: str = "{test}"
    is_nan: str = ""
    """The column that marks `column` as not a number, where there is one."""
    accepts_lists: bool = False
    """Whether it may be compared with a list of strings."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The names that it may be compared with, by = and lists only -> the stored texts. Empty: any text."""
    unknown_value: str = ""
    """MLflow's message for another name, with `{value}`."""
    accepts_quoted_numbers: bool = False


@dataclass(frozen=True, slots=True)
class SortKey:
    """One expression of an ORDER BY. Rows without a value come last in both directions."""

    expression: str
    type: ValueType
    descending: bool = False
    nullable: bool = False
    ignores_direction: bool = False
    """Whether the direction of the request does not apply to it."""


class TopValues(NamedTuple):
    """Templates to search a joined order among its top values first (search/top_values.py)."""

    select: str
    """A SELECT of the joined rows that have a value, ending with a condition; with all columns of the sort keys."""
    join: str
    """The join with these rows, which are called `top`."""


@dataclass(frozen=True, slots=True)
class SortField:
    """What an order_by name sorts by: the keys, over a join where they need one. The last key is the value itself."""

    keys: tuple[SortKey, ...]
    join: str = ""
    top_values: TopValues | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityFields:
    """The fields of one of MLflow's entities, the part before the dot: a closed set, or any name as a parameter."""

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    any_field: Field | None = None
    sort_fields: Mapping[str, SortField] = field(default_factory=dict)
    any_sort_field: SortField | None = None
    shares_joins: bool = False
    """Whether any_sort_field joins the rows that any_field tests, under the alias x."""
    comparators: tuple[str, ...] = TEXT_COMPARATORS
    """Of text fields; numbers have NUMBER_COMPARATORS, ids their own."""
    accepts_unquoted_text: bool = False

    unknown_key: str = "Invalid attribute key '{key}' specified. Valid keys are '{valid}'"
    unknown_sort_key: str = ""
    """MLflow's message for a key that cannot be ordered by, if it differs from unknown_key."""
    text_expected: str = "Expected a quoted string value for attributes. Got value {value}"
    number_expected: str = "Expected numeric value type for numeric attribute: {key}. Found {value}"
    invalid_comparator: str = "Invalid comparator '{comparator}' not one of '{valid}'"
    """`{key}` is the field's name, `{valid}` the comparators as a set, `{ordered}` as a tuple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFields:
    """All that the filters and orders of one resource may name."""

    table: str
    entities: Mapping[str, EntityFields]
    """By each spelling of the entity; "" is the entity of a name without one."""
    default_order: tuple[SortKey, ...]
    """The order without order_by, and the order of rows that order_by leaves equal. Its last key is unique."""

    sort_entities: Mapping[str, EntityFields] = field(default_factory=dict)
    """Further spellings that order_by alone accepts."""
    unknown_entity: str
    null_not_supported: str
    """MLflow's message where IS NULL is not supported, with `{entity}`, `{key}` and `{comparator}`."""
    order_not_supported: str
    """MLflow's message for an entity that cannot be ordered by, with `{entity}`."""
    invalid_clauses: str = "Invalid clause(s) in filter string: {quoted}"
    """MLflow's message for what is not a comparison: see parser.parse_filter."""
    rejects_repeated_order: bool = True
    """Whether ordering twice by one name is an error; otherwise the second one is ignored."""
