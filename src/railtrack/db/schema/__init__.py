"""MLflow 3.18.0's tables, in the .sql files of this folder. They are read only to create or check a database.

One text serves both engines (FLOAT is a double on each). A line that ends in `-- postgresql only` or `-- sqlite only`
is omitted for the other. tests/db compares the result with the tables that MLflow creates.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from railtrack.db import Engine

REVISION = "f4a9b2c7d1e6"
"""The `alembic_version` of MLflow 3.18.0, and of the databases that Railtrack creates."""

SERVED_REVISIONS = (REVISION, "8b6ad64cb8f5", "e7d1f4b2a9c6", "dc11669786a5")
"""The revisions that Railtrack serves: back to MLflow 3.17.2, with those at which its upgrade may have stopped.

The earlier ones differ from REVISION only in tables that Railtrack does not use. A query on what REVISION adds must
first find out whether the database has it.
"""

FILES = ("tracking", "registry", "traces", "evaluation", "gateway", "mcp", "skills", "jobs")
"""Ordered so that no table refers to a later one."""

USED_FILES = ("tracking", "registry")
"""The files whose tables Railtrack reads and writes. A database of another revision must have their columns."""

_FOLDER = Path(__file__).parent
_OTHER: dict[Engine, Engine] = {"postgresql": "sqlite", "sqlite": "postgresql"}
_ONLY = re.compile(r" *-- (?:postgresql|sqlite) only$", re.MULTILINE)
_STATEMENT_END = re.compile(r";\n+(?=CREATE |\Z)")
_TABLE = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\);", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    ([a-z]\w*) ", re.MULTILINE)
_SUBJECT = re.compile(r"CREATE (?:TABLE (\w+)|(?:UNIQUE )?INDEX \w+\s+ON (\w+)|TRIGGER \w+\s.*?\sON (\w+))", re.DOTALL)


def create_statements(engine: Engine) -> list[str]:
    """Return the statements that create MLflow's tables in an empty database, without rows."""
    files = (*FILES, f"secrets_trigger.{engine}")
    text = "\n".join(_text(name, engine) for name in files)
    return [statement for statement in _STATEMENT_END.split(text.strip() + "\n") if statement]


@dataclass(slots=True)
class TableStatements:
    """The statements that create a table, in their order: `triggers` includes the functions that they call."""

    table: str = ""
    indexes: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        yield from (self.table, *self.indexes, *self.triggers)


def statements_by_table(engine: Engine) -> dict[str, TableStatements]:
    """Return create_statements() by table. No table refers to a later one."""
    found: dict[str, TableStatements] = {}
    functions: list[str] = []
    for statement in create_statements(engine):
        subject = _SUBJECT.match(statement)
        if subject is None:
            functions.append(statement)
        elif subject[1]:
            found[subject[1]] = TableStatements(statement)
        elif subject[2]:
            found[subject[2]].indexes.append(statement)
        else:
            found[subject[3]].triggers += [*functions, statement]
            functions = []
    return found


def tables() -> list[str]:
    """Return the names of all tables of MLflow."""
    return [name for file in FILES for name in _columns(file)]


def used_columns() -> dict[str, frozenset[str]]:
    """Return the columns that Railtrack needs, by table."""
    return {table: columns for file in USED_FILES for table, columns in _columns(file).items()}


def is_older(revision: str) -> bool:
    """Return True for a revision that MLflow had before those that Railtrack serves. An unknown one is newer."""
    return revision in _older_revisions()


def revisions() -> list[str]:
    """Return the revisions of MLflow up to REVISION, the oldest first."""
    return [*_older_revisions(), *reversed(SERVED_REVISIONS)]


def _older_revisions() -> list[str]:
    return (_FOLDER / "older_revisions.txt").read_text().split()


def _columns(file: str) -> dict[str, frozenset[str]]:
    return {table: frozenset(_COLUMN.findall(body)) for table, body in _TABLE.findall(_text(file, "sqlite"))}


def _text(file: str, engine: Engine) -> str:
    """Return the file's statements for `engine`, without comments, which SQLite would store in its catalogue."""
    lines = (_FOLDER / f"{file}.sql").read_text().splitlines()
    other = f"-- {_OTHER[engine]} only"
    kept = (line for line in lines if not line.startswith("--") and not line.endswith(other))
    return _ONLY.sub("", "\n".join(kept)).strip() + "\n"
