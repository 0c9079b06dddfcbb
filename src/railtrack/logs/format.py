"""The format of log lines, as text or JSON: Railtrack's, gunicorn's and those of the startup.

One line is one event, whatever a message contains: control characters are escaped, and a traceback is indented (text)
or a field (JSON), so that clients cannot forge lines. The access log is in wire/access_log.py.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from railtrack.logs.redaction import redacted

TEXT_FORMAT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
"""The format of gunicorn, so that all lines look the same."""
TEXT_TIME = "%Y-%m-%d %H:%M:%S %z"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
START = logging.getLogger("railtrack.start")
"""Startup lines, which the documentation quotes. Text without prefix, logged at every level."""

_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_encode = msgspec.json.Encoder().encode


def printable(text: str) -> str:
    """Escape control characters except line feeds."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """Indent continuation lines, such as tracebacks: each line at the margin is a new event."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(printable(super().format(record))).replace("\n", "\n    ")


class BareFormatter(TextFormatter):
    """Format the message alone."""

    def __init__(self) -> None:
        super().__init__("%(message)s")


class JsonFormatter(logging.Formatter):
    """Format an object per line: time (RFC 3339, UTC), level, logger, pid, message, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return _encode(line).decode()


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure(log_format: str, level: str) -> None:
    """Configure all loggers of this process and its children. `log_format`: "text" or "json"."""
    as_json = log_format == "json"
    formatter = JsonFormatter() if as_json else TextFormatter(TEXT_FORMAT, TEXT_TIME)
    logging.basicConfig(level=LEVELS[level], handlers=[_handler(formatter)], force=True)
    START.propagate = False
    START.setLevel(logging.INFO)
    bare = JsonFormatter() if as_json else BareFormatter()
    START.handlers = [_handler(bare, sys.stdout, maximum=logging.INFO), _handler(bare, minimum=logging.WARNING)]


def current_formatter() -> logging.Formatter:
    """Return the formatter in use, for loggers with their own handlers."""
    handlers = logging.getLogger().handlers
    return (handlers[0].formatter if handlers else None) or TextFormatter(TEXT_FORMAT, TEXT_TIME)


def _handler(
    formatter: logging.Formatter, stream: TextIO | None = None, *, minimum: int = 0, maximum: int = logging.CRITICAL
) -> logging.Handler:
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: minimum <= record.levelno <= maximum)
    return handler
