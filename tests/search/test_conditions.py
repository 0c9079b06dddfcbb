"""SQL of the comparisons of a filter, and the errors: golden tests on the search fields of books."""

from typing import Any

import pytest
from tests.search.books import BOOKS

from railtrack.errors import ApiError
from railtrack.search.conditions import Parameters, among, compile_clause, parse_clauses


def compiled(text: str) -> tuple[list[str], list[Any]]:
    parameters = Parameters()
    conditions = [compile_clause(clause, BOOKS, parameters) for clause in parse_clauses(text, BOOKS)]
    return [condition.sql for condition in conditions], parameters.values


def error_message(text: str) -> str:
    with pytest.raises(ApiError) as caught:
        compiled(text)
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "sql", "values"),
    [
        ("title = 'a'", "b.title = $1", ["a"]),
        ('book.title != "it\'s"', "b.title <> $1", ["it's"]),
        ("title = 'a''b\\n'", "b.title = $1", ["a''b\\n"]),
        ("title LIKE 'a%'", "b.title LIKE $1", ["a%"]),
        ("title ILIKE 'A\\%'", "lower(b.title) LIKE lower($1)", ["A\\%"]),
        ("title LIKE 'C:\\'", "b.title LIKE $1 AND substr(b.title, length(b.title), 1) = '\\'", ["C:_"]),
        ("title LIKE 'C:\\\\'", "b.title LIKE $1", ["C:\\\\"]),
        ("title IN ('a', \"b\")", "b.title = ANY($1)", [["a", "b"]]),
        ("title NOT IN ('a')", "NOT (b.title = ANY($1))", [["a"]]),
        ("cover != 'linen'", "b.cover <> $1", ["2"]),
        ("cover IN ('paper', 'linen')", "b.cover = ANY($1)", [["1", "2"]]),
        ("printed > 5", "b.printed > $1", [5]),
        ("printed >= 5.5", "b.printed >= CAST($1 AS DOUBLE PRECISION)", [5.5]),
        ("printed < 1e3", "b.printed < CAST($1 AS DOUBLE PRECISION)", [1000.0]),
        ("printed != 9223372036854775808", "b.printed <> CAST($1 AS DOUBLE PRECISION)", [2.0**63]),
        ("pages = -3", "b.pages = $1", [-3]),
        ("shelf = '7'", "b.shelf = ANY($1)", [[7]]),
        ("shelf != '7'", "NOT (b.shelf = ANY($1))", [[7]]),
        ("shelf IN ('7', '99999999999')", "b.shelf = ANY($1)", [[7]]),
        (
            "marks.`a b` = 'x'",
            "EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = $1 AND m.value = $2)",
            ["a b", "x"],
        ),
        (
            "mark.a IS NOT NULL",
            "EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = $1 AND m.value IS NOT NULL)",
            ["a"],
        ),
        (
            "mark.a IS NULL",
            "NOT EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = $1 AND m.value IS NOT NULL)",
            ["a"],
        ),
        (
            "price.p > 1",
            "EXISTS (SELECT 1 FROM prices p WHERE p.id = b.id AND p.key = $1 AND p.value > $2 AND NOT p.is_nan)",
            ["p", 1.0],
        ),
        (
            "price.p != 1",
            "EXISTS (SELECT 1 FROM prices p WHERE p.id = b.id AND p.key = $1 AND (p.value <> $2 OR p.is_nan))",
            ["p", 1.0],
        ),
        (
            "price.p < 1e999",
            "EXISTS (SELECT 1 FROM prices p WHERE p.id = b.id AND p.key = $1 AND p.value < $2 AND NOT p.is_nan)",
            ["p", float("inf")],
        ),
        ("note.n = abc", "EXISTS (SELECT 1 FROM notes n WHERE n.key = $1 AND n.value = $2)", ["n", "abc"]),
        ("note.n != 1.50", "EXISTS (SELECT 1 FROM notes n WHERE n.key = $1 AND n.value <> $2)", ["n", "1.50"]),
        ("note.n IN ('a')", "EXISTS (SELECT 1 FROM notes n WHERE n.key = $1 AND n.value = ANY($2))", ["n", ["a"]]),
        ("loan.days > '5'", "l.days > $1", [5]),
        ('loan.days > "5"', "l.days > $1", [5]),
        ("loan.days > 5", "l.days > $1", [5]),
    ],
)
def test_a_comparison_becomes_a_condition(text: str, sql: str, values: list[Any]) -> None:
    assert compiled(text) == ([sql], values)


