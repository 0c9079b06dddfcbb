"""The debug log of SQL statements: text and duration, without the values, which belong to users.

Connections ask once, when they open, whether the log is on. While it is off, a statement costs nothing more.
"""

import logging

log = logging.getLogger("railtrack.sql")


def is_enabled() -> bool:
    return log.isEnabledFor(logging.DEBUG)


def log_statement(sql: str, seconds: float) -> None:
    log.debug("%.1f ms: %s", seconds * 1000, " ".join(sql.split()))
