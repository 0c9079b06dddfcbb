"""A read replica: which reads may use it, and a Db that falls back to the primary.

A replica shows commits late. Its position is compared with that of the primary a moment before, so that a client always
reads what it wrote itself, and the others nothing older than a limit (docs/adr/0017-read-replica.md).
"""

import asyncio
import contextlib
import logging
import mmap
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from railtrack.db import Conflict, Connections, Db, Engine, Row, Tx, WriteTx
from railtrack.errors import ApiError

log = logging.getLogger("railtrack")

T = TypeVar("T")

POLL_INTERVAL_S = 0.25
POLL_TIMEOUT_S = 2.0
MARKS = 480
"""Positions of the primary that are remembered: two minutes, the largest limit of the lag."""
FIRST_POLLS = 8
REQUEST_S = 30.0
"""A change is committed within this time of its request, or counts from the request's end."""
CLIENTS = 16384
"""Slots of recent writes. Clients that share one read from the primary for longer than they must."""
NEVER = float("-inf")
UNRELATED = "it is not a physical replica of the backend store, so its lag is unknown"

PRIMARY_POSITION = """
    SELECT system_identifier, CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS bigint)
    FROM pg_control_system()
"""
REPLICA_POSITION = """
    SELECT system_identifier, CAST(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0'
    ) AS bigint)
    FROM pg_control_system()
"""


class RecentWrites:
    """When each client last changed something, in memory that all workers share. Allocate it before the fork."""

    def __init__(self) -> None:
        self._times = memoryview(mmap.mmap(-1, CLIENTS * 8)).cast("d")

    def add(self, client: str) -> None:
        self._times[_slot(client)] = time.monotonic()  # the same clock for all processes

    def last(self, client: str) -> float:
        """Return the time of the client's last change, 0.0 if there was none."""
        return self._times[_slot(client)]


def _slot(client: str) -> int:
    return zlib.crc32(client.encode()) % CLIENTS


class Mark(NamedTuple):
    """A position of the primary's log, and the time before it was read: all that was committed until then is in it."""

    at: float
    position: int


class Positions(NamedTuple):
    """Positions of the log, in bytes: written by the primary, and visible on the replica."""

    primary: int
    replica: int


async def read_positions(primary: Db, replica: Db) -> Positions | None:
    """Return the positions, None if the replica is not a physical one of the primary."""
    (system, written), (system_of_replica, visible) = (
        (await primary.fetch(PRIMARY_POSITION))[0],
        (await replica.fetch(REPLICA_POSITION))[0],
    )
    return Positions(written, visible) if system == system_of_replica else None


class ReadReplica:
    """Chooses the database of each read. `max_lag_s`: how far behind the replica may be."""

    def __init__(self, primary: Db, replica: Db, writes: RecentWrites, max_lag_s: float) -> None:
        self._primary = primary
        self._replica = replica
        self._writes = writes
        self._max_lag_s = max_lag_s
        self._marks: deque[Mark] = deque(maxlen=MARKS)
        self._covered_until = NEVER  # all commits until then are visible on the replica
        self._is_used: bool | None = None
        self._polls = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._replica.close()

    def wrote(self, clients: Sequence[str]) -> None:
        """Record that these clients change something now."""
        for client in clients:
            self._writes.add(client)

    def db_for(self, clients: Sequence[str]) -> Db:
        """Return the database for a read of a client that is known by these names."""
        if self._covered_until < time.monotonic() - self._max_lag_s or self._replica.is_away:
            return self._primary
        if any(self._writes.last(client) + REQUEST_S > self._covered_until for client in clients):
            return self._primary
        return ReplicaDb(self._primary, self._replica)

    async def _follow(self) -> None:
        while True:
            problem = ""
            try:
                async with asyncio.timeout(POLL_TIMEOUT_S):
                    problem = await self._compare()
            except Exception as error:
                problem = str(error).partition("\n")[0] or type(error).__name__
            self._report(problem)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _compare(self) -> str:
        """Update how far the replica is. Return why it cannot be used, "" if it can."""
        now = time.monotonic()
        positions = await read_positions(self._primary, self._replica)
        if positions is None:
            self._covered_until = NEVER
            return UNRELATED
        self._marks.append(Mark(now, positions.primary))
        while self._marks and self._marks[0].position <= positions.replica:
            self._covered_until = self._marks.popleft().at
        lag_s = time.monotonic() - self._covered_until
        return f"it is more than {self._max_lag_s:g} s behind" if lag_s > self._max_lag_s else ""

    def _report(self, problem: str) -> None:
        """Log each change between a replica that is used and one that is not, but not the moment before the first."""
        is_used = not problem
        self._polls += 1
        if is_used == self._is_used or (problem and self._polls < FIRST_POLLS):
            return
        if is_used:
            log.info("Reads go to the read replica.")
        else:
            log.warning("Reads go to the backend store, not to the read replica: %s", problem)
        self._is_used = is_used


class ReplicaDb:
    """The database of one read: the replica, and the primary once the replica has failed."""

    engine: Engine = "postgresql"

    def __init__(self, primary: Db, replica: Db) -> None:
        self._primary = primary
        self._replica: Db | None = replica
        self.pooler = primary.pooler

    @property
    def is_away(self) -> bool:
        return self._primary.is_away

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        return await self._run(lambda db: db.fetch(sql, *args))

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        return await self._run(lambda db: db.fetch_row(sql, *args))

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        return await self._run(lambda db: db.fetch_value(sql, *args))

    async def fetch_by_key(self, sql: str, *args: Any, commits: bool = False) -> list[Row]:
        if commits:
            return await self._primary.fetch_by_key(sql, *args, commits=True)
        return await self._run(lambda db: db.fetch_by_key(sql, *args))

    async def _run(self, statement: Callable[[Db], Awaitable[T]]) -> T:
        if self._replica is not None:
            try:
                return await statement(self._replica)
            except Exception as error:
                if not _is_of_replica(error):
                    raise
                self._replica = None
        return await statement(self._primary)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Open a transaction. If the replica fails in it, raise Conflict, so that the request runs on the primary."""
        async with contextlib.AsyncExitStack() as stack:
            if self._replica is not None:
                try:
                    async with self._replica.read() as tx:
                        yield tx
                    return
                except Exception as error:
                    if not _is_of_replica(error):
                        raise
                    self._replica = None
                    raise Conflict from error
            yield await stack.enter_async_context(self._primary.read())

    async def execute(self, sql: str, *args: Any) -> int:
        return await self._primary.execute(sql, *args)

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        return await self._primary.execute_rows(sql, columns, rows)

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return postgresql

    def write(self) -> AbstractAsyncContextManager[WriteTx]:
        return self._primary.write()

    async def execute_alone(self, sql: str) -> None:
        await self._primary.execute_alone(sql)

    def connections(self) -> Connections:
        return self._primary.connections()

    async def close(self) -> None:
        """Do nothing: the databases belong to the worker."""


def _is_of_replica(error: Exception) -> bool:
    """Return True for an error that the primary may not have: not reachable, read-only, or a conflict with recovery."""
    if isinstance(error, ApiError):
        return error.is_transient
    return isinstance(error, Conflict) or getattr(error, "sqlstate", None) == "25006"
