"""The form of the server's log lines, as text or as JSON, for our own, for gunicorn's, and for those of the start.

One line is one event, whatever a message holds: control characters are escaped, and a traceback is indented (text)
or a field (JSON), so that nothing that a client sends can look like a line of its own. Requests: access_log.py.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from railtrack.logs.redaction import masked

TEXT_FORMAT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
"""gunicorn's own, so that all lines look alike."""
TEXT_TIME = "%Y-%m-%d %H:%M:%S %z"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
START = logging.getLogger("railtrack.start")
"""The lines of the start, which the documentation quotes: bare in text, and whatever the level is."""

_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_encode = msgspec.json.Encoder().encode


def printable(text: str) -> str:
    """The text with control characters but line feeds spelled out."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class TextFormatter(logging.Formatter):
    """What continues a line, a traceback say, is indented: each line at the margin is one of ours."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(printable(super().format(record))).replace("\n", "\n    ")


class BareFormatter(TextFormatter):
    """The message alone."""

    def __init__(self) -> None:
        super().__init__("%(message)s")


class JsonFormatter(logging.Formatter):
    """An object a line: time (RFC 3339, UTC), level, logger, pid, message, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        return _encode(line).decode()


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure(form: str, level: str) -> None:
    """Have all loggers of this process and its children write in this form ("text" or "json")."""
    as_json = form == "json"
    lines = JsonFormatter() if as_json else TextFormatter(TEXT_FORMAT, TEXT_TIME)
    logging.basicConfig(level=LEVELS[level], handlers=[_handler(lines)], force=True)
    START.propagate = False
    START.setLevel(logging.INFO)
    bare = JsonFormatter() if as_json else BareFormatter()
    START.handlers = [_handler(bare, sys.stdout, most=logging.INFO), _handler(bare, least=logging.WARNING)]


def formatter() -> logging.Formatter:
    """The form of the lines, for loggers that have handlers of their own."""
    handlers = logging.getLogger().handlers
    return (handlers[0].formatter if handlers else None) or TextFormatter(TEXT_FORMAT, TEXT_TIME)


def _handler(
    lines: logging.Formatter, stream: TextIO | None = None, *, least: int = 0, most: int = logging.CRITICAL
) -> logging.Handler:
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(lines)
    handler.addFilter(lambda record: least <= record.levelno <= most)
    return handler
