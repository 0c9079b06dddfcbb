"""Fetching a page of a PagedQuery in chunks, so that memory is bounded whatever the page's length."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from railtrack.search.page_token import SortValue
from railtrack.search.paged_query import PagedQuery
from railtrack.search.top_values import remember_failure, top_values_page

ROWS_AT_ONCE = 2000
"""Rows that one statement fetches, unless a resource needs another limit; a longer page is continued by keyset."""
CHUNK_ROWS = 250
"""Rows of a chunk, which is the unit that is loaded and encoded, unless a resource needs another limit."""

Fetch = Callable[..., Awaitable[Sequence[Any]]]
"""Runs a statement, `fetch(sql, *values)`, and returns its rows, or one object for each of them."""


class PageChunk(NamedTuple):
    """Some rows of a page, as `query.columns`; only the last chunk of a page can be empty or have a token."""

    rows: Sequence[Any]
    is_last: bool
    next_page_token: str


async def fetch_page(
    fetch: Fetch,
    query: PagedQuery,
    limit: int,
    *,
    sort_values: Callable[[Any], Sequence[SortValue]] | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
    chunk_rows: int = CHUNK_ROWS,
) -> AsyncGenerator[PageChunk, None]:
    """Yield at most `limit` rows, starting at the query's start.

    If `fetch` returns objects instead of rows, `sort_values` returns the sort values of an object.
    """
    width = -len(query.order.keys)
    columns = itemgetter(slice(width))
    after = query.start
    while True:
        wanted = min(limit, rows_at_once)
        rows = await _fetch_rows(fetch, query, after, wanted + 1)
        has_more = len(rows) > wanted
        rows = rows[:wanted]
        if not rows:
            yield PageChunk((), is_last=True, next_page_token="")
            return
        after = sort_values(rows[-1]) if sort_values else rows[-1][width:]
        limit -= len(rows)
        is_final = not has_more or not limit
        token = query.token_after(after) if has_more and is_final else ""
        for start in range(0, len(rows), chunk_rows):
            chunk = rows[start : start + chunk_rows]
            if not sort_values:
                chunk = list(map(columns, chunk))
            is_last = is_final and start + chunk_rows >= len(rows)
            yield PageChunk(chunk, is_last, token if is_last else "")
        if is_final:
            return


def rows_within(sizes: Sequence[int], limit: int) -> tuple[int, int]:
    """Return how many rows of these sizes have at most `limit` bytes together, one at least, and their bytes."""
    total = 0
    for number, size in enumerate(sizes):
        if number and total + size > limit:
            return number, total
        total += size
    return len(sizes), total


async def _fetch_rows(fetch: Fetch, query: PagedQuery, after: Sequence[SortValue] | None, limit: int) -> Sequence[Any]:
    attempt = top_values_page(query, after, limit)
    if attempt is not None:
        rows = await fetch(attempt.sql, *attempt.values)
        if len(rows) == limit:
            return rows
        if after is None:
            remember_failure(query)
    statement = query.page(after, limit)
    return await fetch(statement.sql, *statement.values)
