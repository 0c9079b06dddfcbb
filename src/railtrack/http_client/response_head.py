"""The head of a response, and the length of its body (RFC 9112). Reading from the connection: client.py."""

import re
from typing import NamedTuple

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?\r\n")
_FRAMING = ("content-length", "transfer-encoding")


class ResponseHead(NamedTuple):
    """`headers` have lower-case names; of a repeated one, the last is there."""

    status: int
    headers: dict[str, str]
    length: int | None
    """Bytes of the body, None if it is chunked or ends with the connection."""
    is_chunked: bool
    is_last: bool
    """True if the server closes the connection after this response."""


def parse_head(head: bytes) -> ResponseHead:
    """Return the parsed head, which ends with an empty line. Raise ValueError if it is not HTTP/1.1, or ambiguous."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise ValueError(f"the response is not HTTP/1.1: {first[:40]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not name or name != name.strip():
            raise ValueError(f"the response has an invalid header: {line[:40]!r}")
        if name in _FRAMING and headers.get(name, value) != value:
            raise ValueError(f"the response has two values of {name}")
        headers[name] = value
    coding = headers.get("transfer-encoding")
    if coding is not None and coding.lower() != "chunked":
        raise ValueError(f"the response has an unsupported transfer-encoding: {coding[:40]!r}")
    length = headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise ValueError(f"the response has an invalid content-length: {length[:40]!r}")
    connection = [token.strip() for token in headers.get("connection", "").lower().split(",")]
    return ResponseHead(
        status=int(status_line[2]),
        headers=headers,
        length=int(length) if length is not None and coding is None else None,
        is_chunked=coding is not None,
        # A length beside chunks may have been meant for another reader.
        is_last="close" in connection or status_line[1] == "0" or None not in (coding, length),
    )


def parse_chunk_size(line: bytes) -> int:
    """Return the size in the first line of a chunk. Raise ValueError if it is invalid."""
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise ValueError(f"the response has an invalid chunk size: {line[:40]!r}")
    return int(match[1], 16)
