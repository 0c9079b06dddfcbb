"""PostgreSQL behind the Db protocol: asyncpg, a bounded pool, and the translation of its errors. No SQL of ours.

Works behind a transaction-mode pooler (PgBouncer): it is noticed by what it refuses, and from then on every
statement runs unnamed inside a transaction of its own, which such a pooler keeps on one server connection.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
from asyncpg import exceptions as pg

from railtrack.db import (
    Conflict,
    Connections,
    Engine,
    ForeignKeyViolation,
    Row,
    Tx,
    UniqueViolation,
    commit_unknown,
    database_unavailable,
    statement_log,
    value_not_storable,
)
from railtrack.db.recordset import recordset, rows_parameter

log = logging.getLogger("railtrack")
T = TypeVar("T")

STATEMENT_LIMIT_S = 60
LONG_STATEMENT_LIMIT_S = 24 * 3600
ACQUIRE_LIMIT_S = 30
"""How long a request waits for a free connection before it is told to come again."""
IDLE_LIMIT_S = 240
"""Idle connections are closed before the usual five minutes of firewalls and platform proxies."""

STATEMENTS_KEPT = 200
DRIVER_ERRORS = (pg.PostgresError, pg.InterfaceError, pg.InternalClientError, OSError, TimeoutError)
ROLLED_BACK = (pg.ReadOnlySQLTransactionError, pg.InsufficientResourcesError)
"""PostgreSQL's answer to a statement that it did not carry out, a COMMIT included."""
DIRECT_SETTINGS = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
"""Statements are planned for the values they search for: a generic plan made `run_uuid = $1` a sequential scan of
204,000 rows. Compiling a plan to machine code takes longer than nearly all of them run.
"""
PLANS = {
    False: "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = on",
    True: "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
}
"""By whether statements find their rows by key (Db.fetch_by_key): those keep a plan, which has to go by an index."""


class _Connection(asyncpg.Connection):
    """A connection that names its statements like no other, and knows how the server plans them.

    asyncpg numbers them from 1 in every process; behind a pooler that shares server connections such a name could
    mean another process's statement. A random name fails instead of lying.
    """

    _keyed: bool | None = False

    def _get_unique_id(self, prefix: str) -> str:
        return f"railtrack_{prefix}_{uuid4().hex}"

    async def plan(self, *, keyed: bool) -> None:
        """Have the statements that follow planned this way: a round trip where it was the other."""
        if self._keyed is not keyed:
            self._keyed = None  # not known, should this be broken off
            await self.execute(PLANS[keyed])
            self._keyed = keyed


class _Lease:
    """A connection of the pool for one transaction; `connection` is None until there is one."""

    __slots__ = ("connection", "may_have_committed")

    def __init__(self) -> None:
        self.connection: Any = None
        self.may_have_committed = False
        """COMMIT, or a statement that commits itself, may have reached the server."""


