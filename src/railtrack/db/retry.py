"""Retries of transactions that lost against concurrent ones, or whose commit was cut off. Callers pass work that may be
run again.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from railtrack.backoff import backoff_s
from railtrack.db import CommitUnknown, Conflict, ConstraintViolation, UniqueViolation
from railtrack.errors import ApiError, bad_request, exists, not_processed

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("railtrack")

ATTEMPTS = 8
FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.005, 1.0


class RetryCounters:
    """Counters of this process since its start."""

    retries = 0
    exhausted = 0
    """Calls whose conflicts did not end within ATTEMPTS."""


retry_counters = RetryCounters()


async def retry_on_conflict(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns, running it again if it conflicted with a concurrent transaction.

    After a constraint violation, the next attempt sees the row of the other transaction. If it violates the same
    constraint with the same key, there was no race: raise the 400 for it. Raise the 429 after ATTEMPTS failed attempts.
    """
    previous: Exception | None = None
    for attempt in range(ATTEMPTS):
        try:
            return await work(*args, **kwargs)
        except Conflict as error:
            previous = error
        except ConstraintViolation as error:
            if isinstance(previous, ConstraintViolation) and _is_same(error, previous):
                raise _rejected(error) from error
            previous = error
        retry_counters.retries += 1
        await asyncio.sleep(backoff_s(attempt, FIRST_PAUSE_S, PAUSE_LIMIT_S))
    retry_counters.exhausted += 1
    message = "The database was busy with other changes of the same rows. Nothing was stored. Please retry."
    raise not_processed(message) from previous


def idempotent(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make `work` run again if the connection was lost during its commit. Running it twice must do the same as once.

    The second attempt waits until the database is back (db/recovery.py). If it fails for the same reason, it is still
    unknown what the first one did.
    """

    @functools.wraps(work)
    async def run_again(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        except CommitUnknown as error:
            if not error.is_lost:
                raise
            try:
                return await work(*args, **kwargs)
            except ApiError as again:
                if again.is_transient:
                    raise error from again
                raise

    return run_again


def _is_same(error: ConstraintViolation, other: ConstraintViolation) -> bool:
    return (error.constraint, error.key) == (other.constraint, other.key)


def _rejected(error: ConstraintViolation) -> ApiError:
    """Return the 400 for a constraint that the code does not expect, such as an index that an operator added."""
    name = f" {error.constraint}" if error.constraint else ""
    if isinstance(error, UniqueViolation):
        log.warning("Rejected a request: a row with its key exists already (unique constraint%s).", name)
        return exists(f"A row with the same key exists already (unique constraint{name}). Nothing was stored.")
    log.warning("Rejected a request: it violates the foreign key%s.", name)
    return bad_request(
        "The request refers to a row that does not exist, or deletes one that other rows refer to "
        f"(foreign key{name}). Nothing was stored."
    )