def test_comparisons_share_one_list_of_parameters() -> None:
    sql, values = compiled("title = 'a' AND mark.m = 'b' AND pages < 3")
    assert sql == [
        "b.title = $1",
        "EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = $2 AND m.value = $3)",
        "b.pages < $4",
    ]
    assert values == ["a", "m", "b", 3]


@pytest.mark.parametrize("value", ["'; DROP TABLE runs; --", "$1", "{test}", "%s", "a) OR (1=1"])
def test_values_of_a_request_never_become_sql(value: str) -> None:
    plain, _ = compiled("title = 'x' AND mark.k LIKE 'x' AND title IN ('x')")
    sql, values = compiled(f'title = "{value}" AND mark."{value}" LIKE "{value}" AND title IN ("{value}")')
    assert sql == plain
    assert values == [value, value, value, [value]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film.title = 'a'", "No such thing as a film"),
        (
            "weight = 1",
            "Invalid attribute key 'weight' specified. "
            "Valid keys are '{'title', 'author', 'cover', 'printed', 'pages', 'shelf'}'",
        ),
        ("title = 1", "Expected a quoted string value for attributes. Got value 1"),
        ("title = NULL", "Expected a quoted string value for attributes. Got value NULL"),
        (
            "title = abc",
            "Parameter value is either not quoted or unidentified quote types used for string value abc. "
            "Use either single or double quotes.",
        ),
        (
            "title = `abc`",
            "Parameter value is either not quoted or unidentified quote types used for string value `abc`. "
            "Use either single or double quotes.",
        ),
        (
            "title > 'a'",
            "Invalid comparator '>' not one of '{'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}'",
        ),
        ("title = ('a')", "Expected a quoted string value for attributes. Got value ('a')"),
        (
            "author IN ('a')",
            "Only ['title', 'cover', 'shelf'] attributes support comparison with a list of quoted string values.",
        ),
        ("title IS NULL", "No IS NULL for attribute title"),
        ("printed = '5'", "Expected numeric value type for numeric attribute: printed. Found '5'"),
        ("printed LIKE 5", "Invalid comparator 'LIKE' not one of '{'<', '<=', '>', '>=', '=', '!='}'"),
        ("pages = 1.5", "Invalid value for numeric attribute 'pages': '1.5'"),
        ("shelf = 7", "Expected a quoted string value for attributes. Got value 7"),
        ("shelf = 'x'", "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        ("shelf LIKE '7'", "Invalid comparator for shelf: LIKE"),
        ("mark.m = 1", "A mark is a string, not 1"),
        ("mark.m IN ('a')", "A mark is a string, not ('a')"),
        ("mark.m NOT LIKE 'a'", "Invalid comparator 'NOT LIKE' not one of "),
        ("price.p = 'a'", "A price is a number, not 'a'"),
        ("price.p = nan", "A price is a number, not nan"),
        ("price.p == 1", "Prices know no =="),
        ("price.p IS NULL", "No IS NULL for price p"),
        ("price.p IS NOT NULL", "No IS NOT NULL for price p"),
        ("note.n > a", "Notes know no > for n, but ('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')"),
        ("loan.days > 'five'", "Expected numeric value type for numeric attribute: days. Found 'five'"),
        ("loan.days > five", "Expected numeric value type for numeric attribute: days. Found five"),
    ],
)
def test_an_invalid_comparison_has_the_error_of_its_entity(text: str, message: str) -> None:
    assert error_message(text).startswith(message)


def test_comparisons_and_patterns_are_limited() -> None:
    assert "61 comparisons" in error_message(" AND ".join(["title = 'a'"] * 61))
    assert "10001 characters" in error_message(f"title LIKE '{'a' * 10_001}'")


def test_a_column_is_restricted_to_one_value_or_to_several() -> None:
    parameters = Parameters("first")
    assert among("b.shelf", [7], parameters) == "b.shelf = $2"
    assert among("b.shelf", [7, 8], parameters) == "b.shelf = ANY($3)"
    assert among("b.shelf", [], parameters) == "b.shelf = ANY($4)"
    assert parameters.values == ["first", 7, [7, 8], []]
