"""Throttled logging of messages that thousands of failing requests a second repeat."""

import logging
import time

log = logging.getLogger("railtrack")

INTERVAL_S = 1.0
"""Default interval."""


class ThrottledLog:
    """Log at most one message per interval, with the number of messages suppressed since the last one."""

    def __init__(self, prefix: str = "", interval_s: float = INTERVAL_S) -> None:
        self._prefix = prefix
        self._interval_s = interval_s
        self._quiet_until = 0.0
        self._suppressed = 0

    def error(self, message: str, *arguments: object) -> None:
        self._log(logging.ERROR, message, arguments)

    def warning(self, message: str, *arguments: object) -> None:
        self._log(logging.WARNING, message, arguments)

    def _log(self, level: int, message: str, arguments: tuple[object, ...]) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            self._suppressed += 1
            return
        suffix = f" ({self._suppressed} similar messages suppressed)" if self._suppressed else ""
        log.log(level, f"%s{message}%s", self._prefix, *arguments, suffix)
        self._quiet_until = now + self._interval_s
        self._suppressed = 0
