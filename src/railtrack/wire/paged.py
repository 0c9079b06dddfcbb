"""The answer of a search, made piece by piece: its memory is bounded whatever the page's length."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from railtrack.db import Db, Row
from railtrack.search.page_token import Query, Value, make_token
from railtrack.search.top_values import best_page, was_in_vain
from railtrack.wire.response import Raw, Reply, Stream

ROWS_AT_ONCE = 2000
"""Bare rows in memory at a time, unless a resource says otherwise; a longer page goes on by keyset."""
COMPLETE_AT_ONCE = 250
"""Rows that are made complete, and are in memory so, at a time, unless a resource says otherwise."""
WHOLE_BYTES = 4 * 1024 * 1024
"""Up to this size an answer is sent whole, and so compressed; a longer one leaves piece by piece."""

Encode = Callable[[Sequence[Any]], Awaitable[bytes]]
"""From rows of the query's columns, at most `complete_at_once`, to a JSON array of what they stand for."""
Fetch = Callable[[str, Sequence[Any]], Awaitable[Sequence[Any]]]
"""From a statement and its parameters to what stands for its rows, one for one: the rows themselves by default."""
Place = Callable[[Any], Sequence[Value]]
"""The order values of what stands for a row."""


async def paged_reply(
    db: Db,
    query: Query,
    last: Sequence[Value] | None,
    max_results: int,
    field: str,
    encode: Encode,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
    complete_at_once: int = COMPLETE_AT_ONCE,
    fetch: Fetch | None = None,
    place: Place | None = None,
) -> Reply:
    """`{field: [...], "next_page_token": ...}`, with at most `max_results` rows after the one with the values `last`.

    Both are absent when empty. A refusal by the database leaves as an error, unless it comes after WHOLE_BYTES.
    """

    async def rows(last: Sequence[Value] | None, limit: int) -> Sequence[Any]:
        if fetch is None:
            return await _rows(db, query, last, limit)
        return await fetch(*query.page(last, limit))

    def last_columns(row: Any) -> Sequence[Value]:
        columns: Sequence[Value] = row[-len(query.order.terms) :]
        return columns

    reading = _Reading(rows, place or last_columns, encode, rows_at_once, complete_at_once)
    pieces = _pieces(query, last, max_results, field, reading)
    return await whole_or_streamed(pieces)


async def _rows(db: Db, query: Query, last: Sequence[Value] | None, limit: int) -> Sequence[Row]:
    guess = best_page(query, last, limit) if db.engine == "postgresql" else None  # SQLite takes as long either way
    if guess is not None:
        sql, values = guess
        found = await db.fetch(sql, *values)
        if len(found) == limit:
            return found
        if last is None:
            was_in_vain(query)
    sql, values = query.page(last, limit)
    return await db.fetch(sql, *values)


async def whole_or_streamed(pieces: AsyncGenerator[bytes, None]) -> Reply:
    """The pieces as one JSON answer when they are few, else sent on as they come."""
    begun: list[bytes] = []
    length = 0
    async for piece in pieces:
        begun.append(piece)
        length += len(piece)
        if length > WHOLE_BYTES:
            return Stream(_chained(begun, pieces))
    return Raw(b"".join(begun))


async def _chained(begun: Sequence[bytes], rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    for piece in begun:
        yield piece
    async for piece in rest:
        yield piece


class _Reading(NamedTuple):
    rows: Callable[[Sequence[Value] | None, int], Awaitable[Sequence[Any]]]
    """What stands for at most so many rows after the one with the order values."""
    place: Place
    encode: Encode
    rows_at_once: int
    complete_at_once: int


async def _pieces(
    query: Query, last: Sequence[Value] | None, wanted: int, field: str, reading: _Reading
) -> AsyncGenerator[bytes, None]:
    """No connection is held while a piece is on its way, which with a slow client can take long."""
    opening = f'{{"{field}":['.encode()
    separator = opening
    while True:
        length = min(wanted, reading.rows_at_once)
        rows = await reading.rows(last, length + 1)
        page = rows[:length]
        if not page:
            yield b"{}" if separator is opening else b"]}"
            return
        last = reading.place(page[-1])
        wanted -= len(page)
        closing = b"]}" if len(rows) == len(page) else b"" if wanted else _leading_on(query, last)
        *firsts, final = range(0, len(page), reading.complete_at_once)
        for at in (*firsts, final):
            encoded = await reading.encode(page[at : at + reading.complete_at_once])
            # Put together at once, for a page of metrics is 2 MB: each copy of it was a tenth of what it cost.
            yield b"".join((separator, memoryview(encoded)[1:-1], closing if at == final else b""))
            separator = b","
        if closing:
            return


def _leading_on(query: Query, last: Sequence[Value]) -> bytes:
    return f'],"next_page_token":"{make_token(query.fingerprint, last)}"}}'.encode()
