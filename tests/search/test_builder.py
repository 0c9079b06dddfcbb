"""SearchBuilder: filter, order and scope of a search as one query."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.search.books import BOOKS

from railtrack.errors import ApiError
from railtrack.search.builder import SearchBuilder
from railtrack.search.fields import SortKey, ValueType


def test_the_scope_of_a_search_precedes_its_filter() -> None:
    search = SearchBuilder(BOOKS, "b.id").filter("title = 'a' AND pages > 3").among("b.shelf", [1, 2]).where("b.sold")
    query = search.build("")
    assert query.where == ["b.shelf = ANY($3)", "b.sold", "b.title = $1", "b.pages > $2"]
    assert query.values == ["a", 3, [1, 2]]
    assert (query.columns, query.table, query.start) == ("b.id", "books", None)


def test_an_invalid_part_is_reported_in_the_order_of_the_calls() -> None:
    with pytest.raises(ApiError, match="No such thing as a film"):
        SearchBuilder(BOOKS, "b.id").filter("film.title = 'a'").order_by(["price.p"])


def test_a_comparison_of_a_name_in_the_order_tests_its_join() -> None:
    query = SearchBuilder(BOOKS, "b.id").filter("rating.r > 3 AND rating.s > 4").order_by(["rating.r DESC"]).build("")
    assert query.order.joins == ("LEFT JOIN ratings o1 ON o1.id = b.id AND o1.key = $5",)
    assert query.order.joined_tests == (("o1", "o1.key = $1 AND o1.value > $2"),)
    assert query.where == ["EXISTS (SELECT 1 FROM ratings x WHERE x.id = b.id AND x.key = $3 AND x.value > $4)"]


def test_explicit_sort_keys_are_completed_by_the_default_order() -> None:
    title = SortKey("b.title", ValueType.TEXT)
    query = SearchBuilder(BOOKS, "b.id").sort([title, SortKey("b.title", ValueType.TEXT, descending=True)]).build("")
    assert query.order.sql == "b.title, b.printed DESC, b.id"


def test_a_search_starts_after_the_row_of_its_token() -> None:
    search = SearchBuilder(BOOKS, "b.id").filter("title = 'a'")
    token = search.build("").token_after([1999, 7])
    assert search.build(token).start == [1999, 7]
    with pytest.raises(ApiError, match="another filter"):
        SearchBuilder(BOOKS, "b.id").filter("title = 'b'").build(token)


def ordered(*order_by: str) -> tuple[tuple[str, ...], str, Sequence[Any]]:
    query = SearchBuilder(BOOKS, "b.id").order_by(order_by).build("")
    return query.order.joins, query.order.sql, query.values


def test_the_default_order_applies_without_order_by() -> None:
    assert ordered() == ((), "b.printed DESC, b.id", [])


def test_rows_without_a_value_come_last_in_both_directions() -> None:
    assert ordered("title")[1] == "b.title NULLS LAST, b.printed DESC, b.id"
    assert ordered("title DESC")[1] == "b.title DESC NULLS LAST, b.printed DESC, b.id"


def test_a_requested_direction_replaces_that_of_the_default_order() -> None:
    assert ordered("printed") == ((), "b.printed, b.id", [])


def test_each_key_of_an_open_entity_has_its_own_join() -> None:
    joins, by, values = ordered("mark.a DESC", "printed", "mark.b")
    assert joins == (
        "LEFT JOIN marks o1 ON o1.id = b.id AND o1.key = $1",
        "LEFT JOIN marks o2 ON o2.id = b.id AND o2.key = $2",
    )
    assert by == "o1.value DESC NULLS LAST, b.printed, o2.value NULLS LAST, b.id"
    assert values == ["a", "b"]


@pytest.mark.parametrize("order_by", [["title", "title DESC"], ["printed", "Printed"], ["mark.a", "marks.a DESC"]])
def test_ordering_twice_by_one_field_is_rejected(order_by: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        ordered(*order_by)
    assert caught.value.message == f"`order_by` contains duplicate fields: {order_by}"
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film.title", "No such thing as a film"),
        ("price.p", "No order by price"),
        ("author", "Invalid attribute key 'author' specified. Valid keys are '{'title', 'printed', 'Printed'}'"),
        ("loan.weeks", "Loans go by {'days'}, not by weeks"),
    ],
)
def test_an_order_by_an_unsupported_name_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        ordered(text)
    assert caught.value.message == message


def test_order_keys_are_limited() -> None:
    with pytest.raises(ApiError, match="21 clauses"):
        ordered(*(f"mark.m{number}" for number in range(21)))
