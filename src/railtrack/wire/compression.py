"""gzip for large JSON answers, where the client takes it. Static files come compressed; artifacts stay as they are."""

import asyncio
import gzip
from typing import TypeGuard

from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, BytesResponse, StreamResponse

SMALLEST = 32 * 1024
"""Bytes from which the transfer saved outweighs the work; most answers are far below."""
IN_LOOP = 256 * 1024
"""Larger bodies are compressed in a thread, so that other requests don't wait for them."""
LEVEL = 1


def is_worth_it(reply: BytesResponse | StreamResponse) -> TypeGuard[BytesResponse]:
    """Whether it is JSON of some size."""
    return isinstance(reply, BytesResponse) and len(reply.body) >= SMALLEST and reply.media_type == JSON


async def compress(http: HttpRequest, raw: BytesResponse) -> BytesResponse:
    """The answer, compressed where the client takes gzip."""
    if "gzip" not in http.header(b"accept-encoding"):
        return raw
    if len(raw.body) < IN_LOOP:
        body = gzip.compress(raw.body, LEVEL, mtime=0)
    else:
        body = await asyncio.to_thread(gzip.compress, raw.body, LEVEL, mtime=0)
    return BytesResponse(
        body,
        raw.media_type,
        raw.status,
        (*raw.headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")),
    )
