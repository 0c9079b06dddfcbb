"""Cache the credentials of one source. Fetch them on first use and well before they expire, one fetch at a time."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from railtrack.artifacts.s3.signing import Credentials
from railtrack.errors import ApiError, unavailable

log = logging.getLogger("railtrack")

RENEWAL_MARGIN_S = 15 * 60.0
"""Credentials are renewed this long before they expire, or after half of their lifetime if that is later."""
EXPIRY_MARGIN_S = 10.0
"""Credentials with less time left are not used: a request takes a while to arrive."""
STATIC_LIFETIME_S = 5 * 60.0
"""Credentials that never expire are read again after this time: somebody may have edited the profile."""
RENEWAL_PAUSE_S = 30.0
"""Between two attempts while there are valid credentials."""
FAILURE_PAUSE_S = 3.0
"""Between two attempts while there are none. Requests in between get the error of the last attempt."""
TIMEOUT_S = 20.0


class CredentialCache:
    """The credentials that `fetch` returned last."""

    def __init__(self, fetch: Callable[[], Awaitable[Credentials]]) -> None:
        self._fetch = fetch
        self._credentials: Credentials | None = None
        self._renew_at = 0.0
        self._fetching: asyncio.Task[Credentials] | None = None
        self._last_attempt = 0.0
        """When the last attempt ended, on the monotonic clock."""

    async def current(self) -> Credentials:
        """Return credentials that are valid for a while. Raise the ApiError of the failed fetch if there are none."""
        credentials = self._credentials
        if credentials is not None and time.time() < self._renew_at:
            return credentials
        if credentials is not None and _seconds_left(credentials) > EXPIRY_MARGIN_S:
            self._start_fetch(RENEWAL_PAUSE_S)
            return credentials
        return await asyncio.shield(self._start_fetch(FAILURE_PAUSE_S))

    def _start_fetch(self, pause_s: float) -> "asyncio.Task[Credentials]":
        """Return the fetch under way or, unless the last one has just ended, a new one."""
        last = self._fetching
        if last is None or (last.done() and time.monotonic() >= self._last_attempt + pause_s):
            last = self._fetching = asyncio.create_task(self._renew())
            last.add_done_callback(_log_failure)
        return last

    async def _renew(self) -> Credentials:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                credentials = await self._fetch()
        except TimeoutError:
            raise unavailable("There are no credentials for S3 at the moment: no response in time") from None
        except ApiError as error:
            if self._credentials is not None and not error.is_transient:
                # A source that has worked is expected to work again: clients repeat a 503, but not a 403.
                raise unavailable(error.message) from error
            raise
        finally:
            self._last_attempt = time.monotonic()
        lifetime_s = _seconds_left(credentials)
        if lifetime_s <= EXPIRY_MARGIN_S:
            raise unavailable(
                "There are no credentials for S3 at the moment: the source returned expired ones. Is the clock right?"
            )
        self._credentials = credentials
        renew_after_s = max(lifetime_s - RENEWAL_MARGIN_S, lifetime_s / 2)
        self._renew_at = time.time() + (STATIC_LIFETIME_S if math.isinf(lifetime_s) else renew_after_s)
        return credentials


def _seconds_left(credentials: Credentials) -> float:
    return credentials.expires - time.time()


def _log_failure(fetching: "asyncio.Task[Credentials]") -> None:
    """Log a failure here: a renewal may fail while no request waits for it."""
    if not fetching.cancelled() and (error := fetching.exception()):
        reason = error.message if isinstance(error, ApiError) else repr(error)
        log.warning("artifact store: new credentials could not be fetched: %s", reason)
