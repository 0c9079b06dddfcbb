"""Limits of a connection: sizes and times, and the check of a head against them."""

from collections.abc import Sequence
from typing import NamedTuple

CONNECTIONS_LIMIT = 1000
"""Open connections of one worker."""
PROBES_RESERVE = 64
"""Connections beyond it that may only ask for PROBE_PATHS."""
PROBE_PATHS = frozenset(("/health", "/ready"))
REJECTED_RESERVE = 256
"""Connections beyond these that are open until their client has read that there are too many."""
REJECTED_LINGER_S = 2
CLIENT_CONNECTIONS_LIMIT = 500
"""Open connections of one client with one worker. Trusted proxies are exempt."""
HEAD_LIMIT = 64 * 1024
"""Bytes of a whole head. The web interface sends 100 run ids in a query, about 5 kB."""
HEADERS_LIMIT = 100
HEADER_LIMIT = 8190
"""Bytes of one header."""
LENGTH_DIGITS = 19
"""Digits of a Content-Length, as many as those of the largest 64-bit integer."""
HEAD_TIMEOUT_S = 30
"""For a head from its first byte on, and for the first byte on a new connection."""
KEEP_ALIVE_S = 65
"""Longer than proxies keep their idle connections (nginx, AWS: 60 s), so that they close first."""
LINGER_S = 30
LINGER_BYTES = 100 * 1024 * 1024
"""Limits for discarding input after the last response. Closing at once would reset the connection before a client that
is still sending reads the response."""
HELD_LIMIT = 32 * 1024
"""Bytes of a body, or of pipelined requests, that wait in memory; beyond them the socket is not read."""
UNCOUNTED = 16 * 1024
"""Bytes that a connection may hold without a reservation in the budget."""
OVERDRAFT = 1.5
"""Of the budget's share for unread bytes: what one read brought is kept, while the connection is not read further."""
RELIEVED = 1.25
"""To so much of that share it is reduced when it is overdrawn. Less would take a look at all connections too often."""
WRITE_BUFFER = 32 * 1024
"""Bytes of a response that wait in memory after it is complete."""
WRITE_AT_ONCE = 256 * 1024
"""Larger bodies are written in parts, each when the client has taken the one before."""
EVICTABLE_S = 2.0
"""Age at which a head that is still incomplete may give way to other clients."""
IDLE_EVICTABLE_S = 0.5
"""The same for a connection without a request: its client may just be sending one."""
JOINED_LIMIT = 64 * 1024
"""Larger responses are written in parts instead of being copied into one."""
GONE_INTERVAL_S = 0.1
"""Interval of finding out whether a client that has ended its side still waits for what it reads."""
DISCONNECT_GRACE_S = 1.0
"""Time for the application to finish a change after the client has disconnected; then it is cancelled."""

UNREPEATABLE = {b"content-length", b"content-type", b"expect", b"host", b"transfer-encoding"}
"""Headers of which a proxy and this server could choose different ones."""

Header = tuple[bytes, bytes]


class Rejection(Exception):
    """The request is not valid HTTP/1.1 or exceeds a limit. `status` and `code`: of the response."""

    def __init__(self, message: str, status: int = 400, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


def limit_exceeded(message: str) -> Rejection:
    """Return the 429 for a request that was not read. Clients repeat it; 503 would keep some from that."""
    return Rejection(message, 429, "REQUEST_LIMIT_EXCEEDED")


class HeldBytes(NamedTuple):
    """Bytes that a connection holds in memory: incomplete and pipelined heads, request body, unsent response."""

    heads: int
    bodies: int
    unsent: int


def check_head_size(size: int, url: bytes, headers: Sequence[Header]) -> None:
    """Raise Rejection if the head, complete or not, exceeds a limit. `size`: its bytes so far."""
    if size > HEAD_LIMIT:
        if len(url) > HEAD_LIMIT // 2:
            raise Rejection(f"The URL of the request has more than {HEAD_LIMIT} bytes.", 414)
        raise Rejection(f"The headers of the request have more than {HEAD_LIMIT} bytes.", 431)
    if len(headers) > HEADERS_LIMIT:
        raise Rejection(f"The request has more than {HEADERS_LIMIT} headers.", 431)
    if size > HEADER_LIMIT and any(len(name) + len(value) + 2 > HEADER_LIMIT for name, value in headers):
        raise Rejection(f"A header of the request has more than {HEADER_LIMIT} bytes.", 431)


def unique_headers(headers: Sequence[Header]) -> dict[bytes, bytes]:
    """Return the headers by name. Raise Rejection if one of UNREPEATABLE was repeated."""
    unique = dict(headers)
    if len(unique) < len(headers):
        names = [name for name, _ in headers]
        for name in UNREPEATABLE & unique.keys():
            if names.count(name) > 1:
                raise Rejection(f"The header {name.decode()} was sent more than once.")
    return unique
