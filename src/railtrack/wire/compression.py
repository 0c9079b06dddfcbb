"""gzip for large JSON responses if the client accepts it. Static files are compressed already, artifacts are not."""

import asyncio
import gzip
from typing import TypeGuard

from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, BytesResponse, StreamResponse

MIN_SIZE_BYTES = 32 * 1024
"""Below this, compression takes longer than the transfer that it saves. Most responses are far smaller."""
IN_LOOP_LIMIT_BYTES = 256 * 1024
"""Larger bodies are compressed in a thread, so that other requests don't wait."""
LEVEL = 1


def is_compressible(response: BytesResponse | StreamResponse) -> TypeGuard[BytesResponse]:
    """Return True for JSON of at least MIN_SIZE_BYTES."""
    return isinstance(response, BytesResponse) and len(response.body) >= MIN_SIZE_BYTES and response.media_type == JSON


async def compress(http: HttpRequest, response: BytesResponse) -> BytesResponse:
    """Return the response, compressed if the client accepts gzip."""
    if "gzip" not in http.header(b"accept-encoding"):
        return response
    if len(response.body) < IN_LOOP_LIMIT_BYTES:
        body = gzip.compress(response.body, LEVEL, mtime=0)
    else:
        body = await asyncio.to_thread(gzip.compress, response.body, LEVEL, mtime=0)
    return BytesResponse(
        body,
        response.media_type,
        response.status,
        (*response.headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")),
    )
