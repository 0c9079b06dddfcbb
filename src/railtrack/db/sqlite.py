"""SQLite as a Db: one connection that writes and a few that read, each in a separate thread.

With WAL readers don't wait for the writer. With synchronous FULL a commit is durable before it is acknowledged.
"""

import asyncio
import math
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from railtrack.db import (
    Conflict,
    Connections,
    Engine,
    ForeignKeyViolation,
    Row,
    Tx,
    UniqueViolation,
    WriteTx,
    database_unavailable,
    statement_log,
    value_not_storable,
)
from railtrack.errors import unavailable

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
"""How long BEGIN IMMEDIATE, and a change of the journal mode, wait for a writer of another process."""
BUSY_INTERVAL_S = 0.05
INTERRUPT_INTERVAL_S = 0.05
CACHE_KIB = 4096

_ANY = re.compile(r"= ANY\((\$\d+)\)")
_LOCKS = re.compile(r" FOR (?:NO KEY )?(?:UPDATE|KEY SHARE)\b(?: OF \w+)?")


@lru_cache(maxsize=1024)
def to_sqlite(sql: str) -> str:
    """Return the statement in SQLite's dialect, by a closed list of two rewrites (ADR 2)."""
    return _LOCKS.sub("", _ANY.sub(r"IN (SELECT value FROM json_each(\1))", sql))


def _parameters(args: Sequence[Any]) -> dict[str, Any]:
    """Return the parameters by name: `$1` is a named parameter in SQLite. Lists become JSON for `json_each`."""
    return {str(number): _value(value) for number, value in enumerate(args, 1)}


def _value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN would be stored as NULL; MLflow's columns hold 0 and is_nan")
    return value


