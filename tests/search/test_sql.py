"""Clauses and a vocabulary, turned into SQL: golden tests on a vocabulary of books, and the refusals."""

from typing import Any

import pytest

from railtrack.errors import ApiError
from railtrack.search.fields import (
    LIST_COMPARATORS,
    NULL_COMPARATORS,
    TEXT_COMPARATORS,
    Entity,
    Field,
    Sort,
    Term,
    Values,
    Vocabulary,
)
from railtrack.search.sql import Parameters, among, conditions, order_of

BOOK = Entity(
    name="attribute",
    fields={
        "title": Field("b.title", lists=True),
        "author": Field("b.author"),
        "cover": Field("b.cover", lists=True, spellings={"paper": "1", "linen": "2"}),
        "printed": Field("b.printed", Values.BIGINT),
        "pages": Field("b.pages", Values.WHOLE),
        "shelf": Field("b.shelf", Values.ID, lists=True),
    },
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    sorts={
        "title": Sort((Term("b.title", Values.TEXT, nullable=True),)),
        "printed": Sort((Term("b.printed", Values.BIGINT),)),
        "Printed": Sort((Term("b.printed", Values.BIGINT),)),
    },
)
MARK = Entity(
    name="mark",
    any_field=Field(
        "m.value",
        rows="EXISTS (SELECT 1 FROM marks m WHERE m.id = b.id AND m.key = {key} AND {test})",
    ),
    any_sort=Sort(
        (Term("{alias}.value", Values.TEXT, nullable=True),),
        "LEFT JOIN marks {alias} ON {alias}.id = b.id AND {alias}.key = {key}",
    ),
    comparators=TEXT_COMPARATORS + NULL_COMPARATORS,
    text_wanted="A mark is a string, not {value}",
)
PRICE = Entity(
    name="price",
    any_field=Field(
        "p.value",
        Values.DOUBLE,
        rows="EXISTS (SELECT 1 FROM prices p WHERE p.id = b.id AND p.key = {key} AND {test})",
        is_nan="p.is_nan",
    ),
    number_wanted="A price is a number, not {value}",
    bad_comparator="Prices know no {comparator}",
)
NOTE = Entity(
    name="note",
    any_field=Field("n.value", rows="EXISTS (SELECT 1 FROM notes n WHERE n.key = {key} AND {test})", lists=True),
    comparators=TEXT_COMPARATORS + LIST_COMPARATORS,
    bare_text=True,
    bad_comparator="Notes know no {comparator} for {key}, but {ordered}",
)
LOAN = Entity(
    name="loan",
    fields={"days": Field("l.days", Values.WHOLE, quoted=True)},
    sorts={"days": Sort((Term("l.days", Values.BIGINT),))},
    unknown_sort="Loans go by {valid}, not by {key}",
)
BOOKS = Vocabulary(
    entities={"": BOOK, "book": BOOK, "mark": MARK, "marks": MARK, "price": PRICE, "note": NOTE, "loan": LOAN},
    order=(Term("b.printed", Values.BIGINT, descending=True), Term("b.id", Values.ID)),
    unknown_entity="No such thing as a {entity}",
    no_null_test="No {comparator} for {entity} {key}",
    no_sort="No order by {entity}",
)


def compiled(text: str) -> tuple[list[str], list[Any]]:
    parameters = Parameters()
    return conditions(text, BOOKS, parameters), parameters.values


