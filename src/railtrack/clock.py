"""The current time in the unit of MLflow's tables and API."""

import time


def now_ms() -> int:
    """Return milliseconds since the Unix epoch."""
    return int(time.time() * 1000)
