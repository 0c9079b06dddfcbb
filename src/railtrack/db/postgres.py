"""PostgreSQL as a Db: asyncpg, a bounded pool, and the translation of its errors. The SQL is in api/.

Works behind a transaction-mode pooler (PgBouncer), which is detected by its errors. From then on every statement runs
unnamed in a separate transaction, because such a pooler keeps a transaction on one server connection.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import asyncpg
from asyncpg import exceptions as pg

from railtrack.db import (
    CommitUnknown,
    Conflict,
    Connections,
    Engine,
    ForeignKeyViolation,
    Row,
    Tx,
    UniqueViolation,
    database_unavailable,
    statement_cancelled,
    statement_log,
    value_not_storable,
)
from railtrack.db.postgres_connector import PostgresConnector
from railtrack.db.recordset import recordset, rows_parameter
from railtrack.db.recovery import HangWatch, Reconnection, Use, was_committed
from railtrack.db.url import DatabaseUrl
from railtrack.errors import not_processed

log = logging.getLogger("railtrack")
T = TypeVar("T")

STATEMENT_TIMEOUT_S = 60
LONG_STATEMENT_TIMEOUT_S = 24 * 3600
CANCEL_TIMEOUT_S = 5
"""How long a statement that timed out may take to be cancelled. A server that does not respond is not waited for."""
ACQUIRE_TIMEOUT_S = 30
"""How long a request waits for a free connection before it gets 429."""
IDLE_TIMEOUT_S = 240
"""Less than the usual five minutes of firewalls and platform proxies."""

STATEMENT_CACHE_SIZE = 200
DRIVER_ERRORS = (pg.PostgresError, pg.InterfaceError, pg.InternalClientError, OSError, TimeoutError)
ROLLED_BACK = (pg.ReadOnlySQLTransactionError, pg.InsufficientResourcesError)
"""Errors with which PostgreSQL reports that it did not run the statement, COMMIT included."""
DIRECT_SETTINGS = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
"""Statements are planned for their parameter values: a generic plan made `run_uuid = $1` a sequential scan of 204,000
rows. Without JIT, because compiling a plan takes longer than almost all of them run.
"""
STOP_ABANDONED = "SET client_connection_check_interval = '5s'"
"""PostgreSQL ends a statement whose connection is closed. Otherwise it would run on after a cancellation was lost."""
PLAN_SETTINGS = {
    False: "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = on",
    True: "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
}
"""By whether statements find their rows by key (Db.fetch_by_key): those reuse a plan, which must use an index."""


class PostgresConnection(asyncpg.Connection):
    """A connection with random names for prepared statements, and a switch of the server's plan settings.

    asyncpg numbers statements from 1 in every process. Behind a pooler that shares server connections, such a name
    could run another process's statement. A random name fails instead.
    """

    _by_key: bool | None = False

    def _get_unique_id(self, prefix: str) -> str:
        return f"railtrack_{prefix}_{uuid4().hex}"

    async def set_planning(self, *, by_key: bool) -> None:
        """Apply PLAN_SETTINGS to the statements that follow. This takes a round trip if they change."""
        if self._by_key is not by_key:
            self._by_key = None  # unknown if the statement is interrupted
            await self.execute(PLAN_SETTINGS[by_key])
            self._by_key = by_key


class _Lease(Use):
    """The use of a pool's connection for one transaction. `connection` is None until one is acquired."""

    __slots__ = ("is_cancelled", "may_have_committed")

    def __init__(self) -> None:
        super().__init__()
        self.may_have_committed = False
        """True once COMMIT, or a statement that is a transaction, may have reached the server."""
        self.is_cancelled = False
        """True if the server responds, and has cancelled a statement that took too long."""


class _CommitCheck(NamedTuple):
    sql: str
    args: tuple[Any, ...]


class PostgresTx:
    """Statements on a connection. The caller manages its transaction."""

    engine: Engine = "postgresql"

    commit_check: _CommitCheck | None = None

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def set_commit_check(self, sql: str, *args: Any) -> None:
        self.commit_check = _CommitCheck(sql, args)

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        rows: list[Row] = await self._connection.fetch(sql, *args)
        return rows

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql, *args)
        return row

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        status: str = await self._connection.execute(sql, *args)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        return await self.execute(sql.format(rows=recordset(1, columns)), rows_parameter(columns, rows))

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return postgresql


