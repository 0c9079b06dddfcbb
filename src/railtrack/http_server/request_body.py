"""Where the body of a request ends: after so many bytes, or after its last chunk (RFC 9112, section 7.1)."""

import re
from collections.abc import Callable

from railtrack.http_server.request_head import CHUNKED, FIELD_LIMIT, FIELD_LINE, Refused

Put = Callable[[bytes], None]

LINE_LIMIT = 1024
"""Bytes of the line that tells a chunk's size, with its extensions, which nobody reads."""
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?")


class Counted:
    """A body of `length` bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def take(self, data: bytes, put: Put) -> bytes | None:
        """Put what is of the body, uncopied where it is all of `data`; what comes after it, None before its end."""
        left = self._left
        self._left = max(left - len(data), 0)
        put(data[:left])
        return None if self._left else data[left:]


class Chunked:
    """A body in chunks. Extensions and trailers are checked and dropped."""

    __slots__ = ("_kept", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        self._kept = b""  # a line of which the end hasn't come
        self._left = 0  # bytes of the present chunk
        self._line = Chunked._size_line  # what the next line is
        self._trailers = 0

    def take(self, data: bytes, put: Put) -> bytes | None:
        """As Counted's. Raises Refused."""
        data = self._kept + data
        pieces: list[bytes] = []
        at = 0
        ended = False
        while not ended:
            if self._left:
                pieces.append(data[at : at + self._left])
                at += len(pieces[-1])
                self._left -= len(pieces[-1])
            end = -1 if self._left else self._line_end(data, at)
            if end < 0:
                break
            ended = self._line(self, data[at:end])
            at = end + 2
        # Small chunks are put together: each object takes more memory than is counted for its bytes.
        put(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._kept = data[at:]
        return self._kept if ended else None

    def _line_end(self, data: bytes, at: int) -> int:
        limit = FIELD_LIMIT if self._line is Chunked._trailer_line else LINE_LIMIT
        end = data.find(b"\r\n", at, at + limit)
        if end < 0 and len(data) - at >= limit:
            raise Refused("A line between the chunks of the request is too long.")
        return end

    def _size_line(self, line: bytes) -> bool:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Refused("A chunk of the request has no valid size.")
        self._left = int(match[1], 16)
        self._line = Chunked._data_end if self._left else Chunked._trailer_line
        return False

    def _data_end(self, line: bytes) -> bool:
        if line:
            raise Refused("A chunk of the request is longer than its size.")
        self._line = Chunked._size_line
        return False

    def _trailer_line(self, line: bytes) -> bool:
        self._trailers += len(line)
        if line and (self._trailers > FIELD_LIMIT or not FIELD_LINE.fullmatch(line)):
            raise Refused("The trailers of the request are too long or not valid.")
        return not line


def body_reader(length: int) -> Counted | Chunked:
    return Chunked() if length == CHUNKED else Counted(length)
