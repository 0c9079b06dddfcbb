"""The database interface of endpoints: statements in PostgreSQL's dialect, one protocol for two engines.

postgres.py and sqlite.py implement Db. open.py chooses the engine and creates or recognises MLflow's tables.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol

from railtrack.errors import ApiError, invalid, not_processed

Engine = Literal["postgresql", "sqlite"]
Row = Sequence[Any]
"""A result row, read by position: a tuple or an object that unpacks like one."""


class Tx(Protocol):
    """Statements of one transaction. Parameters are `$1`, `$2`, ...; a list goes to `= ANY($n)`.

    For more than four parameters use names: `await tx.execute(*bind(SQL, run_id=...))` (see sql.py).
    """

    engine: Engine

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows."""

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        """Return the first row, or None."""

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, or None if there is no row."""

    async def execute(self, sql: str, *args: Any) -> int:
        """Run a statement and return the number of rows that it changed."""

    async def execute_rows(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement that reads many rows of parameters, and return the number of rows that it changed.

        In `sql`, `{rows}` is the table of parameters, named r: `INSERT INTO t (a) SELECT a FROM {rows} WHERE true`.
        `columns` maps the table's columns to PostgreSQL types, in the order of the values in `rows`.
        """

    def per_dialect(self, *, postgresql: str, sqlite: str) -> str:
        """Return the SQL for this engine where one text cannot serve both. Callers state the reason in a comment."""


class WriteTx(Tx, Protocol):
    """A transaction that Db.write() opened."""

    def set_commit_check(self, sql: str, *args: Any) -> None:
        """Register the query that returns a row exactly if this transaction was committed.

        If the connection is lost during COMMIT, the query decides between success and 429; without it, the response is
        503. The client does not repeat a create after 503. Identify a row that only this transaction can have inserted.
        """


class Connections(NamedTuple):
    """Numbers of connections; `limit` is how many may be open."""

    in_use: int
    open: int
    limit: int


class Db(Tx, Protocol):
    """A bounded pool of connections. A statement that is run on the Db itself is a transaction."""

    pooler: bool
    """True if the connections are known to pass through a transaction-mode pooler."""

    @property
    def is_away(self) -> bool:
        """True while requests wait for a database that was lost."""

    async def fetch_by_key(self, sql: str, *args: Any, commits: bool = False) -> list[Row]:
        """Fetch with a statement that finds its rows by an index key for every value of its parameters.

        `commits`: it writes, too. If the connection is lost, it is unknown whether it was committed.

        PostgreSQL plans it once per connection, because planning takes longer than running it. The statements of
        `write()` are planned once, too.
        """

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """Open a read-only transaction whose statements all see the same snapshot."""

    def write(self) -> AbstractAsyncContextManager[WriteTx]:
        """Open a transaction that commits at the end of the block and rolls back if the block raises."""

    async def execute_alone(self, sql: str) -> None:
        """Run a statement outside of a transaction (CREATE INDEX CONCURRENTLY), without the usual timeout."""

    def connections(self) -> Connections: ...

    async def close(self) -> None: ...


class ConstraintViolation(Exception):
    """The transaction was rolled back because a row breaks a constraint.

    `constraint` is its name on PostgreSQL. On SQLite it is `table.column, ...`, or "" for a foreign key.
    `key` describes the values of the row's key; SQLite does not report them.
    """

    def __init__(self, constraint: str, key: str = "") -> None:
        super().__init__(constraint)
        self.constraint = constraint
        self.key = key


class UniqueViolation(ConstraintViolation):
    """A row with this key exists."""


class ForeignKeyViolation(ConstraintViolation):
    """A row refers to one that does not exist, or a row that others refer to would be deleted."""


class Conflict(Exception):
    """The transaction was rolled back because of a concurrent one. Running it again is right."""


def database_unavailable(detail: str) -> ApiError:
    """Return the 429 for a transaction that certainly was not committed: no connection, or lost before COMMIT."""
    return not_processed(f"The database is not reachable at the moment ({detail}). Nothing was stored. Please retry.")


def statement_cancelled(seconds: float) -> ApiError:
    """Return the 429 for a statement that took too long, on a server that responds and has cancelled it."""
    return not_processed(
        f"The database did not finish a statement of this request within {seconds:g} s, and cancelled it. "
        "Nothing was stored. Please retry."
    )


class CommitUnknown(ApiError):
    """503: the connection was lost, or the database was too slow, after COMMIT or a statement that commits was sent.

    `is_lost`: the connection was lost, so nothing waits for that transaction any more.
    """

    def __init__(self, detail: str, *, is_lost: bool = True) -> None:
        cause = "The connection to the database was lost" if is_lost else "The database took too long"
        super().__init__(
            "TEMPORARILY_UNAVAILABLE",
            f"{cause} during a commit ({detail}), which may have succeeded. Please retry.",
        )
        self.is_lost = is_lost


def value_not_storable(detail: str) -> ApiError:
    """Return the 400 for a value that a column cannot hold: out of range, a NUL character, too long."""
    return invalid(f"The database does not accept a value of this request: {detail}")