class PostgresDb:
    """A pool of at most `size` connections, opened by its first use. Create it before a fork, use it after."""

    engine: Engine = "postgresql"

    def __init__(self, url: DatabaseUrl, size: int, *, read_only: bool = False) -> None:
        """With `read_only`, any of several hosts is accepted, else only one that accepts writes."""
        self._connector = PostgresConnector(url, read_only=read_only)
        self._display_url = url.masked
        self._is_reachable: bool | None = None
        self._size = size
        self.pooler = url.pooler
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._reconnection = Reconnection(self._select_1, DRIVER_ERRORS)
        self._hang_watch = HangWatch(self._connector.probe)

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        return await self._run_alone(lambda tx: tx.fetch(sql, *args))

    async def fetch_by_key(self, sql: str, *args: Any, commits: bool = False) -> list[Row]:
        return await self._run_alone(lambda tx: tx.fetch(sql, *args), by_key=True, commits=commits)

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        return await self._run_alone(lambda tx: tx.fetch_row(sql, *args))

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        return await self._run_alone(lambda tx: tx.fetch_value(sql, *args))

    async def execute(self, sql: str, *args: Any) -> int:
        return await self._run_alone(lambda tx: tx.execute(sql, *args), commits=True)

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        return await self._run_alone(lambda tx: tx.execute_rows(sql, columns, rows), commits=True)

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return postgresql

    async def _run_alone(
        self, call: Callable[[PostgresTx], Awaitable[T]], *, by_key: bool = False, commits: bool = False
    ) -> T:
        """Run one statement. A pooler gets it in a transaction, because it may switch servers between messages."""
        if self.pooler:
            async with self.write() as tx:
                return await call(tx)
        async with self._lease(by_key=by_key) as lease:
            lease.may_have_committed = commits
            return await call(PostgresTx(lease.connection))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with (
            self._lease() as lease,
            lease.connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            try:
                yield PostgresTx(lease.connection)
            except (TimeoutError, asyncio.CancelledError):
                await _cancel(lease.connection)  # else ROLLBACK would wait for STATEMENT_TIMEOUT_S
                raise

    @asynccontextmanager
    async def write(self) -> AsyncIterator[PostgresTx]:
        check: _CommitCheck | None = None
        try:
            async with self._lease(by_key=True) as lease, lease.connection.transaction():
                tx = PostgresTx(lease.connection)
                try:
                    yield tx
                except (TimeoutError, asyncio.CancelledError):
                    await _cancel(lease.connection)  # else ROLLBACK would wait for STATEMENT_TIMEOUT_S
                    raise
                check = tx.commit_check
                lease.may_have_committed = True  # COMMIT follows
        except CommitUnknown as error:
            is_committed = await was_committed(self.fetch_row, *check) if check else None
            if is_committed is None:
                raise
            if not is_committed:
                raise database_unavailable("it was lost before the commit") from error

    @asynccontextmanager
    async def _lease(self, *, by_key: bool = False) -> AsyncIterator["_Lease"]:
        """Acquire a connection for the block. Raise the driver's errors as those of railtrack.db."""
        lease = _Lease()
        if self._reconnection.is_running:
            await self._reconnection.wait()
        try:
            pool = self._pool or await self._open()
            async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                lease.connection = connection
                self._hang_watch.add(lease)
                try:
                    if not self.pooler:
                        await connection.set_planning(by_key=by_key)
                    yield lease
                except asyncio.CancelledError:
                    await _cancel(connection)  # PostgreSQL ignores a request to cancel that overtakes its statement
                    raise
                except DRIVER_ERRORS as error:
                    if isinstance(error, TimeoutError):
                        lease.is_cancelled = await _cancel(connection)
                    if _is_outage(error) and not lease.is_cancelled:
                        # The other connections lead to the same server, which has stopped or become a replica. asyncpg
                        # closes this one when it is released and each other one before its next use.
                        await pool.expire_connections()
                    raise
                finally:
                    self._hang_watch.discard(lease)
            if not self._is_reachable:
                self._log_reachable()
        except DRIVER_ERRORS as error:
            if isinstance(error, (pg.InvalidSQLStatementNameError, pg.DuplicatePreparedStatementError)):
                await self._switch_to_pooler(pool)
            # A server that rejects the connection, for any reason, is not the request's fault.
            is_rejected = lease.connection is None and isinstance(error, pg.PostgresError)
            if not is_rejected and not _is_outage(error):
                raise translate(error) from error
            detail = type(error).__name__
            is_unknown = lease.may_have_committed and not isinstance(error, ROLLED_BACK)
            if lease.is_cancelled and not is_unknown:
                raise statement_cancelled(STATEMENT_TIMEOUT_S) from error
            if lease.connection is None and isinstance(error, TimeoutError) and self.connections().in_use == self._size:
                raise not_processed(
                    f"All {self._size} database connections were in use for {ACQUIRE_TIMEOUT_S} s. "
                    "Nothing was stored. Please retry."
                ) from error
            if not lease.is_cancelled:
                self._log_unreachable(error, is_gone=lease.connection is None or not isinstance(error, ROLLED_BACK))
            if is_unknown:
                raise CommitUnknown(detail, is_lost=not lease.is_cancelled) from error
            raise database_unavailable(detail) from error

    async def _select_1(self) -> None:
        """Raise one of DRIVER_ERRORS if the database cannot be reached."""
        pool = self._pool or await self._open()
        async with pool.acquire() as connection:
            await connection.execute("SELECT 1")
        self._log_reachable()

    def _log_reachable(self) -> None:
        if self._is_reachable is False:
            log.info("The backend store answers again: %s", self._display_url)
        self._is_reachable = True

    def _log_unreachable(self, error: Exception, *, is_gone: bool) -> None:
        """Log the loss once, not per request, and try to reconnect if the server is gone.

        Before the first success, wait_for_database() logs.
        """
        if self._is_reachable:
            log.warning(
                "Lost the connection to the backend store %s (%s). Clients are asked to retry until it is back: "
                "check that PostgreSQL runs, accepts writes and can be reached.",
                self._display_url,
                str(error).partition("\n")[0] or type(error).__name__,
            )
            self._is_reachable = False
            if is_gone:
                self._reconnection.start()

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                try:
                    self._pool = await self._new_pool()
                except pg.ProtocolViolationError as error:
                    if self.pooler or "startup parameter" not in str(error):
                        raise
                    # PgBouncer forwards only the session settings that it tracks.
                    log.info("The database is behind a pooler: working without session settings and named statements.")
                    self.pooler = True
                    self._pool = await self._new_pool()
            return self._pool

    async def _switch_to_pooler(self, pool: Any) -> None:
        """Continue without named statements after one was lost between two servers of a pooler."""
        if self.pooler:
            return
        log.info("The database is behind a transaction-mode pooler: working without named statements.")
        self.pooler = True
        self._pool = None
        pool.terminate()

    async def _new_pool(self) -> Any:
        session = self._connector.server_settings
        return await asyncpg.create_pool(
            server_settings=session if self.pooler else session | DIRECT_SETTINGS,
            statement_cache_size=0 if self.pooler else STATEMENT_CACHE_SIZE,
            min_size=0,
            init_size=1,
            max_size=self._size,
            max_inactive_connection_lifetime=IDLE_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            connection_class=PostgresConnection,
            connect=self._connector.connect,
            # Resetting is a round trip per release (1.88 instead of 1.12 ms), and no session state is left to reset.
            reset=_skip_reset,
            init=self._configure,
        )

    @property
    def is_away(self) -> bool:
        return self._reconnection.is_running

    async def _configure(self, connection: Any) -> None:
        if not self.pooler and connection.get_server_version() >= (14,):
            with contextlib.suppress(pg.InvalidParameterValueError):  # not supported on all platforms of the server
                await connection.execute(STOP_ABANDONED)
        if statement_log.is_enabled():
            connection.add_query_logger(lambda record: statement_log.log_statement(record.query, record.elapsed))

    async def execute_alone(self, sql: str) -> None:
        # Without parameters it is one simple-query message, which a pooler sends to one server connection.
        async with self._lease() as lease:
            await lease.connection.execute(sql, timeout=LONG_STATEMENT_TIMEOUT_S)

    def connections(self) -> Connections:
        if self._pool is None:
            return Connections(0, 0, self._size)
        size = self._pool.get_size()
        return Connections(size - self._pool.get_idle_size(), size, self._size)

    async def close(self) -> None:
        """Close all connections; those in use get 5 s to finish."""
        self._reconnection.cancel()
        self._hang_watch.cancel()
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()


async def _cancel(connection: Any) -> bool:
    """Wait until the interrupted statement is cancelled, which asyncpg has requested. Else close the connection.

    Return whether it was cancelled: the server responds.
    """
    try:
        await connection.execute("SELECT 1", timeout=CANCEL_TIMEOUT_S)
    except pg.InFailedSQLTransactionError:
        return True
    except DRIVER_ERRORS:
        connection.terminate()
        return False
    return True


async def _skip_reset(connection: Any) -> None:
    return None


def translate(error: Exception) -> Exception:
    """Return the exception of railtrack.db for the driver's, or the same exception if there is none."""
    match error:
        case pg.UniqueViolationError():
            return UniqueViolation(error.constraint_name or "", error.detail or "")
        case pg.ForeignKeyViolationError():
            return ForeignKeyViolation(error.constraint_name or "", error.detail or "")
        case pg.DeadlockDetectedError() | pg.SerializationError() | pg.LockNotAvailableError():
            return Conflict(str(error))
        case (
            pg.InvalidSQLStatementNameError() | pg.DuplicatePreparedStatementError() | pg.InvalidCachedStatementError()
        ):
            return Conflict(str(error))
        case pg.DataError() | pg.ProgramLimitExceededError() | pg.CheckViolationError() | pg.NotNullViolationError():
            return value_not_storable(str(error))
    return error


def _is_outage(error: Exception) -> bool:
    """Return True if the server failed, not the statement: no connection, too many of them, disk full, or shutdown."""
    return isinstance(
        error,
        (
            OSError,
            TimeoutError,
            pg.PostgresConnectionError,
            pg.InternalClientError,  # the server has ended the connection, and asyncpg has not closed it yet
            pg.InsufficientResourcesError,
            pg.OperatorInterventionError,
            pg.InvalidAuthorizationSpecificationError,
            pg.InvalidCatalogNameError,
            pg.ReadOnlySQLTransactionError,  # the primary has become a replica or was set to read only
        ),
    ) or (isinstance(error, pg.InterfaceError) and not isinstance(error, pg.DataError))
