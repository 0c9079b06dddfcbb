"""When a page is looked for among the best values alone. That its rows are the right ones: test_search_pages."""

from typing import Any

import pytest

from railtrack.api.runs.search import SearchRuns, query_of
from railtrack.search.page_token import Query
from railtrack.search.top_values import best_page, was_in_vain


def query(*order_by: str, **more: Any) -> Query:
    return query_of(SearchRuns(experiment_ids=["7"], order_by=list(order_by), **more))


@pytest.mark.parametrize("order_by", ["metrics.m", "params.p DESC", "tags.t"])
def test_an_order_that_begins_with_a_joined_value_begins_with_the_best_of_them(order_by: str) -> None:
    assert best_page(query(order_by, "start_time"), None, 10) is not None


@pytest.mark.parametrize("order_by", [[], ["start_time"], ["run_name", "metrics.m DESC"]])
def test_other_orders_know_no_best_values(order_by: list[str]) -> None:
    assert best_page(query(*order_by), None, 10) is None


def test_a_search_of_many_conditions_is_made_whole() -> None:
    conditions = " AND ".join(f"tags.t{number} = 'x'" for number in range(9))
    assert best_page(query("metrics.m", filter=conditions), None, 10) is None


def test_behind_the_numbers_the_search_is_made_whole() -> None:
    by_metric = query("metrics.m DESC")
    assert best_page(by_metric, [0, 1.5, 3, "id"], 10) is not None
    assert best_page(by_metric, [1, 0.0, 3, "id"], 10) is None
    assert best_page(by_metric, [2, None, 3, "id"], 10) is None
    assert best_page(query("params.p"), [None, 3, "id"], 10) is None


def test_a_search_is_made_whole_when_the_best_values_did_not_do() -> None:
    in_vain, other = query("metrics.in_vain"), query("metrics.in_vain DESC")
    was_in_vain(in_vain)
    assert best_page(in_vain, None, 10) is None
    assert best_page(other, None, 10) is not None


def test_only_the_conditions_of_the_first_order_choose_the_best() -> None:
    found = best_page(query("metrics.m DESC", "params.p", filter="params.p LIKE 'a%' AND metrics.m > 3"), None, 10)
    assert found is not None
    among, rest = found[0].split(" LIMIT ", 1)
    assert among.partition(" WHERE ")[2] == (
        "o1.key = $5 AND NOT o1.is_nan AND o1.key = $3 AND o1.value > $4 AND NOT o1.is_nan "
        "ORDER BY o1.value DESC NULLS LAST"
    )
    assert "o2.value LIKE $2" in rest
    assert "o1.value > (SELECT min(o1.value) FROM best AS o1)" in rest
