"""Comparisons of a filter as SQL conditions. The SQL is the same for both engines.

Values of the request only ever travel as parameters.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from railtrack.errors import invalid
from railtrack.search.fields import (
    LIST_COMPARATORS,
    NUMBER_COMPARATORS,
    EntityFields,
    Field,
    SearchFields,
    ValueType,
)
from railtrack.search.parser import Clause, Kind, Name, Token, is_number, list_items, name_of, parse_filter, unquoted

COMPARISONS_LIMIT = 60
"""MLflow itself stops at about as many on SQLite, and takes seconds on PostgreSQL."""
PATTERN_LIMIT = 10_000
"""Characters of a LIKE pattern; SQLite rejects more than 50,000 bytes."""

SQL_OPERATORS = {"!=": "<>"}
INT64 = range(-(2**63), 2**63)
INT32 = range(-(2**31), 2**31)
_WHOLE_NUMBER = re.compile(r"-?\d{1,30}", re.ASCII)


class Parameters:
    """The values of a statement, in the order of their `$n`."""

    def __init__(self, *values: Any) -> None:
        self.values: list[Any] = list(values)

    def add(self, value: Any) -> str:
        """Add a value and return its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"


def among(column: str, values: Sequence[Any], parameters: Parameters) -> str:
    """Return the condition that the column has one of the values; with one value an index can give the order."""
    if len(values) == 1:
        return f"{column} = {parameters.add(values[0])}"
    return f"{column} = ANY({parameters.add(list(values))})"


class Condition(NamedTuple):
    """A comparison as SQL. `sql` is the whole condition, `test` the condition on the tested row alone."""

    sql: str
    name: Name
    key: str
    """The placeholder of the name's key, where the entity takes any name."""
    test: str
    """"" if no order can share the row's join."""


class _Comparison(NamedTuple):
    """A clause with its field resolved."""

    field: Field
    entity: EntityFields
    key: str
    comparator: str
    value: Token


def parse_clauses(text: str, fields: SearchFields) -> list[Clause]:
    """Parse a filter into its comparisons, without resolving names and values."""
    clauses = parse_filter(text, fields.invalid_clauses)
    if len(clauses) > COMPARISONS_LIMIT:
        raise invalid(f"Invalid filter: it has {len(clauses)} comparisons, more than {COMPARISONS_LIMIT}.")
    return clauses


def compares_attribute(text: str, fields: SearchFields, key: str) -> bool:
    """Return whether a filter has a comparison of this attribute, such as `run_id` or `attribute.run_id`."""
    attributes = fields.entities[""]
    return any(
        name.key == key and fields.entities.get(name.entity) is attributes
        for name in (name_of(clause.left) for clause in parse_clauses(text, fields))
    )


def compile_clause(clause: Clause, fields: SearchFields, parameters: Parameters) -> Condition:
    """Resolve a comparison's name and value and return it as SQL. Raise MLflow's error if either is invalid."""
    name = name_of(clause.left)
    entity = entity_of(name, fields)
    field = entity.any_field or entity.fields.get(name.key)
    if field is None:
        raise invalid(entity.unknown_key.format(key=name.key[:250], valid=as_set(entity.fields)))
    key = parameters.add(name.key) if entity.any_field else ""
    resolved = Name(entity.name, name.key)
    if clause.right is None:
        if clause.comparator not in entity.comparators:
            message = fields.null_not_supported
            raise invalid(message.format(entity=entity.name, key=name.key[:250], comparator=clause.comparator))
        has_value = field.condition.format(key=key, test=f"{field.column} IS NOT NULL")
        return Condition(has_value if clause.comparator == "IS NOT NULL" else f"NOT {has_value}", resolved, key, "")
    comparison = _Comparison(field, entity, name.key, clause.comparator, clause.right)
    test = _TESTS[field.type](comparison, parameters)
    sql = field.condition.format(key=key, test=test)
    return Condition(sql, resolved, key, test if entity.shares_joins else "")


def entity_of(name: Name, fields: SearchFields) -> EntityFields:
    """Return the entity of a name. Raise MLflow's error for an unknown one."""
    entity = fields.entities.get(name.entity)
    if entity is None:
        raise invalid(fields.unknown_entity.format(entity=name.entity[:250]))
    return entity


def as_set(names: Iterable[str]) -> str:
    """Format names as Python formats a set: MLflow's messages list valid names so, in an order that varies there."""
    return "{" + ", ".join(f"'{name}'" for name in names) + "}"


def _invalid_comparator(comparison: _Comparison, valid: Sequence[str]) -> str:
    return comparison.entity.invalid_comparator.format(
        key=comparison.key[:250], comparator=comparison.comparator[:50], valid=as_set(valid), ordered=tuple(valid)
    )


def _text_test(comparison: _Comparison, parameters: Parameters) -> str:
    field, entity, _, comparator, value = comparison
    if value.kind is Kind.LIST:
        return _list_test(comparison, parameters)
    text = _text_value(entity, value)
    if comparator not in entity.comparators:
        raise invalid(_invalid_comparator(comparison, entity.comparators))
    if field.values and comparator in ("LIKE", "ILIKE"):
        raise invalid(f"Invalid comparison operator for {comparison.key}: {comparator}")
    if comparator in ("LIKE", "ILIKE"):
        return _pattern_test(field.column, comparator, text, parameters)
    [text] = _stored(field, [text], text)
    return f"{field.column} {SQL_OPERATORS.get(comparator, comparator)} {parameters.add(text)}"


