"""A line for every request, where the setting asks for it. The other lines of the log: logs.py.

Written past the logging module, which takes longer for a line than some requests take to be answered: each line goes
out by one write of less than a pipe's atomic 4,096 bytes, so lines of several workers never mix.
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
PATH_SHOWN = 1000
VALUE_SHOWN = 100
FIELDS_SHOWN = 20
SHOWN_WITHOUT_STRUCT = frozenset({"path", "run_id", "run_uuid"})
"""Parameters of the endpoints that read the request themselves; others show those that they declare."""
_SECRET_NAME = re.compile(r"(?i)secret|password|credential|signature|token|authorization")
_ODD = re.compile(r"[^!#-\[\]-~]")
_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Watches requests. `as_json`: an object a line; `proxies`: who may tell the client's address."""

    def __init__(self, proxies: TrustedProxies, *, as_json: bool) -> None:
        self._proxies = proxies
        self._line = self._json if as_json else self._text
        self._second = 0
        self._shown_second = ""
        self._as_json = as_json
        self._pid = 0

    def began(self) -> None:
        self._pid = self._pid or os.getpid()

    def ended(self, http: HttpRequest, request_id: str, seconds: float) -> None:
        line = self._line(http, request_id, round(seconds * 1000, 1))
        try:
            os.write(STDOUT, line.encode() + b"\n")
        except OSError:
            return  # nobody reads the log any more; the requests go on

    def _text(self, http: HttpRequest, request_id: str, milliseconds: float) -> str:
        return (
            f"[{self._moment(time.time())}] [{self._pid}] [INFO] {self._proxies.client(http)} "
            f'"{http.method} {shown_path(http)}" {http.status or "gone"} '
            f"{http.received}>{http.sent} bytes {milliseconds} ms request {request_id}"
        )

    def _json(self, http: HttpRequest, request_id: str, milliseconds: float) -> str:
        now = time.time()
        route = http.route.path if isinstance(http.route, Route) else None
        line = {
            "time": f"{self._moment(now)}.{int(now % 1 * 1000):03}Z",
            "level": "info",
            "logger": "railtrack.access",
            "pid": self._pid,
            "message": "request",
            "request_id": request_id,
            "client": self._proxies.client(http),
            "method": http.method,
            "path": shown_path(http),
            "route": route,
            "status": http.status,
            "received_bytes": http.received,
            "sent_bytes": http.sent,
            "milliseconds": milliseconds,
        }
        return _encode(line).decode()

    def _moment(self, now: float) -> str:
        """The second, made once in each."""
        if int(now) != self._second:
            self._second = int(now)
            form, at = (JSON_TIME, time.gmtime(now)) if self._as_json else (TEXT_TIME, time.localtime(now))
            self._shown_second = time.strftime(form, at)
        return self._shown_second


def shown_path(http: HttpRequest) -> str:
    """The path as it was sent, printable and cut, with the query's parameters; of most only the name is shown."""
    path = _printable(http.raw_path.decode("latin-1"))
    return redacted(f"{path}?{_shown_query(http)}" if http.raw_query else path)


def _shown_query(http: HttpRequest) -> str:
    struct = http.route.struct if isinstance(http.route, Route) else None
    known = {*struct.__struct_fields__, *struct.ALIASES} if struct else SHOWN_WITHOUT_STRUCT
    try:
        pairs = parse_qsl(http.raw_query.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_SHOWN)
    except ValueError:
        return "..."
    return "&".join(
        f"{quote(name[:VALUE_SHOWN])}={quote(value[:VALUE_SHOWN]) if _is_harmless(name, known) else '***'}"
        for name, value in pairs
    )[:PATH_SHOWN]


def _is_harmless(name: str, known: set[str] | frozenset[str]) -> bool:
    return name in known and not _SECRET_NAME.search(name)


def _printable(text: str) -> str:
    return _ODD.sub(lambda match: f"%{ord(match[0]):02X}", text[:PATH_SHOWN])
