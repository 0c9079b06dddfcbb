"""The answer of a search, made piece by piece: its memory is bounded whatever the page's length."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from railtrack.db import Db, Row
from railtrack.search.paging import Query, Value, make_token
from railtrack.wire.response import Raw, Reply, Stream

ROWS_AT_ONCE = 2000
"""Bare rows in memory at a time, unless a resource says otherwise; a longer page goes on by keyset."""
COMPLETE_AT_ONCE = 250
"""Rows that are made complete, and are in memory so, at a time, unless a resource says otherwise."""
WHOLE_BYTES = 4 * 1024 * 1024
"""Up to this size an answer is sent whole, and so compressed; a longer one leaves piece by piece."""

Encode = Callable[[Sequence[Row]], Awaitable[bytes]]
"""From rows of the query's columns, at most `complete_at_once`, to a JSON array of what they stand for."""


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
) -> Reply:
    """`{field: [...], "next_page_token": ...}`, with at most `max_results` rows after the one with the values `last`.

    Both are absent when empty. A refusal by the database leaves as an error, unless it comes after WHOLE_BYTES.
    """
    pieces = _pieces(db, query, last, max_results, field, encode, rows_at_once, complete_at_once)
    return await whole_or_streamed(pieces)


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


async def _pieces(
    db: Db,
    query: Query,
    last: Sequence[Value] | None,
    wanted: int,
    field: str,
    encode: Encode,
    rows_at_once: int,
    complete_at_once: int,
) -> AsyncGenerator[bytes, None]:
    """No connection is held while a piece is on its way, which with a slow client can take long."""
    opening = f'{{"{field}":['.encode()
    separator = opening
    while True:
        length = min(wanted, rows_at_once)
        sql, values = query.page(last, length + 1)
        rows = await db.fetch(sql, *values)
        page = rows[:length]
        for at in range(0, len(page), complete_at_once):
            encoded = await encode(page[at : at + complete_at_once])
            yield separator + encoded[1:-1]
            separator = b","
        if page:
            last = page[-1][-len(query.order.terms) :]
        wanted -= len(page)
        if len(rows) == len(page):
            yield b"{}" if separator is opening else b"]}"
            return
        if not wanted:
            assert last is not None
            yield f'],"next_page_token":"{make_token(query.fingerprint, last)}"}}'.encode()
            return
