"""Running again what lost against another transaction. Which changes may be run again is the caller's to know."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from railtrack.db import Conflict, ForeignKeyViolation, UniqueViolation
from railtrack.errors import not_processed

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 8
"""Runs before the client is asked to retry."""
FIRST_PAUSE_S = 0.005


class Tally:
    """What this process has run again, and what it gave up, since it began."""

    retries = 0
    conflicts = 0


tally = Tally()


async def retry_on_conflict(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, run again while its transaction was undone because a row came or went since it looked.

    Raise 429 when that does not end: every attempt was rolled back.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await work(*args, **kwargs)
        except (Conflict, UniqueViolation, ForeignKeyViolation):
            tally.retries += 1
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt * (0.5 + random.random()))  # noqa: S311 (jitter, not a secret)
    tally.conflicts += 1
    raise not_processed("The database was busy with other changes of the same rows. Nothing was stored. Please retry.")
