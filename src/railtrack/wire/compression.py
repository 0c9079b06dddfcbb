"""Accept-Encoding, and gzip for large JSON responses. Static files are compressed already, artifacts are not."""

import asyncio
import gzip
import re
from collections.abc import Sequence
from typing import TypeGuard

from railtrack.wire.request import HttpRequest
from railtrack.wire.response import JSON, BytesResponse, Header, StreamResponse

MIN_SIZE_BYTES = 32 * 1024
"""Below this, compression takes longer than the transfer that it saves. Most responses are far smaller."""
IN_LOOP_LIMIT_BYTES = 256 * 1024
"""Larger bodies are compressed in a thread, so that other requests don't wait."""
LEVEL = 1
VARY_BY_ENCODING: Header = (b"vary", b"accept-encoding")


def is_compressible(response: BytesResponse | StreamResponse) -> TypeGuard[BytesResponse]:
    """Return True for JSON of at least MIN_SIZE_BYTES."""
    return isinstance(response, BytesResponse) and len(response.body) >= MIN_SIZE_BYTES and response.media_type == JSON


async def compress(http: HttpRequest, response: BytesResponse) -> BytesResponse:
    """Return the response, compressed if the client accepts gzip, with the Vary that caches need in either case."""
    headers = (*response.headers, VARY_BY_ENCODING)
    if not preferred_encoding(http.header(b"accept-encoding"), ("gzip",)):
        return BytesResponse(response.body, response.media_type, response.status, headers)
    if len(response.body) < IN_LOOP_LIMIT_BYTES:
        body = gzip.compress(response.body, LEVEL, mtime=0)
    else:
        body = await asyncio.to_thread(gzip.compress, response.body, LEVEL, mtime=0)
    return BytesResponse(body, response.media_type, response.status, (*headers, (b"content-encoding", b"gzip")))


def preferred_encoding(accept_encoding: str, offered: Sequence[str]) -> str:
    """Return the offered encoding that the header prefers, the first of equal ones; "" if it accepts none."""
    qualities = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.partition(";")
        qualities[name.strip()] = _quality(parameter)
    fallback = qualities.get("*", 0.0)
    preferred = max(offered, key=lambda name: qualities.get(name, fallback))
    return preferred if qualities.get(preferred, fallback) > 0 else ""


def _quality(parameter: str) -> float:
    """Return the number of `q=0.8`, 1 without a parameter, 0 for an invalid one."""
    if not parameter.strip():
        return 1.0
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
    return float(match[1]) if match else 0.0
