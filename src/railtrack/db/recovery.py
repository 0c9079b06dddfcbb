"""What PostgresDb does while the database is away: wait for it, check commits that were cut off, detect when it hangs.

The functions that run the statements are parameters.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from railtrack.backoff import backoff_s
from railtrack.db import Row
from railtrack.errors import ApiError

log = logging.getLogger("railtrack")

HOLD_S = 20.0
"""How long requests wait for a database that was lost. PostgreSQL restarts in less; in a longer outage they get 429 at
once. Without it, a client whose first retry (at once) fails waits 4 s, however soon the database is back.
"""
COMMIT_CHECK_S = 60.0
"""How long a request whose commit is uncertain waits for the database to be back. Then it gets 503, which client 3.18.0
does not retry for a create. With the time of the hang watch it is less than the 120 s of the clients.
"""
FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.02, 0.25

WATCH_INTERVAL_S = 5.0
LONG_USE_S = 15.0
"""A connection that is in use for longer may wait for a server that hangs."""
PROBE_TIMEOUT_S = 10.0
"""How long a server may take for a new connection and a statement before it counts as hanging."""

LAST_XID = "SELECT txid_current()"
COMMIT_STATE = "SELECT EXISTS ({check}), txid_snapshot_xmin(txid_current_snapshot()) >= CAST({xid} AS BIGINT)"
"""By one snapshot: is the row there, and have all transactions ended that began before the one with this id?"""


class Reconnection:
    """Tries to reach a lost database for HOLD_S. Requests wait for the result instead of trying themselves."""

    def __init__(self, probe: Callable[[], Awaitable[object]], transient: tuple[type[Exception], ...]) -> None:
        """`probe` raises one of `transient` while the database is away."""
        self._probe = probe
        self._transient = transient
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def wait(self) -> None:
        """Return when the database is back, or after HOLD_S."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        deadline = time.monotonic() + HOLD_S
        try:
            for retry in itertools.count():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                try:
                    await asyncio.wait_for(self._probe(), left)
                    return
                except self._transient:
                    await asyncio.sleep(min(backoff_s(retry, FIRST_PAUSE_S, PAUSE_LIMIT_S), left))
        finally:
            self._task = None

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def was_committed(
    fetch_row: Callable[..., Awaitable[Row | None]], check: str, args: tuple[Any, ...]
) -> bool | None:
    """Return whether the transaction that `check` identifies was committed, None if COMMIT_CHECK_S did not suffice.

    A row that is missing proves nothing while the server may still be committing: only the connection was lost.
    Therefore wait until all transactions have ended that are older than a new one. After a crash none is left.

    The id of the transaction itself (pg_xact_status) proves nothing either: an id that was not yet written to the WAL
    is given to another transaction after a crash.
    """
    sql = COMMIT_STATE.format(check=check, xid=f"${len(args) + 1}")
    began = time.monotonic()
    for retry in itertools.count():
        left = began + COMMIT_CHECK_S - time.monotonic()
        if left <= 0:
            return None
        try:
            async with asyncio.timeout(left):
                row = await fetch_row(LAST_XID)
                assert row is not None, "it is a scalar"
                xid = row[0]
                while True:
                    row = await fetch_row(sql, *args, xid)
                    assert row is not None, "it has one row"
                    is_stored, have_older_ended = row
                    if is_stored or have_older_ended:
                        return bool(is_stored)
                    await asyncio.sleep(PAUSE_LIMIT_S)
        except (ApiError, TimeoutError):
            await asyncio.sleep(min(backoff_s(retry, FIRST_PAUSE_S, PAUSE_LIMIT_S), left))
    return None


class Use:
    """A connection in use. `since` is a reading of the monotonic clock."""

    __slots__ = ("connection", "since")

    def __init__(self) -> None:
        self.connection: Any = None
        self.since = 0.0


class HangWatch:
    """Terminates connections that wait for a server that hangs, so that their requests fail before the clients' do.

    A frozen server closes no connection. Without the watch each request waits for the timeout of its statement.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        """`probe` opens a separate connection and runs a statement."""
        self._probe = probe
        self._uses: set[Use] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, use: Use) -> None:
        use.since = time.monotonic()
        self._uses.add(use)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def discard(self, use: Use) -> None:
        self._uses.discard(use)

    async def _watch(self) -> None:
        try:
            while self._uses:
                await asyncio.sleep(WATCH_INTERVAL_S)
                probed_at = time.monotonic()
                if self._in_use_since(probed_at - LONG_USE_S) and await self._is_hanging():
                    for use in self._in_use_since(probed_at):
                        use.connection.terminate()
        finally:
            self._task = None

    def _in_use_since(self, moment: float) -> list[Use]:
        return [use for use in self._uses if use.since < moment]

    async def _is_hanging(self) -> bool:
        """Return True if the server does not respond. An error is a response."""
        try:
            await asyncio.wait_for(self._probe(), PROBE_TIMEOUT_S)
        except TimeoutError:
            log.warning("PostgreSQL does not respond within %g s: closing the connections to it.", PROBE_TIMEOUT_S)
            return True
        except Exception:
            return False
        return False

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