def _list_test(comparison: _Comparison, parameters: Parameters) -> str:
    field, entity, _, comparator, value = comparison
    with_lists = [key for key, other in entity.fields.items() if other.accepts_lists]
    if with_lists and not field.accepts_lists:
        raise invalid(f"Only {with_lists} attributes support comparison with a list of quoted string values.")
    if not field.accepts_lists or comparator not in LIST_COMPARATORS:
        raise invalid(entity.text_expected.format(value=value.text[:1000]))
    items = list_items(value)
    return _membership_test(field.column, comparator, _stored(field, items, tuple(items)), parameters)


def _stored(field: Field, names: Sequence[str], shown: object) -> list[str]:
    """Return what is stored for the names. Raise MLflow's error if the field has other values."""
    if field.values and not field.values.keys() >= set(names):
        raise invalid(field.unknown_value.format(value=repr(shown)[:1000]))
    return [field.values.get(name, name) for name in names]


def _text_value(entity: EntityFields, value: Token) -> str:
    """Return the text that a token stands for. Raise MLflow's error for one that has to be quoted."""
    if value.kind is Kind.STRING:
        return unquoted(value.text)
    if entity.accepts_unquoted_text:
        return value.text
    if value.kind is Kind.NAME and value.text.upper() != "NULL":
        raise invalid(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{value.text[:1000]}. Use either single or double quotes."
        )
    raise invalid(entity.text_expected.format(value=value.text[:1000]))


def _membership_test(column: str, comparator: str, values: list[Any], parameters: Parameters) -> str:
    test = f"{column} = ANY({parameters.add(values)})"
    return f"NOT ({test})" if comparator in ("NOT IN", "!=") else test


def _pattern_test(column: str, comparator: str, pattern: str, parameters: Parameters) -> str:
    """Return a LIKE as MLflow has it: the backslash escapes on PostgreSQL, and stands for itself on SQLite.

    PostgreSQL rejects a pattern that ends within an escape. There, too, the last backslash stands for itself.
    """
    if len(pattern) > PATTERN_LIMIT:
        raise invalid(f"Invalid filter: a pattern has {len(pattern)} characters, more than {PATTERN_LIMIT}.")
    backslashes = len(pattern) - len(pattern.rstrip("\\"))
    ends_in_backslash = ""
    if backslashes % 2:
        pattern = pattern[:-1] + "_"
        ends_in_backslash = f" AND substr({column}, length({column}), 1) = '\\'"
    placeholder = parameters.add(pattern)
    if comparator == "ILIKE":
        return f"lower({column}) LIKE lower({placeholder}){ends_in_backslash}"
    return f"{column} LIKE {placeholder}{ends_in_backslash}"


def _number_test(comparison: _Comparison, parameters: Parameters) -> str:
    field, entity, key, comparator, value = comparison
    is_quoted = field.accepts_quoted_numbers and value.kind is Kind.STRING
    text = unquoted(value.text) if is_quoted else value.text
    if not is_number(text):
        raise invalid(entity.number_expected.format(key=key, value=value.text[:1000]))
    if comparator not in NUMBER_COMPARATORS:
        raise invalid(_invalid_comparator(comparison, NUMBER_COMPARATORS))
    is_whole = _WHOLE_NUMBER.fullmatch(text) is not None
    if field.type is ValueType.WHOLE and not is_whole:
        raise invalid(f"Invalid value for numeric attribute '{key}': '{float(text)}'")
    if field.type is ValueType.DOUBLE:
        number = parameters.add(float(text))
    elif is_whole and int(text) in INT64:
        number = parameters.add(int(text))
    else:
        # PostgreSQL would type a parameter next to a BIGINT as one, too.
        number = f"CAST({parameters.add(float(text))} AS DOUBLE PRECISION)"
    test = f"{field.column} {SQL_OPERATORS.get(comparator, comparator)} {number}"
    if not field.is_nan:
        return test
    # NaN is stored as 0. It equals nothing, so it differs from everything.
    return f"({test} OR {field.is_nan})" if comparator == "!=" else f"{test} AND NOT {field.is_nan}"


def _id_test(comparison: _Comparison, parameters: Parameters) -> str:
    field, entity, key, comparator, value = comparison
    if value.kind is Kind.LIST and comparator in LIST_COMPARATORS:
        ids = list_items(value)
    elif value.kind is not Kind.STRING:
        raise invalid(entity.text_expected.format(value=value.text[:1000]))
    elif comparator not in ("=", "!="):
        raise invalid(f"Invalid comparator for {key}: {comparator[:50]}")
    else:
        ids = [unquoted(value.text)]
    for text in ids:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise invalid(f"Invalid experiment ID '{text[:250]}'. Experiment ID must be a valid integer.")
    numbers = [int(text) for text in ids if int(text) in INT32]
    return _membership_test(field.column, comparator, numbers, parameters)


_TESTS = {
    ValueType.TEXT: _text_test,
    ValueType.DOUBLE: _number_test,
    ValueType.BIGINT: _number_test,
    ValueType.WHOLE: _number_test,
    ValueType.ID: _id_test,
}
