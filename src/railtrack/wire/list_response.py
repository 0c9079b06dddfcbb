"""A list as a JSON response, encoded chunk by chunk: memory is bounded whatever the list's length."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from railtrack.wire.response import BytesResponse, Response, StreamResponse

BUFFERED_BYTES = 4 * 1024 * 1024
"""Up to this size a response is sent whole, and so compressed; a longer one is streamed."""

_encode = msgspec.json.Encoder().encode


class Chunk(Protocol):
    """Some rows of a list. Only the last chunk can be empty or have a token; "" if no page follows."""

    @property
    def rows(self) -> Sequence[Any]: ...
    @property
    def is_last(self) -> bool: ...
    @property
    def next_page_token(self) -> str: ...


Load = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""From the rows of a chunk to the structs to encode."""


async def list_response(
    response: type[msgspec.Struct], chunks: AsyncGenerator[Chunk, None], load: Load | None = None
) -> Response:
    """Return the rows, or what `load` makes of them, as the first field of `response`, and the next page's token.

    Both are absent if empty.

    An error of the first BUFFERED_BYTES becomes an error response, a later one breaks the response off.
    """
    return await buffered_or_streamed(_encoded(response.__struct_encode_fields__[0], chunks, load))


async def _encoded(field: str, chunks: AsyncGenerator[Chunk, None], load: Load | None) -> AsyncGenerator[bytes, None]:
    """Yield the response's JSON. No database connection is held meanwhile: a slow client can take long."""
    separator = opening = f'{{"{field}":['.encode()
    async for chunk in chunks:
        if not chunk.rows:  # of the first chunk, or because the rows that had been seen were deleted meanwhile
            yield b"{}" if separator is opening else b"]}"
            return
        encoded = memoryview(_encode(await load(chunk.rows) if load else chunk.rows))[1:-1]
        end = b""
        if chunk.is_last:
            end = f'],"next_page_token":"{chunk.next_page_token}"}}'.encode() if chunk.next_page_token else b"]}"
        # One join: a page of metrics has 2 MB, and each copy of it took a tenth of its processor time.
        yield b"".join((separator, encoded, end))
        separator = b","


async def buffered_or_streamed(pieces: AsyncGenerator[bytes, None]) -> Response:
    """Return JSON that is made piece by piece as one response if it is short, else as a stream."""
    buffer: list[bytes] = []
    length = 0
    async for piece in pieces:
        buffer.append(piece)
        length += len(piece)
        if length > BUFFERED_BYTES:
            return StreamResponse(_chained(buffer, pieces))
    return BytesResponse(b"".join(buffer))


async def _chained(buffer: Sequence[bytes], rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    for piece in buffer:
        yield piece
    async for piece in rest:
        yield piece
