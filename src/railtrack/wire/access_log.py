"""The access log: a line for every request, if a setting enables it. The format of other log lines is in logs/.

It bypasses the logging module, which takes longer per line than some requests. Each line is one write of less than the
4,096 bytes that a pipe writes atomically, so lines of several workers don't mix.
"""

import os
import re
import time
from urllib.parse import parse_qsl, quote

import msgspec

from railtrack.logs.format import TEXT_TIME
from railtrack.logs.redaction import redacted
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest
from railtrack.wire.routing import Route

STDOUT = 1
JSON_TIME = "%Y-%m-%dT%H:%M:%S"
PATH_LIMIT = 1000
VALUE_LIMIT = 100
PARAMETERS_LIMIT = 20
LOGGED_WITHOUT_STRUCT = frozenset({"path", "run_id", "run_uuid"})
"""Query parameters that are logged for handlers without a request struct. For others it's those of the struct."""
_SECRET_NAME = re.compile(r"(?i)secret|password|credential|signature|token|authorization")
_UNSAFE = re.compile(r"[^!#-\[\]-~]")
_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Log requests as text, or with `as_json` an object per line. `proxies` determine the client's address."""

    def __init__(self, proxies: TrustedProxies, *, as_json: bool) -> None:
        self._proxies = proxies
        self._format_line = self._json if as_json else self._text
        self._second = 0
        self._formatted_second = ""
        self._as_json = as_json
        self._pid = 0

    def began(self) -> None:
        self._pid = self._pid or os.getpid()

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None:
        line = self._format_line(http, request_id, round(seconds * 1000, 1))
        try:
            os.write(STDOUT, line.encode() + b"\n")
        except OSError:
            return  # nobody reads the log any more; requests are served all the same

    def _text(self, http: HttpRequest, request_id: str, milliseconds: float) -> str:
        return (
            f"[{self._timestamp(time.time())}] [{self._pid}] [INFO] {self._proxies.client(http)} "
            f'"{http.method} {display_path(http)}" {http.status or "gone"} '
            f"{http.received}>{http.sent} bytes {milliseconds} ms request {request_id}"
        )

    def _json(self, http: HttpRequest, request_id: str, milliseconds: float) -> str:
        now = time.time()
        route = http.route.path if isinstance(http.route, Route) else None
        line = {
            "time": f"{self._timestamp(now)}.{int(now % 1 * 1000):03}Z",
            "level": "info",
            "logger": "railtrack.access",
            "pid": self._pid,
            "message": "request",
            "request_id": request_id,
            "client": self._proxies.client(http),
            "method": http.method,
            "path": display_path(http),
            "route": route,
            "status": http.status,
            "received_bytes": http.received,
            "sent_bytes": http.sent,
            "milliseconds": milliseconds,
        }
        return _encode(line).decode()

    def _timestamp(self, now: float) -> str:
        """Return the formatted second, which is computed once per second."""
        if int(now) != self._second:
            self._second = int(now)
            self._formatted_second = (
                time.strftime(JSON_TIME, time.gmtime(now))
                if self._as_json
                else time.strftime(TEXT_TIME, time.localtime(now))
            )
        return self._formatted_second


def display_path(http: HttpRequest) -> str:
    """Return the path as sent, printable and truncated, with the query's parameters. Most values are masked."""
    path = _printable(http.raw_path.decode("latin-1"))
    return redacted(f"{path}?{_display_query(http)}" if http.raw_query else path)


def _display_query(http: HttpRequest) -> str:
    struct = http.route.struct if isinstance(http.route, Route) else None
    logged = {*struct.__struct_fields__, *struct.ALIASES} if struct else LOGGED_WITHOUT_STRUCT
    try:
        pairs = parse_qsl(http.raw_query.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_LIMIT)
    except ValueError:
        return "..."
    return "&".join(
        f"{quote(name[:VALUE_LIMIT])}={quote(value[:VALUE_LIMIT]) if _is_loggable(name, logged) else '***'}"
        for name, value in pairs
    )[:PATH_LIMIT]


def _is_loggable(name: str, logged: set[str] | frozenset[str]) -> bool:
    return name in logged and not _SECRET_NAME.search(name)


def _printable(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text[:PATH_LIMIT])
