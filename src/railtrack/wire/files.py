"""Responses with a stored file: media type, disposition, conditional requests and ranges.

The file is a user's upload, so it is always sent as an attachment, with a sandbox for browsers that render it anyway.
"""

import mimetypes
import re
from collections.abc import AsyncGenerator
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from posixpath import splitext
from typing import Protocol
from unicodedata import normalize
from urllib.parse import quote

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header, Response, StreamResponse, error_response

OCTET_STREAM = "application/octet-stream"
# fmt: off
TEXT_EXTENSIONS = frozenset((
    ".cfg", ".conf", ".csv", ".err", ".ini", ".ipynb", ".js", ".json", ".log", ".md", ".properties", ".py", ".rst",
    ".srt", ".text", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml",
))
# fmt: on
"""Extensions that MLflow serves as text/plain, by observation, like files named MLmodel."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a parameter of a header may have without quotes (RFC 9110, 5.6.2)."""
RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)

_types = mimetypes.MimeTypes(filenames=())
for _type, _extension in (("application/geo+json", ".geojson"), ("image/webp", ".webp"), ("text/javascript", ".mjs")):
    _types.add_type(_type, _extension)
"""Python's table, with types that some of its versions lack. The machine's table must not change responses."""


class File(Protocol):
    """An open file. chunks() closes it at the end. Call close() if chunks() is not called."""

    size: int
    modified: float
    etag: str

    def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]: ...

    def close(self) -> None: ...


def file_response(http: HttpRequest, name: str, file: File) -> Response:
    """Return all of `file` (200), the requested range (206, or 416 if it is outside), or Not Modified (304)."""
    if _is_fresh(http, file):
        file.close()
        return BytesResponse(b"", media_type(name), 304, _headers(name, file))
    requested = _requested_range(http, file)
    start, stop = requested or (0, file.size)
    headers = _headers(name, file)
    status = 200
    if requested:
        if start >= stop:
            file.close()
            return _unsatisfiable(file)
        status = 206
        headers = (*headers, (b"content-range", f"bytes {start}-{stop - 1}/{file.size}".encode()))
    if http.method == "HEAD":
        file.close()
    return StreamResponse(file.chunks(start, stop), media_type(name), stop - start, status, headers)


def media_type(name: str) -> str:
    extension = splitext(name)[1]
    if name == "MLmodel" or extension == ".MLmodel" or extension.lower() in TEXT_EXTENSIONS:
        return "text/plain"
    return _types.guess_type(f"/{name}")[0] or OCTET_STREAM


def _headers(name: str, file: File) -> tuple[Header, ...]:
    return (
        (b"content-disposition", _disposition(name)),
        (b"etag", file.etag.encode()),
        (b"last-modified", formatdate(file.modified, usegmt=True).encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
    )


def _disposition(name: str) -> bytes:
    """Return RFC 6266's Content-Disposition: an ASCII name, in quotes if needed, and the exact name if it differs.

    As in MLflow, the ASCII name has no accents, and nothing for letters without an ASCII form.
    """
    ascii_name = re.sub(r"[^ -~]", "_", normalize("NFKD", name).encode("ascii", "ignore").decode()) or "download"
    exact = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    if not TOKEN.fullmatch(ascii_name):
        ascii_name = '"' + re.sub(r'(["\\])', r"\\\1", ascii_name) + '"'
    return f"attachment; filename={ascii_name}{exact}".encode()


def _is_fresh(http: HttpRequest, file: File) -> bool:
    """Return True if the client has this version by If-None-Match, or by If-Modified-Since without the former."""
    if http.header(b"if-none-match"):
        return http.has_version(file.etag)
    since = http.header(b"if-modified-since")
    return bool(since) and _is_unchanged_since(file, since)


def _is_unchanged_since(file: File, date: str) -> bool:
    try:
        moment = parsedate_to_datetime(date)
        return int(file.modified) <= moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return False


def _requested_range(http: HttpRequest, file: File) -> tuple[int, int] | None:
    """Return start and stop of the requested range, or None for the whole file. If it is outside, start >= stop.

    Several ranges and units other than bytes get the whole file, which RFC 9110 allows. An invalid range gets it,
    too, as RFC 9110 requires, and so does any range of an empty file.
    """
    match = RANGE.fullmatch(http.header(b"range"))
    if http.method != "GET" or not match or not file.size or not _is_version(http.header(b"if-range"), file):
        return None
    first, last = match.groups()
    if not first:
        return (file.size - min(int(last), file.size), file.size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, file.size) if last else file.size


def _is_version(condition: str, file: File) -> bool:
    """Return True without If-Range, or if it is this version. A weak validator never matches."""
    return not condition or (condition == file.etag and not condition.startswith("W/"))


def _unsatisfiable(file: File) -> BytesResponse:
    reply = error_response(ApiError("INVALID_PARAMETER_VALUE", "The requested range is not in the file.", status=416))
    return BytesResponse(reply.body, reply.media_type, 416, ((b"content-range", f"bytes */{file.size}".encode()),))
