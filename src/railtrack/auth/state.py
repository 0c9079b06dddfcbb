"""The version of all access data. It lets each worker cache identities and grants, and drop them after a change.

A worker reads the version at most once a second, and never uses one that is older than two seconds. So a change, such
as a revoked token, is effective everywhere within MAX_AGE_S.
"""

import asyncio
import time

from railtrack.db import Db, Tx

REREAD_AFTER_S = 1.0
MAX_AGE_S = 2.0


async def bump(tx: Tx) -> None:
    """Count a change of users, tokens, sessions, roles or grants, in its transaction.

    This locks the row until the commit, so such changes run one after the other. Begin with it to check a condition
    that a concurrent change might break, such as "there is another administrator".
    """
    await tx.execute("UPDATE railtrack_auth_state SET version = version + 1 WHERE id = 1")


class AuthState:
    """The version as this worker last read it."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self.version = -1
        self.current_until = 0.0
        """Until this time of time.monotonic(), nobody has to look at this object."""
        self._usable_until = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Start to read the version if it is due, and wait for it if the last one is too old. Raise the database's
        ApiError if that fails.
        """
        now = time.monotonic()
        if now < self.current_until:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_retrieve)
        if now >= self._usable_until:
            await asyncio.shield(self._reading)

    def expire(self) -> None:
        """Read the version before the next use. Call this after the commit of a change."""
        self.current_until = self._usable_until = 0.0
        self._reading = None

    async def _read(self) -> None:
        began = time.monotonic()
        version = await self._db.fetch_value("SELECT version FROM railtrack_auth_state WHERE id = 1")
        is_current = self._reading is asyncio.current_task()  # not expired since
        if is_current or version > self.version:  # a read from before a change can end after one from afterwards
            self.version = version
        if is_current:
            self.current_until, self._usable_until = began + REREAD_AFTER_S, began + MAX_AGE_S


def _retrieve(task: "asyncio.Task[None]") -> None:
    """Mark a failure as retrieved. A request that needs the version awaits the task, too, and reports it."""
    if not task.cancelled():
        task.exception()
