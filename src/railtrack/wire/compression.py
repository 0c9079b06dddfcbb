"""gzip for large JSON answers, where the client takes it. Static files come compressed; artifacts stay as they are."""

import asyncio
import gzip

from railtrack.wire.response import JSON, Raw, Reply, Stream, to_raw

SMALLEST = 32 * 1024
"""Bytes from which the transfer saved outweighs the work; most answers are far below."""
IN_LOOP = 256 * 1024
"""Larger bodies are compressed in a thread, so that other requests don't wait for them."""
LEVEL = 1


async def compress(reply: Reply, accept_encoding: str) -> Raw | Stream:
    """The reply, compressed when it is JSON of some size and `accept_encoding` names gzip."""
    raw = to_raw(reply)
    if "gzip" not in accept_encoding or not isinstance(raw, Raw) or len(raw.body) < SMALLEST:
        return raw
    if raw.media_type != JSON:
        return raw
    if len(raw.body) < IN_LOOP:
        body = gzip.compress(raw.body, LEVEL, mtime=0)
    else:
        body = await asyncio.to_thread(gzip.compress, raw.body, LEVEL, mtime=0)
    return Raw(
        body,
        raw.media_type,
        raw.status,
        (*raw.headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")),
    )
