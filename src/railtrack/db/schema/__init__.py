"""MLflow 3.17.2's tables in our own hand: the .sql files here, read only to make or judge a database.

One text serves both engines (FLOAT is a double on each); a line that ends in `-- postgresql only` or
`-- sqlite only` is left out for the other. tests/db compares the result with what MLflow itself creates.
"""

import re
from pathlib import Path

from railtrack.db import Engine

REVISION = "dc11669786a5"
"""What MLflow 3.17.2 writes into `alembic_version`."""

FILES = ("tracking", "registry", "traces", "evaluation", "gateway", "mcp", "jobs")
"""In this order no table refers to a later one."""

USED = ("tracking", "registry")
"""The files whose tables Railtrack reads and writes: what a database of another revision is judged by."""

_FOLDER = Path(__file__).parent
_OTHER: dict[Engine, Engine] = {"postgresql": "sqlite", "sqlite": "postgresql"}
_ONLY = re.compile(r" *-- (?:postgresql|sqlite) only$", re.MULTILINE)
_STATEMENT_END = re.compile(r";\n+(?=CREATE |\Z)")
_TABLE = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\);", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    ([a-z]\w*) ", re.MULTILINE)


def create_statements(engine: Engine) -> list[str]:
    """The statements that make an empty database MLflow's, without its rows."""
    files = (*FILES, f"secrets_trigger.{engine}")
    text = "\n".join(_text(name, engine) for name in files)
    return [statement for statement in _STATEMENT_END.split(text.strip() + "\n") if statement]


def tables() -> list[str]:
    """The names of all of MLflow's tables."""
    return [name for file in FILES for name in _columns(file)]


def used_columns() -> dict[str, frozenset[str]]:
    """The columns that Railtrack needs, by table."""
    return {table: columns for file in USED for table, columns in _columns(file).items()}


def is_older(revision: str) -> bool:
    """Whether MLflow had this revision before 3.17.2. A revision that is not known is a newer one."""
    return revision in (_FOLDER / "older_revisions.txt").read_text().split()


def _columns(file: str) -> dict[str, frozenset[str]]:
    found = _TABLE.findall(_text(file, "sqlite"))
    return {table: frozenset(_COLUMN.findall(body)) for table, body in found}


def _text(file: str, engine: Engine) -> str:
    """The file as `engine` gets it, without comments (SQLite would keep them in its catalogue)."""
    lines = (_FOLDER / f"{file}.sql").read_text().splitlines()
    other = f"-- {_OTHER[engine]} only"
    kept = (line for line in lines if not line.startswith("--") and not line.endswith(other))
    return _ONLY.sub("", "\n".join(kept)).strip() + "\n"
