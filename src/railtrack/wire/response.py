"""What a handler may answer with, and how it is put on the wire: JSON from a struct, given bytes, or a stream."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any

import msgspec

from railtrack.errors import ApiError
from railtrack.wire.request import ClientGone, HttpRequest

Header = tuple[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = "application/json"
NOT_MODIFIED = 304
_encode = msgspec.json.Encoder().encode


class BytesResponse(msgspec.Struct):
    """An answer whose bytes are ready."""

    body: bytes
    media_type: str = JSON
    status: int = 200
    headers: tuple[Header, ...] = ()


class StreamResponse(msgspec.Struct):
    """An answer made piece by piece; `length` in bytes where it is known beforehand.

    What the generator opens it opens when first asked for a piece: a HEAD request never asks.
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
    """The error in MLflow's form."""
    return BytesResponse(_encode({"error_code": error.code, "message": error.message}), status=error.status)


def encode_response(reply: Response) -> BytesResponse | StreamResponse:
    """The reply with its struct, if it is one, encoded."""
    return reply if isinstance(reply, (BytesResponse, StreamResponse)) else BytesResponse(_encode(reply))


async def send_response(
    http: HttpRequest, reply: BytesResponse | StreamResponse, send: Send, headers: tuple[Header, ...]
) -> None:
    """Send the answer with `headers` besides its own, to HEAD without its body; notes in `http` what was sent."""
    head = http.method == "HEAD"
    length = reply.length if isinstance(reply, StreamResponse) else len(reply.body)
    sent = [(b"content-type", reply.media_type.encode()), *headers, *reply.headers]
    if length is not None and reply.status != NOT_MODIFIED:  # its length would be that of the answer left out
        sent.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": sent})
    if isinstance(reply, StreamResponse) and not head:
        await _send_chunks(http, reply.chunks, send)
    else:
        body = b"" if head or isinstance(reply, StreamResponse) else reply.body
        await send({"type": "http.response.body", "body": body})
        http.sent = len(body)
    http.status = reply.status


async def _send_chunks(http: HttpRequest, chunks: AsyncGenerator[bytes, None], send: Send) -> None:
    """Send the pieces as they come, and stop reading the source when the client has gone."""
    gone = asyncio.ensure_future(http.disconnected())
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                if gone.done():
                    raise ClientGone
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                http.sent += len(chunk)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
