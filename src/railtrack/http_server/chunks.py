"""The chunked transfer coding of a request's body (RFC 9112, 7.1). Heads are llhttp's, see governed_protocol.py.

llhttp accepts extensions without a name or value, and does not report where a body ends.
"""

import re
from collections.abc import Callable

from railtrack.http_server.limits import HEADER_LIMIT, Rejection

# Not with possessive quantifiers: those of Python 3.11.2 match too much. A line is matched in linear time all the same,
# because what follows a repetition cannot be a part of it.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)
_TRAILER_LINE = re.compile(rb"%b:[\t -~\x80-\xff]*\r\n" % _TOKEN)


class ChunkedBody:
    """Decodes one body, fed in any pieces. It drops extensions and trailers."""

    __slots__ = ("_bytes_beside_data", "_data_left", "_is_after_data", "_is_in_trailers", "_line", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self._line = b""  # an incomplete line
        self._data_left = 0  # bytes of the current chunk that are still to come
        self._is_after_data = False
        self._is_in_trailers = False
        self._bytes_beside_data = 0  # since the last data

    def feed(self, received: bytes, add_data: Callable[[bytes], None]) -> bytes:
        """Call `add_data` for each piece of the body, and return what follows the body. Raise Rejection if invalid."""
        at = 0
        while at < len(received) and not self.is_complete:
            if self._data_left:
                piece = received[at : at + self._data_left]
                at += len(piece)
                self._data_left -= len(piece)
                add_data(piece)
                continue
            end = received.find(b"\n", at) + 1 or len(received)
            self._bytes_beside_data += end - at
            if self._bytes_beside_data > HEADER_LIMIT:
                raise Rejection("An extension or trailer of a chunk is too long.")
            self._line += received[at:end]
            at = end
            if self._line.endswith(b"\n"):
                self._read_line(self._line)
                self._line = b""
        return received[at:]

    def _read_line(self, line: bytes) -> None:
        if self._is_after_data:
            if line != b"\r\n":
                raise Rejection("A chunk of the request's body is longer than its size.")
            self._is_after_data = False
        elif self._is_in_trailers:
            self.is_complete = line == b"\r\n"
            if not self.is_complete and not _TRAILER_LINE.fullmatch(line):
                raise Rejection("A trailer of the request's body is not a valid header.")
        else:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise Rejection("The size or extension of a chunk is not valid.")
            self._data_left = int(match[1], 16)
            self._is_after_data = self._data_left > 0
            self._is_in_trailers = not self._is_after_data
            if self._data_left:
                self._bytes_beside_data = 0
