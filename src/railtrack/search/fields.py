"""What a resource lets its filters and orders name: entities, their fields, the SQL that each stands for.

A resource makes one Vocabulary out of literals. All SQL comes from there; texts of a request only ever become
parameters. In the templates `{key}` stands for the parameter of a field's name, `{test}` for a condition on its
value, `{alias}` for the join of an order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

NUMBER_COMPARATORS = ("<", "<=", ">", ">=", "=", "!=")
TEXT_COMPARATORS = ("=", "!=", "LIKE", "ILIKE")
LIST_COMPARATORS = ("IN", "NOT IN")
NULL_COMPARATORS = ("IS NULL", "IS NOT NULL")


class Values(Enum):
    """What a field is compared with."""

    TEXT = auto()
    DOUBLE = auto()
    BIGINT = auto()
    """A whole number that may be compared with any number."""
    WHOLE = auto()
    """A whole number that is only compared with whole numbers."""
    ID = auto()
    """A whole number, 32 bits, written as a string."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value that comparisons are about: the expression `column`, within the condition `rows`."""

    column: str
    values: Values = Values.TEXT
    rows: str = "{test}"
    is_nan: str = ""
    """The column that says that `column` is not a number, for those that hold such."""
    lists: bool = False
    """Whether it may be compared with a list of strings."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Other ways to write one of its texts: a name for a number."""
    quoted: bool = False
    """Whether a number that it is compared with may be written in quotes."""


@dataclass(frozen=True, slots=True)
class Term:
    """One expression of an ORDER BY. Rows without a value come last, whichever way it goes."""

    column: str
    values: Values
    descending: bool = False
    nullable: bool = False
    fixed: bool = False
    """Whether it goes one way even when the request asks for the other."""


class Best(NamedTuple):
    """Templates for those of a Sort's joined rows that come first, in the order of its last term: all others are 0."""

    rows: str
    """A SELECT of them, which ends with a condition; with all columns that the terms name."""
    join: str
    """The join with these rows, which are then called best."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What an order_by key stands for: the terms, over a join where they need one."""

    terms: tuple[Term, ...]
    join: str = ""
    best: Best | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What stands before the dot: a closed set of `fields` by name, or `any_field` whose name is a parameter."""

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    any_field: Field | None = None
    sorts: Mapping[str, Sort] = field(default_factory=dict)
    any_sort: Sort | None = None
    sorts_tested_rows: bool = False
    """Whether any_sort joins the very rows that any_field tests, which it calls x."""
    comparators: tuple[str, ...] = TEXT_COMPARATORS
    """For fields of text; numbers have NUMBER_COMPARATORS, ids their own."""
    bare_text: bool = False
    """Whether a text may be written without quotes."""

    unknown_key: str = "Invalid attribute key '{key}' specified. Valid keys are '{valid}'"
    unknown_sort: str = ""
    """MLflow's words for a key that can't be ordered by, where they are not those of unknown_key."""
    text_wanted: str = "Expected a quoted string value for attributes. Got value {value}"
    number_wanted: str = "Expected numeric value type for numeric attribute: {key}. Found {value}"
    bad_comparator: str = "Invalid comparator '{comparator}' not one of '{valid}'"
    """`{key}` is the field's name, `{valid}` the comparators as a set, `{ordered}` as a tuple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All that one resource's filters and orders may say."""

    entities: Mapping[str, Entity]
    """By each of their spellings; "" is the entity of a bare name."""
    order: tuple[Term, ...]
    """The order without order_by, and among the rows that it leaves equal. Its last term tells all rows apart."""

    unknown_entity: str
    no_null_test: str
    """MLflow's words where IS NULL is not taken, with `{entity}`, `{key}` and `{comparator}`."""
    no_sort: str
    """MLflow's words where an entity can't be ordered by, with `{entity}`."""
    stray_clauses: str = "Invalid clause(s) in filter string: {quoted}"
    """MLflow's words for what is no comparison: see parser.parse_filter."""
    refuse_repeats: bool = True
    """Whether ordering twice by one thing is refused; else the second is ignored."""
