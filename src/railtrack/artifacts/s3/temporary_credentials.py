"""Credentials that expire: fetched when they are first needed and anew well before their end, by one call at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from railtrack.artifacts.s3.signing import Credentials
from railtrack.errors import ApiError, unavailable

log = logging.getLogger("railtrack")

EARLY_S = 15 * 60.0
"""So long before their end new ones are fetched, while the old ones are still used."""
LAST_S = 10.0
"""Credentials with less time than this are used no more: the call that they sign takes a while to arrive."""
PAUSE_S = 30.0
"""Between two attempts while there are credentials that hold."""
FAILED_PAUSE_S = 3.0
"""Between two attempts while there are none: requests in between are told how the last one failed."""
LIMIT_S = 20.0


class TemporaryCredentials:
    """What `fetch` gave last, as long as it holds."""

    def __init__(self, fetch: Callable[[], Awaitable[Credentials]]) -> None:
        self._fetch = fetch
        self._held: Credentials | None = None
        self._fetching: asyncio.Task[Credentials] | None = None
        self._ended = 0.0
        """When the last attempt did, on the monotonic clock."""

    async def current(self) -> Credentials:
        """Credentials that hold for a while. Raises the ApiError of the fetch that failed when there are none left."""
        left = _left(self._held)
        if left > EARLY_S:
            assert self._held is not None
            return self._held
        fetching = self._begun(PAUSE_S if left > LAST_S else FAILED_PAUSE_S)
        if left > LAST_S:
            assert self._held is not None
            return self._held
        return await asyncio.shield(fetching)

    def _begun(self, pause: float) -> "asyncio.Task[Credentials]":
        """The fetch under way, or a new one unless the last has just ended."""
        last = self._fetching
        if last is None or (last.done() and time.monotonic() >= self._ended + pause):
            last = self._fetching = asyncio.create_task(self._fetched())
            last.add_done_callback(_tell)
        return last

    async def _fetched(self) -> Credentials:
        try:
            async with asyncio.timeout(LIMIT_S):
                found = await self._fetch()
        except TimeoutError:
            raise unavailable("There are no credentials for S3 at the moment: no answer in time") from None
        finally:
            self._ended = time.monotonic()
        if _left(found) <= LAST_S:
            raise unavailable(
                "There are no credentials for S3 at the moment: those offered have expired. Is the clock right?"
            )
        self._held = found
        return found


def _left(credentials: Credentials | None) -> float:
    return credentials.expires - time.time() if credentials else 0.0


def _tell(fetching: "asyncio.Task[Credentials]") -> None:
    """A fetch may fail while nobody waits for it."""
    if not fetching.cancelled() and (error := fetching.exception()):
        told = error.message if isinstance(error, ApiError) else repr(error)
        log.warning("artifact store: new credentials could not be fetched: %s", told)
