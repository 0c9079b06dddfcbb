"""What RFC 9112 requires of a request's head and llhttp does not check: request line, target and Host."""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple

from railtrack.http_server.limits import Rejection

# A comma is valid in a host by its grammar, but stands between two hosts.
_HOST = re.compile(
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)(?:%[A-Za-z0-9._~%-]+)?\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


class AbsoluteTarget(NamedTuple):
    """An absolute-form target: the host with its port, and the path with its query."""

    host: bytes
    origin_form: bytes


def skip_empty_lines(data: bytes) -> tuple[bytes, bytes]:
    """Split data into the line ends before a request line, which RFC 9112 (2.2) has servers skip, and the rest.

    Raise Rejection if one of them is not CRLF. The last may be incomplete.
    """
    rest = data.lstrip(b"\r\n")
    empty_lines = data[: len(data) - len(rest)]
    if empty_lines.replace(b"\r\n", b"") not in (b"", b"" if rest else b"\r"):
        raise Rejection("A lone CR or LF precedes the request line.")
    return empty_lines, rest


def check_request_line(head: bytes, method: bytes, target: bytes) -> None:
    """Raise Rejection unless the head has HTTP's version after the method and the target, with single spaces.

    llhttp skips further spaces, and reads RTSP and ICE as if they were HTTP.
    """
    end = len(method) + 1 + len(target)
    if head[end : end + 6] != b" HTTP/":
        if b" HTTP/" in head.partition(b"\r\n")[0]:
            raise Rejection("The parts of the request line must be separated by single spaces.")
        raise Rejection("This server speaks HTTP/1.1.", 505)


def parse_absolute_target(target: bytes) -> AbsoluteTarget:
    """Return the parts of an absolute-form target (RFC 9112, 3.2.2). Raise Rejection if it is none."""
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None or not is_valid_host(match[1]):
        raise Rejection("The target of the request is neither a path nor an HTTP URL.")
    path = match[2]
    return AbsoluteTarget(match[1], path if path[:1] == b"/" else b"/" + path)


@lru_cache(maxsize=64)
def is_valid_host(host: bytes) -> bool:
    """Return True for the value of a Host header: a name or address that is not empty, and an optional port."""
    match = _HOST.fullmatch(host)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"].decode())
        except ValueError:
            return False
    return True
