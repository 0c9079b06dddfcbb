"""The database as endpoints see it: statements in PostgreSQL's spelling, two engines behind one protocol.

postgres.py and sqlite.py implement Db; open.py chooses, creates and recognises; drivers appear nowhere else.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol

from railtrack.errors import ApiError, not_processed, unavailable

Engine = Literal["postgresql", "sqlite"]
Row = Sequence[Any]
"""A result row, read by position: a tuple or something that unpacks like one."""


class Tx(Protocol):
    """Statements of one transaction. Parameters are `$1`, `$2`, ...; a list goes to `= ANY($n)`.

    For more than four parameters use names: `await tx.execute(*bind(SQL, run_id=...))` (see sql.py).
    """

    engine: Engine

    async def fetch(self, sql: str, *args: Any) -> list[Row]: ...

    async def fetch_row(self, sql: str, *args: Any) -> Row | None: ...

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, None when there is none."""

    async def execute(self, sql: str, *args: Any) -> int:
        """Run a statement and return the number of rows it changed."""

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement over many rows and return the number it changed.

        `sql` reads them from the table `{rows}`, named r: `INSERT INTO t (a) SELECT a FROM {rows} WHERE true`.
        `columns`: name -> PostgreSQL type, in the order of the values.
        """

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        """The text for this engine, where one text cannot serve both; the reason stands beside the call."""


class Connections(NamedTuple):
    """How many connections are at work, are open, and may be."""

    in_use: int
    open: int
    limit: int


class Db(Tx, Protocol):
    """A bounded pool of connections. A statement sent to the Db itself is a transaction; on SQLite it only reads."""

    pooler: bool
    """A transaction-mode pooler is known to be between."""

    async def fetch_by_key(self, sql: str, *args: Any) -> list[Row]:
        """`fetch` of a statement that finds its rows by keys of an index, whatever its parameters.

        PostgreSQL plans it once a connection, which takes longer than running it; the same goes for all of `write()`.
        """

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Several reading statements that see one state of the database."""

    def write(self) -> AbstractAsyncContextManager[Tx]:
        """One transaction: committed at the end of the block, undone when the block raises."""

    async def execute_alone(self, sql: str) -> None:
        """Run a statement that no transaction may hold (CREATE INDEX CONCURRENTLY), however long it takes."""

    def connections(self) -> Connections: ...

    async def close(self) -> None: ...


class UniqueViolation(Exception):
    """A row with this key is there already. `constraint`: its name on PostgreSQL, `table.column` words on SQLite."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class ForeignKeyViolation(Exception):
    """The row refers to one that does not exist (any more)."""


class Conflict(Exception):
    """Two transactions were in each other's way and this one was undone whole; running it again is right."""


def database_unavailable(detail: str) -> ApiError:
    """Return the 429 for a transaction that certainly was not committed: no connection, or lost before COMMIT."""
    return not_processed(f"The database is not reachable at the moment ({detail}). Nothing was stored. Please retry.")


def commit_unknown(detail: str) -> ApiError:
    """Return the 503 for a connection that was lost after COMMIT, or a statement that commits itself, was sent."""
    return unavailable(
        f"The connection to the database was lost during a commit ({detail}), which may have succeeded. Please retry."
    )


def database_refuses(detail: str) -> ApiError:
    """A value that the database cannot hold: a number out of range, a NUL character, a text too long."""
    return ApiError("INVALID_PARAMETER_VALUE", f"The database does not accept a value of this request: {detail}")
