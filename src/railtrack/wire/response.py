"""Responses of handlers, and how they are sent: a struct as JSON, bytes, or a stream of chunks."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any

import msgspec

from railtrack.byte_budget import BUDGET
from railtrack.errors import ApiError
from railtrack.wire.request import ClientGone, HttpRequest

Header = tuple[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = "application/json"
WITHOUT_LENGTH = (204, 304)
"""Statuses whose responses must not have a Content-Length (204), or only that of the omitted body (304)."""
SMALL_RESPONSE = 32 * 1024
"""Bodies up to this size are not reserved in the budget: the limit of connections bounds them."""
STREAM_BYTES = 256 * 1024
"""Memory of a streamed response, unless its producer reserved more: a chunk of an artifact."""
_encode = msgspec.json.Encoder().encode


class BytesResponse(msgspec.Struct):
    """A response whose body is complete."""

    body: bytes
    media_type: str = JSON
    status: int = 200
    headers: tuple[Header, ...] = ()


class StreamResponse(msgspec.Struct):
    """A response that is produced in chunks. `length` is its size in bytes, or None if that is unknown beforehand.

    The generator opens its resources when its first chunk is requested, which a HEAD request never does.
    """

    chunks: AsyncGenerator[bytes, None]
    media_type: str = JSON
    length: int | None = None
    status: int = 200
    headers: tuple[Header, ...] = ()


Response = msgspec.Struct | BytesResponse | StreamResponse
FileResponse = Annotated[Response, "*/*"]
"""The return annotation of handlers that send a stored file: the metadata is the media type."""


class Empty(msgspec.Struct):
    """The response of calls that return nothing."""


EMPTY_RESPONSE = BytesResponse(b"{}")
EmptyResponse = Annotated[BytesResponse, Empty]
"""The return annotation of handlers that return EMPTY_RESPONSE."""


def error_response(error: ApiError) -> BytesResponse:
    """Return the error in MLflow's JSON form."""
    body = _encode({"error_code": error.code, "message": error.message, **error.details})
    return BytesResponse(body, status=error.status, headers=error.headers)


def encode_response(response: Response) -> BytesResponse | StreamResponse:
    """Return a struct encoded as JSON, and any other response as it is."""
    return response if isinstance(response, (BytesResponse, StreamResponse)) else BytesResponse(_encode(response))


def is_small(response: BytesResponse | StreamResponse) -> bool:
    return isinstance(response, BytesResponse) and len(response.body) <= SMALL_RESPONSE


async def hold_for_response(http: HttpRequest, size: int) -> None:
    """Reserve memory before a response of about this size is produced. Raise a 429 if there is none in time."""
    await http.hold(BUDGET.responses, size)


async def hold_response(http: HttpRequest, response: BytesResponse | StreamResponse) -> None:
    """Reserve the memory of a response that is not small. Raise a 429 if there is none in time."""
    if isinstance(response, BytesResponse):
        await http.hold(BUDGET.responses, len(response.body))
    elif not http.holds(BUDGET.responses):
        try:
            await http.hold(BUDGET.responses, STREAM_BYTES)
        except BaseException:
            async with aclosing(response.chunks) as chunks:  # a generator closes its file only if it was started
                await anext(chunks, None)
            raise


async def send_response(
    http: HttpRequest, response: BytesResponse | StreamResponse, send: Send, headers: tuple[Header, ...]
) -> None:
    """Send the response with additional `headers`, and to HEAD without its body. Record in `http` what was sent."""
    head = http.method == "HEAD"
    length = response.length if isinstance(response, StreamResponse) else len(response.body)
    sent = [(b"content-type", response.media_type.encode()), *headers, *response.headers]
    if length is not None and response.status not in WITHOUT_LENGTH:
        sent.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": sent})
    if isinstance(response, StreamResponse) and not head:
        await _send_chunks(http, response.chunks, send)
    else:
        body = b"" if head or isinstance(response, StreamResponse) else response.body
        await send({"type": "http.response.body", "body": body})
        http.sent = len(body)
    http.status = response.status


async def _send_chunks(http: HttpRequest, chunks: AsyncGenerator[bytes, None], send: Send) -> None:
    """Send the chunks as they are produced, and stop when the client closes the connection."""
    disconnected = asyncio.ensure_future(http.disconnected())
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                if disconnected.done():
                    raise ClientGone
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                http.sent += len(chunk)
                if disconnected.done():  # before the next chunk is produced
                    raise ClientGone
        await send({"type": "http.response.body", "body": b""})
    finally:
        disconnected.cancel()
