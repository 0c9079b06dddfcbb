"""A list as a JSON response, encoded chunk by chunk: memory is bounded whatever the list's length."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from railtrack.byte_budget import BUDGET, SMALL
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import SMALL_RESPONSE, BytesResponse, Response, StreamResponse

BUFFERED_BYTES = 4 * 1024 * 1024
"""Up to this size a response is sent whole, and so compressed, if there is memory for it; else it is streamed."""
PIECE_BYTES = 512 * 1024
"""Approximate size of a piece of a list: of so many rows as had this size in the lists before. Reserved for each list
while it is streamed, however slowly the client reads."""
LOADED_BYTES = 2 * PIECE_BYTES
"""What is loaded for a piece. More would keep the event loop, too: decoding 1 MB takes about 10 ms."""
LOADED_FACTOR = 4
"""Memory of a row for each of its bytes: as the driver receives it, as texts, encoded, and as a part of a piece."""

SHORT_PAGE = 100
"""Pages of so many rows never wait for longer ones. The web interface asks for them."""

_encode = msgspec.json.Encoder().encode


class Chunk(Protocol):
    """Some rows of a list. Only the last chunk can be empty or have a token; "" if no page follows."""

    @property
    def rows(self) -> Sequence[Any]: ...
    @property
    def is_last(self) -> bool: ...
    @property
    def next_page_token(self) -> str: ...


class RowsTooLarge(Exception):
    """What belongs to the rows has `size` bytes, more than were allowed, and was not loaded."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


Load = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""From some rows of a chunk to the structs to encode."""
LimitedLoad = Callable[[Sequence[Any], int], Awaitable[Sequence[Any]]]
"""The same, but instead of loading more than so many bytes it raises RowsTooLarge."""


class RowSize:
    """The average size of the rows of a kind of list, from those that were encoded before."""

    def __init__(self) -> None:
        self._bytes = 8192.0  # more than usual: many first pages may be requested at once

    def estimate(self, rows: int) -> int:
        """Return the approximate size of so many rows, PIECE_BYTES at most."""
        return int(min(PIECE_BYTES, rows * self._bytes))

    @property
    def rows_at_once(self) -> int:
        """Return the number of rows that have about PIECE_BYTES."""
        return max(1, int(PIECE_BYTES / self._bytes))

    def observe(self, rows: int, size: int) -> None:
        """Take account of `rows` rows with `size` bytes: at once of larger ones, gradually of smaller ones."""
        observed = size / rows
        self._bytes = observed if observed > self._bytes else (3 * self._bytes + observed) / 4


_row_sizes: defaultdict[type[msgspec.Struct], RowSize] = defaultdict(RowSize)


async def list_response(
    http: HttpRequest,
    response: type[msgspec.Struct],
    chunks: AsyncGenerator[Chunk, None],
    limit: int,
    load: Load | None = None,
    load_limited: LimitedLoad | None = None,
) -> Response:
    """Return the rows, or what is loaded for them, as the first field of `response`, and the next page's token.

    Both are absent if empty. `limit`: of the rows, to estimate the memory that they need.

    An error of the first BUFFERED_BYTES becomes an error response, a later one breaks the response off.
    """
    if load is not None:
        load_limited = _without_limit(load)
    row_size = _row_sizes[response]
    pieces = _encoded(http, response.__struct_encode_fields__[0], chunks, load_limited, row_size)
    estimate = row_size.estimate(limit)
    return await buffered_or_streamed(http, pieces, min(estimate, SMALL) if limit <= SHORT_PAGE else estimate)


def _without_limit(load: Load) -> LimitedLoad:
    return lambda rows, _max_bytes: load(rows)


async def _encoded(
    http: HttpRequest, field: str, chunks: AsyncGenerator[Chunk, None], load: LimitedLoad | None, row_size: RowSize
) -> AsyncGenerator[bytes, None]:
    """Yield the response's JSON. No database connection is held meanwhile: a slow client can take long.

    A row that is larger than a piece waits for the memory that it needs, or is rejected.
    """
    separator = opening = f'{{"{field}":['.encode()
    async for chunk in chunks:
        if not chunk.rows:  # of the first chunk, or because the rows that had been seen were deleted meanwhile
            yield b"{}" if separator is opening else b"]}"
            return
        start, loaded_bytes = 0, LOADED_BYTES
        while start < len(chunk.rows):
            rows = chunk.rows[start : start + row_size.rows_at_once] if load else chunk.rows
            try:
                encoded = memoryview(_encode(await load(rows, loaded_bytes) if load else rows))[1:-1]
            except RowsTooLarge as error:
                row_size.observe(len(rows), error.size)  # so the next attempt is with at most half as many
                if len(rows) == 1:
                    await http.hold_more(BUDGET.responses, LOADED_FACTOR * error.size)
                    loaded_bytes = error.size
                continue
            start, loaded_bytes = start + len(rows), LOADED_BYTES
            row_size.observe(len(rows), len(encoded))
            end = b""
            if chunk.is_last and start == len(chunk.rows):
                end = f'],"next_page_token":"{chunk.next_page_token}"}}'.encode() if chunk.next_page_token else b"]}"
            # One join: a page of metrics has 2 MB, and each copy of it took a tenth of its processor time.
            piece = b"".join((separator, encoded, end))
            del encoded, rows  # a client can take long to read the piece
            yield piece
            del piece
            separator = b","


async def buffered_or_streamed(
    http: HttpRequest, pieces: AsyncGenerator[bytes, None], first_piece_bytes: int = PIECE_BYTES
) -> Response:
    """Return JSON that is made piece by piece as one response if it is short, else as a stream.

    It is streamed as well if half of the memory for responses is in use: then it holds one piece at a time.
    """
    responses = BUDGET.responses
    buffer: list[bytes] = []
    length = 0
    if first_piece_bytes > SMALL_RESPONSE:
        await http.hold(responses, first_piece_bytes)
    async for piece in pieces:
        buffer.append(piece)
        length += len(piece)
        if length <= SMALL:
            has_room = http.try_hold(responses, max(length, first_piece_bytes), responses.limit)
        else:
            has_room = http.try_hold(responses, length + PIECE_BYTES, responses.limit // 2)
        if length > BUFFERED_BYTES or not has_room:
            if length > 4 * PIECE_BYTES and not http.try_hold(responses, length, responses.limit):
                # Rows were much larger than before. To wait with all of this in memory would defeat the budget.
                raise responses.rejection()
            return StreamResponse(_chained(http, buffer, pieces))
    return BytesResponse(b"".join(buffer))


async def _chained(
    http: HttpRequest, buffer: list[bytes], rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    while buffer:
        yield buffer.pop(0)
    http.shrink(BUDGET.responses, PIECE_BYTES)
    async for piece in rest:
        if len(piece) > PIECE_BYTES and not http.try_hold(BUDGET.responses, len(piece), BUDGET.responses.limit):
            raise BUDGET.responses.rejection()
        yield piece
        del piece
        http.shrink(BUDGET.responses, PIECE_BYTES)
