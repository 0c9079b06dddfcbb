"""A stored file as an HTTP answer: media type, disposition, conditional requests and ranges.

The file is something a user uploaded: it always leaves as a download, and sandboxed for whoever renders it anyway.
"""

import mimetypes
import re
from collections.abc import AsyncGenerator
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from posixpath import splitext
from typing import Protocol
from urllib.parse import quote

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header, Response, StreamResponse, error_response

OCTETS = "application/octet-stream"
# fmt: off
TEXT_ENDINGS = frozenset((
    ".cfg", ".conf", ".csv", ".err", ".ini", ".ipynb", ".js", ".json", ".log", ".md", ".properties", ".py", ".rst",
    ".srt", ".text", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml",
))
# fmt: on
"""What MLflow serves as text/plain, as observed; so are files named MLmodel."""

RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)

_types = mimetypes.MimeTypes(filenames=())
for _type, _ending in (("application/geo+json", ".geojson"), ("image/webp", ".webp"), ("text/javascript", ".mjs")):
    _types.add_type(_type, _ending)
"""Python's own table only, evened out over its versions: the machine must not change our answers."""


class File(Protocol):
    """An open file. chunks() closes it at its end; close() is for a file of which nothing is sent."""

    size: int
    modified: float
    etag: str

    def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]: ...

    def close(self) -> None: ...


def file_response(http: HttpRequest, name: str, file: File) -> Response:
    """All of `file` (200), the range asked for (206, 416 where there is no such range), or 304 Not Modified."""
    if _is_fresh(http, file):
        file.close()
        return BytesResponse(b"", media_type(name), 304, _headers(name, file))
    wanted = _wanted(http, file)
    start, stop = wanted or (0, file.size)
    headers = _headers(name, file)
    status = 200
    if wanted:
        if start >= stop:
            file.close()
            return _unsatisfiable(file)
        status = 206
        headers = (*headers, (b"content-range", f"bytes {start}-{stop - 1}/{file.size}".encode()))
    if http.method == "HEAD":
        file.close()
    return StreamResponse(file.chunks(start, stop), media_type(name), stop - start, status, headers)


def media_type(name: str) -> str:
    ending = splitext(name)[1]
    if name == "MLmodel" or ending == ".MLmodel" or ending.lower() in TEXT_ENDINGS:
        return "text/plain"
    return _types.guess_type(f"/{name}")[0] or OCTETS


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
    """RFC 6266: a plain ASCII name for everybody, and the true one where that is not it."""
    plain = re.sub(r'[^ -~]|["\\]', "_", name)
    true = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{true}'.encode()


def _is_fresh(http: HttpRequest, file: File) -> bool:
    """The client has this version: by If-None-Match, or by If-Modified-Since where that is not sent."""
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


def _wanted(http: HttpRequest, file: File) -> tuple[int, int] | None:
    """The first byte and the one after the last of the range asked for, the other way round where nothing of it is in
    the file; None for the whole file.

    Several ranges at once and units other than bytes get the whole file, which RFC 9110 leaves open; so does what is no
    range, as it demands, and an empty file.
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
    """If-Range, where it is sent, is this very version: a weak validator never says so."""
    return not condition or (condition == file.etag and not condition.startswith("W/"))


def _unsatisfiable(file: File) -> BytesResponse:
    reply = error_response(ApiError("INVALID_PARAMETER_VALUE", "The requested range is not in the file.", status=416))
    return BytesResponse(reply.body, reply.media_type, 416, ((b"content-range", f"bytes */{file.size}".encode()),))
