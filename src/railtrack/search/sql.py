"""Clauses and a vocabulary, turned into SQL: conditions for WHERE, joins and terms for ORDER BY.

Text is the same for both engines. Values of the request only ever travel as parameters.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from railtrack.errors import invalid
from railtrack.search.fields import (
    LIST_COMPARATORS,
    NUMBER_COMPARATORS,
    Entity,
    Field,
    Sort,
    Term,
    Values,
    Vocabulary,
)
from railtrack.search.parser import (
    Clause,
    Kind,
    Name,
    Token,
    is_number,
    list_items,
    name_of,
    parse_filter,
    parse_order,
    unquoted,
)

COMPARISONS_LIMIT = 60
"""MLflow itself stops at about as many on SQLite, and takes seconds on PostgreSQL."""
ORDER_KEYS_LIMIT = 20
PATTERN_LIMIT = 10_000
"""Characters of a LIKE pattern; SQLite refuses more than 50,000 bytes."""

TESTED_ALIAS = "x"
"""What a vocabulary calls the rows that a condition tests."""
SQL_OPERATORS = {"!=": "<>"}
INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)
_WHOLE_NUMBER = re.compile(r"-?\d{1,30}", re.ASCII)


class Parameters:
    """The values of a statement, in the order of their `$n`."""

    def __init__(self, *values: Any) -> None:
        self.values: list[Any] = list(values)

    def add(self, value: Any) -> str:
        """The placeholder that stands for `value`."""
        self.values.append(value)
        return f"${len(self.values)}"


def among(column: str, values: Sequence[Any], parameters: Parameters) -> str:
    """The condition that the column has one of the values; for one alone it lets an index give the order."""
    if len(values) == 1:
        return f"{column} = {parameters.add(values[0])}"
    return f"{column} = ANY({parameters.add(list(values))})"


class Comparison(NamedTuple):
    """A clause whose name is resolved."""

    subject: Field
    entity: Entity
    key: str
    comparator: str
    value: Token


def conditions(filter_text: str, vocabulary: Vocabulary, parameters: Parameters) -> list[str]:
    """The filter's comparisons as SQL conditions, all of which must hold. Raises MLflow's complaints."""
    return [condition(clause, vocabulary, parameters) for clause in clauses_of(filter_text, vocabulary)]


def clauses_of(filter_text: str, vocabulary: Vocabulary) -> list[Clause]:
    """The filter's comparisons, their names and values not yet looked at."""
    clauses = parse_filter(filter_text, vocabulary.stray_clauses)
    if len(clauses) > COMPARISONS_LIMIT:
        raise invalid(f"Invalid filter: it has {len(clauses)} comparisons, more than {COMPARISONS_LIMIT}.")
    return clauses


def condition(clause: Clause, vocabulary: Vocabulary, parameters: Parameters) -> str:
    """One comparison as an SQL condition."""
    return _tested(clause, vocabulary, parameters).text


class Tested(NamedTuple):
    """A comparison in SQL: the `test` of the rows that hold the value, and the condition `text` that there are such."""

    text: str
    name: Name
    key: str
    test: str


def _tested(clause: Clause, vocabulary: Vocabulary, parameters: Parameters) -> Tested:
    name = name_of(clause.left)
    entity = _entity(name, vocabulary)
    subject = entity.any_field or entity.fields.get(name.key)
    if subject is None:
        raise invalid(entity.unknown_key.format(key=name.key[:250], valid=_set(entity.fields)))
    key = parameters.add(name.key) if entity.any_field else ""
    identity = Name(entity.name, name.key)
    if clause.right is None:
        if clause.comparator not in entity.comparators:
            raise invalid(_no_null_test(clause.comparator, entity, name.key, vocabulary))
        present = subject.rows.format(key=key, test=f"{subject.column} IS NOT NULL")
        return Tested(present if clause.comparator == "IS NOT NULL" else f"NOT {present}", identity, key, "")
    comparison = Comparison(subject, entity, name.key, clause.comparator, clause.right)
    test = _TESTS[subject.values](comparison, parameters)
    return Tested(subject.rows.format(key=key, test=test), identity, key, test if entity.sorts_tested_rows else "")


def _no_null_test(comparator: str, entity: Entity, key: str, vocabulary: Vocabulary) -> str:
    return vocabulary.no_null_test.format(entity=entity.name, key=key[:250], comparator=comparator)


def _entity(name: Name, vocabulary: Vocabulary) -> Entity:
    entity = vocabulary.entities.get(name.entity)
    if entity is None:
        raise invalid(vocabulary.unknown_entity.format(entity=name.entity[:250]))
    return entity


def _set(names: Iterable[str]) -> str:
    """As Python shows a set, which is how MLflow tells what would be valid; its order there changes by the day."""
    return "{" + ", ".join(f"'{name}'" for name in names) + "}"