class _LoggedConnection(sqlite3.Connection):
    """Log statements with the time until their first row."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        began = time.perf_counter()
        try:
            return super().execute(sql, parameters)
        finally:
            statement_log.log_statement(sql, time.perf_counter() - began)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        began = time.perf_counter()
        try:
            return super().executemany(sql, parameters)
        finally:
            statement_log.log_statement(sql, time.perf_counter() - began)


class SqliteConnection:
    """A sqlite3 connection with a thread, because sqlite3 blocks and the event loop must not."""

    def __init__(self, path: str, *, writer: bool, read_only: bool = False, enforces_foreign_keys: bool = True) -> None:
        self._path = path
        self._enforces_foreign_keys = enforces_foreign_keys
        self._writer = writer
        self._read_only = read_only
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._sqlite: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the connection's thread. On cancellation, interrupt its statement and wait for its end."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                if self._sqlite is not None:
                    self._sqlite.interrupt()  # without effect if the thread has not started the statement yet
                await asyncio.wait([future], timeout=INTERRUPT_INTERVAL_S)
            future.exception()  # else asyncio logs that nobody has retrieved it
            raise

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._sqlite is None:
                self._sqlite = self._open()
            return work(self._sqlite)
        except (sqlite3.Error, OverflowError) as error:
            raise translate(error) from error

    def _open(self) -> sqlite3.Connection:
        path = f"{Path(self._path).absolute().as_uri()}?mode=ro" if self._read_only else self._path
        connection = sqlite3.connect(
            path,
            uri=self._read_only,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=_LoggedConnection if statement_log.is_enabled() else sqlite3.Connection,
        )
        if self._read_only:
            return connection
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if self._enforces_foreign_keys else 'OFF'}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # As on PostgreSQL. SQLite's default LIKE ignores case.
        connection.execute("PRAGMA case_sensitive_like = ON")
        if not self._writer:
            connection.execute("PRAGMA query_only = ON")
        return connection

    @property
    def is_open(self) -> bool:
        return self._sqlite is not None

    async def close(self) -> None:
        if self._sqlite is not None:
            await self.run(sqlite3.Connection.close)
            self._sqlite = None
        self._thread.shutdown(wait=False)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Set the journal mode, which the file keeps.

    SQLite's busy timeout does not cover this change if another process writes, as at a first start of several.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                connection.close()
                raise
        time.sleep(BUSY_INTERVAL_S)


class SqliteTx:
    """Statements on a connection. The caller manages its transaction."""

    engine: Engine = "sqlite"

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        return await self._connection.run(lambda db: _fetch(db, sql, args))

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        row = await self.fetch_row(sql, *args)
        return row[0] if row else None

    async def execute(self, sql: str, *args: Any) -> int:
        return await self._connection.run(lambda db: db.execute(to_sqlite(sql), _parameters(args)).rowcount)

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        """Bind the values row by row: numbers that SQLite reads from JSON are not exact to the last bit."""
        values = ", ".join(f"${number} AS {name}" for number, name in enumerate(columns, 1))
        text = to_sqlite(sql.format(rows=f"(SELECT {values}) AS r"))
        bound = [_parameters(row) for row in rows]
        return await self._connection.run(lambda db: db.executemany(text, bound).rowcount)

    def set_commit_check(self, sql: str, *args: Any) -> None:
        """Do nothing: a COMMIT in this process either succeeds or fails."""

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return sqlite


def _fetch(db: sqlite3.Connection, sql: str, args: Sequence[Any]) -> list[Row]:
    return db.execute(to_sqlite(sql), _parameters(args)).fetchall()


class SqliteDb:
    """One writer and `size` readers of the file `path`."""

    engine: Engine = "sqlite"
    pooler = False
    is_away = False

    def __init__(self, path: str, size: int, *, read_only: bool = False, enforces_foreign_keys: bool = True) -> None:
        """With `read_only` the file must exist and is not changed, not even its journal mode."""
        self._writer = SqliteConnection(
            path, writer=True, read_only=read_only, enforces_foreign_keys=enforces_foreign_keys
        )
        self._readers = [SqliteConnection(path, writer=False, read_only=read_only) for _ in range(size)]
        self._idle: asyncio.LifoQueue[SqliteConnection] = asyncio.LifoQueue()
        for reader in self._readers:
            self._idle.put_nowait(reader)
        self._writing = asyncio.Lock()

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        async with self._reader() as reader:
            return await SqliteTx(reader).fetch(sql, *args)

    async def fetch_by_key(self, sql: str, *args: Any, commits: bool = False) -> list[Row]:
        return await self.fetch(sql, *args)

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        row = await self.fetch_row(sql, *args)
        return row[0] if row else None

    async def execute(self, sql: str, *args: Any) -> int:
        async with self.write() as tx:
            return await tx.execute(sql, *args)

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        async with self.write() as tx:
            return await tx.execute_rows(sql, columns, rows)

    async def execute_alone(self, sql: str) -> None:
        await self.execute(sql)

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        return sqlite

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with self._reader() as reader, _transaction(reader, "BEGIN"):
            yield SqliteTx(reader)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteTx]:
        # IMMEDIATE: a transaction that reads before it writes fails instead of waiting for the lock.
        async with self._writing, _transaction(self._writer, "BEGIN IMMEDIATE"):
            yield SqliteTx(self._writer)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[SqliteConnection]:
        reader = await self._idle.get()
        try:
            yield reader
        finally:
            self._idle.put_nowait(reader)

    def connections(self) -> Connections:
        all_ = (self._writer, *self._readers)
        reading = len(self._readers) - self._idle.qsize()
        return Connections(reading + self._writing.locked(), sum(one.is_open for one in all_), len(all_))

    async def close(self) -> None:
        for connection in (self._writer, *self._readers):
            await connection.close()


@asynccontextmanager
async def _transaction(connection: SqliteConnection, begin: str) -> AsyncIterator[None]:
    try:
        await connection.run(lambda db: db.execute(begin))
        yield
        await connection.run(lambda db: db.execute("COMMIT"))  # when it fails, nothing is committed
    except BaseException:
        await connection.run(_roll_back)
        raise


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def translate(error: Exception) -> Exception:
    """Return the exception of railtrack.db for the driver's, or the same exception if there is none."""
    text = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match error:
        case sqlite3.IntegrityError() if "UNIQUE" in text:
            return UniqueViolation(text.partition(": ")[2])
        case sqlite3.IntegrityError() if "FOREIGN KEY" in text:
            return ForeignKeyViolation("")
        case sqlite3.IntegrityError() | sqlite3.DataError() | OverflowError():
            return value_not_storable(text)
        case sqlite3.OperationalError() if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Conflict(text)
        case sqlite3.OperationalError() if code in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        ):
            return database_unavailable(text)
        case sqlite3.DatabaseError() if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return unavailable(f"The database file is damaged or not a SQLite database: {text}")
    return error
