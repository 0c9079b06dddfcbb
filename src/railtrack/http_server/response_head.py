"""The bytes of an answer's head. How its body is framed: exchange.py."""

import time
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus

import msgspec

Header = tuple[bytes, bytes]

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def answer_head(status: int, headers: Sequence[Header], date: bytes, framing: bytes = b"") -> bytes:
    """The whole head, for which `date` and `framing` are lines with their ends.

    Raises ValueError where a header holds a line end or NUL: what comes after it would pass for a header of ours.
    """
    fields = b"\r\n".join(map(b": ".join, headers))
    ends = max(len(headers) - 1, 0)
    if not (fields.count(b"\r\n") == fields.count(b"\n") == fields.count(b"\r") == ends) or b"\0" in fields:
        raise ValueError(f"a header of an answer holds a line end or NUL: {[name for name, _ in headers]}")
    return b"".join((_status_line(status), date, fields, b"\r\n" if fields else b"", framing, b"\r\n"))


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def content_length(headers: Iterable[Header]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def date_line() -> bytes:
    return b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()


def last_words(status: int, code: str, message: str, date: bytes) -> bytes:
    """A whole answer in MLflow's form of an error, after which the connection ends."""
    body = msgspec.json.encode({"error_code": code, "message": message})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return answer_head(status, headers, date, b"connection: close\r\n") + body
