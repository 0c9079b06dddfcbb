"""A page in the order of a joined value, searched among the top values alone.

For the first 100 of 23,525 runs PostgreSQL joins all runs with their values before it sorts them: it cannot know that
nearly every value has a run that matches. Here the top values are selected first, somewhat more than the page has rows,
and their runs are looked up in this order until the page is full: 4.5 ms of processor time instead of 13, without a
filter 5 instead of 20. If that does not fill the page, the whole search runs, and the same search skips this attempt
for a while.
"""

import time
from collections.abc import Sequence

from railtrack.search.conditions import Parameters
from railtrack.search.page_token import SortValue
from railtrack.search.paged_query import STEP, PagedQuery, Statement, after_condition, order_sql

MIN_ROWS = 1000
"""With fewer rows in the search's scope a join of all is faster. (3 us each; reading a top value takes 0.1.)"""
SPARE_VALUES = 100
REMEMBERED_SEARCHES = 1000
FORGET_AFTER_S = 600

_failed: set[tuple[int, bytes]] = set()
"""Searches whose first page was not filled, by period of FORGET_AFTER_S and fingerprint."""


def top_values_page(query: PagedQuery, after: Sequence[SortValue] | None, limit: int) -> Statement | None:
    """Like `query.page`, return a statement that may find too few rows: if it finds `limit`, they are the right ones.

    Return None where the order does not allow it, where `after` is beyond the values, or where it failed recently.
    """
    top, order = query.order.top_values, query.order
    if top is None or len(query.where) > STEP or _signature(query) in _failed:
        return None
    at = top.constant_keys
    if after is not None and (any(after[:at]) or after[at] is None):  # beyond the values: at NaN, or at none
        return None
    key = order.keys[at]
    last, better = ("min", ">") if key.descending else ("max", "<")
    parameters = Parameters(*query.values)
    top_where = [top.select, *(test.sql for test in order.joined_tests if test.alias == top.alias)]
    where = [*query.where, *(test.sql for test in order.joined_tests if test.alias != top.alias)]
    if after is not None:
        top_where.append(f"NOT {key.expression} {better} {parameters.add(after[at])}")
        where.append(after_condition(order.keys[at:], after[at:], parameters))
    # Other rows with the last of the values may have been cut off.
    where.append(f"{key.expression} {better} (SELECT {last}({key.expression}) FROM top AS {top.alias})")  # noqa: S608
    # An experiment with a few runs may share the name of its metric with a million of others.
    where.append(f"EXISTS (SELECT 1 FROM {query.table} WHERE {query.where[0]} LIMIT 1 OFFSET {MIN_ROWS - 1})")  # noqa: S608
    sql = (
        f"WITH top AS MATERIALIZED ({' AND '.join(top_where)} ORDER BY {order_sql([key])} "  # noqa: S608 (our own text)
        f"LIMIT {parameters.add(2 * limit + SPARE_VALUES)}) "
        f"SELECT {query.columns}, {', '.join(key.expression for key in order.keys)} "
        f"FROM {' '.join([query.table, top.join, *order.joins[1:]])} WHERE {' AND '.join(where)} "
        f"ORDER BY {order_sql(order.keys[at:])} LIMIT {parameters.add(limit)}"
    )
    return Statement(sql, parameters.values)


def remember_failure(query: PagedQuery) -> None:
    """Record that the top values did not fill the first page of this search."""
    if len(_failed) >= REMEMBERED_SEARCHES:
        _failed.clear()
    _failed.add(_signature(query))


def _signature(query: PagedQuery) -> tuple[int, bytes]:
    return int(time.monotonic() / FORGET_AFTER_S), query.fingerprint