def refusal(text: str) -> str:
    with pytest.raises(ApiError) as caught:
        conditions(text, BOOKS, Parameters())
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "sql", "values"),
    [
        ("title = 'a'", "b.title = $1", ["a"]),
        ('book.title != "it\'s"', "b.title <> $1", ["it's"]),
        ("title = 'a''b\\n'", "b.title = $1", ["a''b\\n"]),
        ("title LIKE 'a%'", "b.title LIKE $1 ESCAPE '\\'", ["a%"]),
        ("title ILIKE 'A\\%'", "lower(b.title) LIKE lower($1) ESCAPE '\\'", ["A\\%"]),
        ("title LIKE 'C:\\'", "b.title LIKE $1 ESCAPE '\\'", ["C:\\\\"]),
        ("title LIKE 'C:\\\\'", "b.title LIKE $1 ESCAPE '\\'", ["C:\\\\"]),
        ("title IN ('a', \"b\")", "b.title = ANY($1)", [["a", "b"]]),
        ("title NOT IN ('a')", "NOT (b.title = ANY($1))", [["a"]]),
        ("cover != 'linen'", "b.cover <> $1", ["2"]),
        ("cover IN ('paper', '2', 'gold')", "b.cover = ANY($1)", [["1", "2", "gold"]]),
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
def test_nothing_of_a_request_gets_into_the_text(value: str) -> None:
    plain, _ = compiled("title = 'x' AND mark.k LIKE 'x' AND title IN ('x')")
    sql, values = compiled(f'title = "{value}" AND mark."{value}" LIKE "{value}" AND title IN ("{value}")')
    assert sql == plain
    assert values == [value, value, value, [value]]


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_what_the_vocabulary_lacks_is_refused_in_its_words(text: str, told: str) -> None:
    assert refusal(text).startswith(told)


def test_comparisons_and_patterns_are_bounded() -> None:
    assert "61 comparisons" in refusal(" AND ".join(["title = 'a'"] * 61))
    assert "10001 characters" in refusal(f"title LIKE '{'a' * 10_001}'")


def test_a_column_is_held_to_one_value_or_to_several() -> None:
    parameters = Parameters("first")
    assert among("b.shelf", [7], parameters) == "b.shelf = $2"
    assert among("b.shelf", [7, 8], parameters) == "b.shelf = ANY($3)"
    assert among("b.shelf", [], parameters) == "b.shelf = ANY($4)"
    assert parameters.values == ["first", 7, [7, 8], []]


def ordered(*order_by: str) -> tuple[tuple[str, ...], str, list[Any]]:
    parameters = Parameters()
    order = order_of(order_by, BOOKS, parameters)
    return order.joins, order.by, parameters.values


def test_without_an_order_the_vocabulary_has_one() -> None:
    assert ordered() == ((), "b.printed DESC, b.id", [])


def test_rows_without_a_value_come_last_both_ways() -> None:
    assert ordered("title")[1] == "b.title NULLS LAST, b.printed DESC, b.id"
    assert ordered("title DESC")[1] == "b.title DESC NULLS LAST, b.printed DESC, b.id"


def test_an_own_direction_replaces_that_of_the_vocabulary() -> None:
    assert ordered("printed") == ((), "b.printed, b.id", [])


def test_each_key_of_a_free_name_has_a_join_of_its_own() -> None:
    joins, by, values = ordered("mark.a DESC", "printed", "mark.b")
    assert joins == (
        "LEFT JOIN marks o1 ON o1.id = b.id AND o1.key = $1",
        "LEFT JOIN marks o2 ON o2.id = b.id AND o2.key = $2",
    )
    assert by == "o1.value DESC NULLS LAST, b.printed, o2.value NULLS LAST, b.id"
    assert values == ["a", "b"]


@pytest.mark.parametrize("order_by", [["title", "title DESC"], ["printed", "Printed"], ["mark.a", "marks.a DESC"]])
def test_ordering_twice_by_one_thing_is_refused(order_by: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        ordered(*order_by)
    assert caught.value.message == f"`order_by` contains duplicate fields: {order_by}"
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("film.title", "No such thing as a film"),
        ("price.p", "No order by price"),
        ("author", "Invalid attribute key 'author' specified. Valid keys are '{'title', 'printed', 'Printed'}'"),
        ("loan.weeks", "Loans go by {'days'}, not by weeks"),
    ],
)
def test_an_order_by_what_has_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(ApiError) as caught:
        ordered(text)
    assert caught.value.message == told


def test_order_keys_are_bounded() -> None:
    with pytest.raises(ApiError, match="21 clauses"):
        ordered(*(f"mark.m{number}" for number in range(21)))