def _bad_comparator(comparison: Comparison, valid: Sequence[str]) -> str:
    _, entity, key, comparator, _ = comparison
    return entity.bad_comparator.format(
        key=key[:250], comparator=comparator[:50], valid=_set(valid), ordered=tuple(valid)
    )


def _text_test(comparison: Comparison, parameters: Parameters) -> str:
    subject, entity, _, comparator, value = comparison
    if value.kind is Kind.LIST:
        return _list_test(comparison, parameters)
    text = _quoted_string(entity, value)
    if comparator not in entity.comparators:
        raise invalid(_bad_comparator(comparison, entity.comparators))
    if comparator in ("LIKE", "ILIKE"):
        return _pattern_test(subject.column, comparator, text, parameters)
    text = subject.spellings.get(text, text)
    return f"{subject.column} {SQL_OPERATORS.get(comparator, comparator)} {parameters.add(text)}"


def _list_test(comparison: Comparison, parameters: Parameters) -> str:
    subject, entity, _, comparator, value = comparison
    with_lists = [key for key, other in entity.fields.items() if other.lists]
    if with_lists and not subject.lists:
        raise invalid(f"Only {with_lists} attributes support comparison with a list of quoted string values.")
    if not subject.lists or comparator not in LIST_COMPARATORS:
        raise invalid(entity.text_wanted.format(value=value.text[:1000]))
    items = [subject.spellings.get(item, item) for item in list_items(value)]
    return _membership(subject.column, comparator, items, parameters)


def _quoted_string(entity: Entity, value: Token) -> str:
    if value.kind is Kind.STRING:
        return unquoted(value.text)
    if entity.bare_text:
        return value.text
    if value.kind is Kind.NAME and value.text.upper() != "NULL":
        raise invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{value.text[:1000]}. Use either single or double quotes."
        )
    raise invalid(entity.text_wanted.format(value=value.text[:1000]))


def _membership(column: str, comparator: str, values: list[Any], parameters: Parameters) -> str:
    test = f"{column} = ANY({parameters.add(values)})"
    return f"NOT ({test})" if comparator in ("NOT IN", "!=") else test


def _pattern_test(column: str, comparator: str, pattern: str, parameters: Parameters) -> str:
    """% and _ with the backslash as escape on both engines: what MLflow does on PostgreSQL."""
    if len(pattern) > PATTERN_LIMIT:
        raise invalid(f"Invalid filter: a pattern has {len(pattern)} characters, more than {PATTERN_LIMIT}.")
    backslashes = len(pattern) - len(pattern.rstrip("\\"))
    # PostgreSQL fails on a pattern that ends within an escape; there the backslash stands for itself.
    placeholder = parameters.add(pattern + "\\" if backslashes % 2 else pattern)
    if comparator == "ILIKE":
        return f"lower({column}) LIKE lower({placeholder}) ESCAPE '\\'"
    return f"{column} LIKE {placeholder} ESCAPE '\\'"


def _number_test(comparison: Comparison, parameters: Parameters) -> str:
    subject, entity, key, comparator, value = comparison
    text = unquoted(value.text) if subject.quoted and value.kind is Kind.STRING else value.text
    if not is_number(text):
        raise invalid(entity.number_wanted.format(key=key, value=value.text[:1000]))
    if comparator not in NUMBER_COMPARATORS:
        raise invalid(_bad_comparator(comparison, NUMBER_COMPARATORS))
    whole = _WHOLE_NUMBER.fullmatch(text) is not None
    if subject.values is Values.WHOLE and not whole:
        raise invalid(f"Invalid value for numeric attribute '{key}': '{float(text)}'")
    number = _number(subject, text, whole, parameters)
    test = f"{subject.column} {SQL_OPERATORS.get(comparator, comparator)} {number}"
    if not subject.is_nan:
        return test
    # Not a number: stored as 0, equal to nothing, and so different from everything.
    return f"({test} OR {subject.is_nan})" if comparator == "!=" else f"{test} AND NOT {subject.is_nan}"


def _number(subject: Field, text: str, whole: bool, parameters: Parameters) -> str:
    if subject.values is Values.DOUBLE:
        return parameters.add(float(text))
    if whole and int(text) in INT64:
        return parameters.add(int(text))
    # PostgreSQL takes an untyped parameter beside a BIGINT for one, too.
    return f"CAST({parameters.add(float(text))} AS DOUBLE PRECISION)"


def _id_test(comparison: Comparison, parameters: Parameters) -> str:
    subject, entity, key, comparator, value = comparison
    if value.kind is Kind.LIST and comparator in LIST_COMPARATORS:
        ids = list_items(value)
    elif value.kind is not Kind.STRING:
        raise invalid(entity.text_wanted.format(value=value.text[:1000]))
    elif comparator not in ("=", "!="):
        raise invalid(f"Invalid comparator for {key}: {comparator[:50]}")
    else:
        ids = [unquoted(value.text)]
    for one in ids:
        if not _WHOLE_NUMBER.fullmatch(one):
            raise invalid(f"Invalid experiment ID '{one[:250]}'. Experiment ID must be a valid integer.")
    known = [int(one) for one in ids if int(one) in INT32]
    return _membership(subject.column, comparator, known, parameters)


