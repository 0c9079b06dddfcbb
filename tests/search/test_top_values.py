"""When a page is searched among the top values alone. That its rows are right is tested in test_search_pages.py."""

from typing import Any

import pytest

from railtrack.api.runs.search import SearchRuns, compile_search
from railtrack.search.paged_query import PagedQuery
from railtrack.search.top_values import remember_failure, top_values_page


def query(*order_by: str, **more: Any) -> PagedQuery:
    return compile_search(SearchRuns(experiment_ids=["7"], order_by=list(order_by), **more))


@pytest.mark.parametrize("order_by", ["metrics.m", "params.p DESC", "tags.t"])
def test_an_order_by_a_joined_value_starts_with_its_top_values(order_by: str) -> None:
    assert top_values_page(query(order_by, "start_time"), None, 10) is not None


@pytest.mark.parametrize("order_by", [[], ["start_time"], ["run_name", "metrics.m DESC"]])
def test_other_orders_have_no_top_values(order_by: list[str]) -> None:
    assert top_values_page(query(*order_by), None, 10) is None


def test_a_search_with_many_conditions_runs_whole() -> None:
    conditions = " AND ".join(f"tags.t{number} = 'x'" for number in range(9))
    assert top_values_page(query("metrics.m", filter=conditions), None, 10) is None


def test_the_search_runs_whole_after_the_last_number() -> None:
    by_metric = query("metrics.m DESC")
    assert top_values_page(by_metric, [0, 1.5, 3, "id"], 10) is not None
    assert top_values_page(by_metric, [1, 0.0, 3, "id"], 10) is None
    assert top_values_page(by_metric, [2, None, 3, "id"], 10) is None
    assert top_values_page(query("params.p"), [None, 3, "id"], 10) is None


def test_a_search_runs_whole_after_its_top_values_failed() -> None:
    failed, other = query("metrics.failed"), query("metrics.failed DESC")
    remember_failure(failed)
    assert top_values_page(failed, None, 10) is None
    assert top_values_page(other, None, 10) is not None


def test_only_conditions_on_the_first_sort_key_limit_the_top_values() -> None:
    statement = top_values_page(
        query("metrics.m DESC", "params.p", filter="params.p LIKE 'a%' AND metrics.m > 3"), None, 10
    )
    assert statement is not None
    among, rest = statement.sql.split(" LIMIT ", 1)
    assert among.partition(" WHERE ")[2] == (
        "o1.key = $5 AND NOT o1.is_nan AND o1.key = $3 AND o1.value > $4 AND NOT o1.is_nan "
        "ORDER BY o1.value DESC NULLS LAST"
    )
    assert "o2.value LIKE $2" in rest
    assert "o1.value > (SELECT min(o1.value) FROM top AS o1)" in rest
