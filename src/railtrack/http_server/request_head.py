"""The head of a request, read strictly (RFC 9112). What becomes of the request lies in connection.py.

What a proxy before us might read in another way is refused and never mended: a lone line feed, a folded line, a space
before the colon, two lengths. So no request can hide in another's body.
"""

import re
from typing import NamedTuple

HEAD_LIMIT = 1024 * 1024
"""Bytes of a whole head. The web interface sends hundreds of run ids in a query."""
FIELDS_LIMIT = 100
FIELD_LIMIT = 8190
"""Bytes of one line of fields."""

END = b"\r\n\r\n"
CHUNKED = -1

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
# All repetitions are possessive (`++`, `*+`): nothing is ever tried twice, so no input takes more than linear time.
FIELD_LINE = re.compile(_TOKEN + rb":" + _TEXT)
_HEAD = re.compile(
    rb"(?P<method>" + _TOKEN + rb") (?P<target>/[!-~]*+|\*|https?://[!-~]++) HTTP/1\.(?P<minor>[01])\r\n"
    rb"(?P<fields>(?:" + FIELD_LINE.pattern + rb"\r\n)*+)"
)
_FIELD = re.compile(rb"([^:]++):([^\r]*+)\r\n")
_BEGINNING = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}(?: ?\Z| [!-~])")
_OTHER_VERSION = re.compile(rb"[^ \r\n]++ [^ \r\n]++ HTTP/(?!1\.[01]\r)[0-9.]++\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SPECIAL = frozenset({b"connection", b"content-length", b"content-type", b"expect", b"host", b"transfer-encoding"})


class Head(NamedTuple):
    """`target` as it was sent; the names of `fields` in lower case; `length` of the body in bytes, or CHUNKED;
    `old`: HTTP/1.0; `keeps`: the client wants the connection kept; `expects`: it waits for "100 Continue"."""

    method: str
    target: bytes
    fields: list[tuple[bytes, bytes]]
    length: int
    old: bool
    keeps: bool
    expects: bool


class Refused(Exception):
    """Not a request that this server reads: the status to answer with, and why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def read_head(data: bytes, end: int) -> Head:
    """The head that lies before END, which is at `end`. Raises Refused."""
    _check_sizes(data, end)
    match = _HEAD.fullmatch(data, 0, end + 2)
    if match is None:
        raise _not_http(data)
    method, target, minor, lines = match.groups()
    fields = [(name.lower(), value.strip(b" \t")) for name, value in _FIELD.findall(lines)]
    special: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _SPECIAL:
            if name in special and name != b"connection":
                raise Refused(f"The header {name.decode()} was sent more than once.")
            special[name] = special[name] + b"," + value if name in special else value
    old = minor == b"0"
    return Head(
        method.decode(),
        target,
        fields,
        _body_length(special, old),
        old,
        _keeps(special.get(b"connection", b""), old),
        not old and special.get(b"expect", b"").lower() == b"100-continue",
    )


def check_beginning(data: bytes) -> None:
    """Refuse, before its end has come, what can't become a head any more. Raises Refused."""
    if len(data) > HEAD_LIMIT:
        raise _too_long(data, len(data))
    if not _BEGINNING.match(data) or data.count(b"\n") != data.count(b"\r\n"):
        raise _not_http(data)


def _check_sizes(data: bytes, end: int) -> None:
    if end > HEAD_LIMIT:
        raise _too_long(data, end)
    if data.count(b"\r\n", 0, end) > FIELDS_LIMIT:
        raise Refused(f"The request has more than {FIELDS_LIMIT} headers.", 431)
    if end > FIELD_LIMIT and max(map(len, data[:end].split(b"\r\n")[1:]), default=0) > FIELD_LIMIT:
        raise Refused(f"A header of the request has more than {FIELD_LIMIT} bytes.", 431)


def _too_long(data: bytes, end: int) -> Refused:
    if 0 <= data.find(b"\r\n", 0, end) < HEAD_LIMIT // 2:
        return Refused(f"The headers of the request have more than {HEAD_LIMIT} bytes.", 431)
    return Refused(f"The URL of the request has more than {HEAD_LIMIT} bytes.", 414)


def _not_http(data: bytes) -> Refused:
    if _OTHER_VERSION.match(data):
        return Refused("This server speaks HTTP/1.1.", 505)
    return Refused("The request is not valid HTTP/1.1.")


def _body_length(special: dict[bytes, bytes], old: bool) -> int:
    coding = special.get(b"transfer-encoding")
    length = special.get(b"content-length")
    if coding is not None:
        if old or length is not None:
            raise Refused("Transfer-Encoding can't stand beside Content-Length or in HTTP/1.0.")
        if coding.lower() != b"chunked":
            raise Refused("The only Transfer-Encoding that this server takes is chunked.", 501)
        return CHUNKED
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise Refused("The header content-length is not a number of bytes.")
    return int(length)


def _keeps(connection: bytes, old: bool) -> bool:
    if not connection:
        return not old
    options = {option.strip(b" \t") for option in connection.lower().split(b",")}
    return b"close" not in options and (not old or b"keep-alive" in options)