_TESTS = {
    Values.TEXT: _text_test,
    Values.DOUBLE: _number_test,
    Values.BIGINT: _number_test,
    Values.WHOLE: _number_test,
    Values.ID: _id_test,
}


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows: the joins it needs, and its terms, which leave no two rows equal."""

    joins: tuple[str, ...]
    terms: tuple[Term, ...]
    joined: Mapping[Name, str] = field(default_factory=dict)
    """Whose rows are joined, by entity and key, and under which alias."""
    tests: tuple[tuple[str, str], ...] = ()
    """Conditions of the filter on the joined rows, by their aliases."""
    best: "BestOf | None" = None
    """Where the first of joins may begin with the best of its values."""

    @property
    def conditions(self) -> list[str]:
        return [test for _, test in self.tests]

    @property
    def by(self) -> str:
        return spelled(self.terms)


class BestOf(NamedTuple):
    """The vocabulary's Best for the first of an order's joins."""

    alias: str
    rows: str
    join: str
    constants: int
    """How many terms stand before the value; they are 0 for all of the rows."""


def spelled(terms: Iterable[Term]) -> str:
    """The terms as ORDER BY has them."""
    return ", ".join(
        term.column + (" DESC" if term.descending else "") + (" NULLS LAST" if term.nullable else "") for term in terms
    )


def search_of(
    filter_text: str, order_by: Sequence[str], vocabulary: Vocabulary, parameters: Parameters
) -> tuple[list[str], Order]:
    """The conditions and the order of a search; one that is ordered by what it filters by looks its rows up once.

    With both looked up, PostgreSQL joined all runs twice and sorted them whole: 39 ms of its CPU for the best 100 of
    23,525 runs; with one join it walks down the sorted values until it has its page: 12 ms.
    """
    found = [_tested(clause, vocabulary, parameters) for clause in clauses_of(filter_text, vocabulary)]
    order = order_of(order_by, vocabulary, parameters)
    shared = [one for one in found if one.test and one.name in order.joined]
    tests = tuple((order.joined[one.name], _on_joined(one, order.joined[one.name])) for one in shared)
    return [one.text for one in found if one not in shared], replace(order, tests=tests)


def _on_joined(tested: Tested, alias: str) -> str:
    # The key once more: PostgreSQL refuses a parameter that no text mentions.
    return f"{alias}.key = {tested.key} AND {tested.test.replace(f'{TESTED_ALIAS}.', f'{alias}.')}"


def order_of(order_by: Sequence[str], vocabulary: Vocabulary, parameters: Parameters) -> Order:
    """The order that order_by asks for, and the vocabulary's own among equals. Raises MLflow's complaints."""
    if len(order_by) > ORDER_KEYS_LIMIT:
        raise invalid(f"Invalid order_by: it has {len(order_by)} clauses, more than {ORDER_KEYS_LIMIT}.")
    joins: list[str] = []
    joined: dict[Name, str] = {}
    terms: list[Term] = []
    seen: set[tuple[Term, ...] | Name] = set()
    best = None
    for text in order_by:
        name, descending = parse_order(text)
        entity = _entity(name, vocabulary)
        sort = _sort(entity, name.key, vocabulary)
        identity = Name(entity.name, name.key) if entity.any_sort else sort.terms
        if identity in seen:
            if vocabulary.refuse_repeats:
                raise invalid(f"`order_by` contains duplicate fields: {list(order_by)}"[:2000])
            continue
        seen.add(identity)
        alias = f"o{len(joins) + 1}"
        if sort.join:
            key = parameters.add(name.key)
            joins.append(sort.join.format(alias=alias, key=key))
            joined[Name(entity.name, name.key)] = alias
            best = best if terms else _best_of(sort, alias, key)
        terms += [_directed(term, descending, alias) for term in sort.terms]
    named = {term.column for term in terms}
    terms += [term for term in vocabulary.order if term.column not in named]
    return Order(tuple(joins), tuple(terms), joined, best=best)


def _best_of(sort: Sort, alias: str, key: str) -> BestOf | None:
    if sort.best is None:
        return None
    rows, join = (text.format(alias=alias, key=key) for text in sort.best)
    return BestOf(alias, rows, join, len(sort.terms) - 1)


def _sort(entity: Entity, key: str, vocabulary: Vocabulary) -> Sort:
    if not entity.sorts and not entity.any_sort:
        raise invalid(vocabulary.no_sort.format(entity=entity.name))
    sort = entity.any_sort or entity.sorts.get(key)
    if sort is None:
        raise invalid((entity.unknown_sort or entity.unknown_key).format(key=key[:250], valid=_set(entity.sorts)))
    return sort


def _directed(term: Term, descending: bool, alias: str) -> Term:
    return Term(term.column.format(alias=alias), term.values, descending and not term.fixed, term.nullable, term.fixed)