class PostgresTx:
    """Statements on one connection, whose transaction the caller holds."""

    engine: Engine = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        found: list[Row] = await self._connection.fetch(sql, *args)
        return found

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        found: Row | None = await self._connection.fetchrow(sql, *args)
        return found

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
    """A pool of at most `size` connections, made on first use by the process that uses them (not before a fork)."""

    engine: Engine = "postgresql"

    def __init__(self, connect: dict[str, Any], size: int, *, pooler: bool = False, shown: str = "") -> None:
        """`connect`: asyncpg's connect arguments; `pooler`: a transaction-mode pooler is known to be between; `shown`:
        what the log calls the database.
        """
        self._connect = connect
        self._shown = shown
        self._answers: bool | None = None
        self._size = size
        self.pooler = pooler
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        return await self._one(lambda tx: tx.fetch(sql, *args))

    async def fetch_by_key(self, sql: str, *args: Any) -> list[Row]:
        return await self._one(lambda tx: tx.fetch(sql, *args), keyed=True)

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        return await self._one(lambda tx: tx.fetch_row(sql, *args))

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        return await self._one(lambda tx: tx.fetch_value(sql, *args))

    async def execute(self, sql: str, *args: Any) -> int:
        return await self._one(lambda tx: tx.execute(sql, *args), commits=True)

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        return await self._one(lambda tx: tx.execute_rows(sql, columns, rows), commits=True)

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return postgresql

    async def _one(
        self, call: Callable[[PostgresTx], Awaitable[T]], *, keyed: bool = False, commits: bool = False
    ) -> T:
        """One statement by itself; a pooler gets it in a transaction, for it may change servers between messages."""
        if self.pooler:
            async with self.write() as tx:
                return await call(tx)
        async with self._lease(keyed=keyed) as lease:
            lease.may_have_committed = commits
            return await call(PostgresTx(lease.connection))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with (
            self._lease() as lease,
            lease.connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield PostgresTx(lease.connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[PostgresTx]:
        async with self._lease(keyed=True) as lease, lease.connection.transaction():
            yield PostgresTx(lease.connection)
            lease.may_have_committed = True  # COMMIT is what comes next

    @asynccontextmanager
    async def _lease(self, *, keyed: bool = False) -> AsyncIterator["_Lease"]:
        """Lend a connection of the pool. Raise the driver's errors as ours."""
        lease = _Lease()
        try:
            pool = self._pool or await self._open()
            async with pool.acquire(timeout=ACQUIRE_LIMIT_S) as connection:
                lease.connection = connection
                try:
                    if not self.pooler:
                        await connection.plan(keyed=keyed)
                    yield lease
                except DRIVER_ERRORS as error:
                    if _is_gone(error):
                        # The others lead to the same server, which is gone or has become a replica. asyncpg closes
                        # this one at its release and each other one before its next use.
                        await pool.expire_connections()
                    raise
            self._tell_answered()
        except DRIVER_ERRORS as error:
            if isinstance(error, (pg.InvalidSQLStatementNameError, pg.DuplicatePreparedStatementError)):
                await self._behind_pooler(pool)
            # Whatever the server's reason not to let us in: it is no fault of the request.
            is_gone = _is_gone(error) or (lease.connection is None and isinstance(error, pg.PostgresError))
            if not is_gone:
                raise translated(error) from error
            self._tell_gone(error)
            detail = type(error).__name__
            if lease.may_have_committed and not isinstance(error, ROLLED_BACK):
                raise commit_unknown(detail) from error
            raise database_unavailable(detail) from error

    def _tell_answered(self) -> None:
        if self._answers is False:
            log.info("The backend store answers again: %s", self._shown)
        self._answers = True

    def _tell_gone(self, error: Exception) -> None:
        """One line however many requests find out; while a start waits for the first answer, it tells so itself."""
        if self._answers:
            words = str(error).partition("\n")[0] or type(error).__name__
            log.warning(
                "Lost the connection to the backend store %s (%s). Clients are asked to retry until it is back: "
                "check that PostgreSQL runs, accepts writes and can be reached.",
                self._shown,
                words,
            )
            self._answers = False

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

    async def _behind_pooler(self, pool: Any) -> None:
        """A named statement got lost between two servers: go on without names."""
        if self.pooler:
            return
        log.info("Prepared statements don't survive here (a transaction-mode pooler): working without them.")
        self.pooler = True
        self._pool = None
        pool.terminate()

    async def _new_pool(self) -> Any:
        session = {"application_name": "railtrack", **self._connect.get("server_settings", {})}
        return await asyncpg.create_pool(
            **self._connect | {"server_settings": session if self.pooler else session | DIRECT_SETTINGS},
            statement_cache_size=0 if self.pooler else STATEMENTS_KEPT,
            min_size=0,
            init_size=1,
            max_size=self._size,
            max_inactive_connection_lifetime=IDLE_LIMIT_S,
            command_timeout=STATEMENT_LIMIT_S,
            connection_class=_Connection,
            # A round trip at each release otherwise (1.88 -> 1.12 ms); we leave no session state behind.
            reset=_nothing,
            init=_log_statements if statement_log.is_enabled() else None,
        )

    async def execute_alone(self, sql: str) -> None:
        # Without parameters it goes as one plain message, which a pooler leaves on one server connection.
        async with self._lease() as lease:
            await lease.connection.execute(sql, timeout=LONG_STATEMENT_LIMIT_S)

    def connections(self) -> Connections:
        if self._pool is None:
            return Connections(0, 0, self._size)
        size = self._pool.get_size()
        return Connections(size - self._pool.get_idle_size(), size, self._size)

    async def close(self) -> None:
        """Close the idle connections, wait a moment for those at work."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()


async def _log_statements(connection: Any) -> None:
    connection.add_query_logger(lambda record: statement_log.log_statement(record.query, record.elapsed))


async def _nothing(connection: Any) -> None:
    return None


def translated(error: Exception) -> Exception:
    """The driver's error as one of ours."""
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


def _is_gone(error: Exception) -> bool:
    """Nothing is wrong with the statement: no connection, no room for one, no disk, or a shutdown."""
    return isinstance(
        error,
        (
            OSError,
            TimeoutError,
            pg.PostgresConnectionError,
            pg.InternalClientError,  # a statement on a connection that was just told of its end, and isn't closed yet
            pg.InsufficientResourcesError,
            pg.OperatorInterventionError,
            pg.InvalidAuthorizationSpecificationError,
            pg.InvalidCatalogNameError,
            pg.ReadOnlySQLTransactionError,  # the primary has become a replica, or was set to read only
        ),
    ) or (isinstance(error, pg.InterfaceError) and not isinstance(error, pg.DataError))
