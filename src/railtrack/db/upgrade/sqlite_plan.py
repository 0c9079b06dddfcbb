"""The plan that brings existing tables in SQLite to those of schema/. All of it runs in one transaction.

SQLite can add a column. For any other change a table is created again, its rows are copied, and it takes the name of
the old one, which needs as much free disk as the table, and foreign keys that are not enforced meanwhile.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from railtrack.db import Tx, schema
from railtrack.db.upgrade.dropped import DROPPED_INDEXES, RENAMED_COLUMNS
from railtrack.db.upgrade.plan import ADD, BUILD, CREATE, DROP, RENAME, REPLACE, Plan, UpgradeStep

NEW = "railtrack_new_"
"""Begins the name of a table while rows are copied into it."""
HIDDEN_STORED, HIDDEN_VIRTUAL = 3, 2
"""What table_xinfo reports of computed columns."""
_CONSTRAINT = re.compile(r"(?:CONSTRAINT|PRIMARY|FOREIGN|UNIQUE|CHECK)\b", re.IGNORECASE)


@dataclass(slots=True)
class SqliteTable:
    """A table as its CREATE TABLE and SQLite's pragmas describe it."""

    columns: dict[str, tuple[object, ...]] = field(default_factory=dict)
    """Type, NOT NULL, default, position in the primary key, kind of computed column."""
    definitions: dict[str, str] = field(default_factory=dict)
    """The columns as CREATE TABLE has them."""
    constraints: list[str] = field(default_factory=list)
    indexes: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)

    @property
    def copied(self) -> list[str]:
        """Return the columns that have stored values."""
        return [name for name, facts in self.columns.items() if facts[4] not in (HIDDEN_STORED, HIDDEN_VIRTUAL)]

    def has_structure_of(self, other: "SqliteTable") -> bool:
        return list(self.columns.items()) == list(other.columns.items()) and self.constraints == other.constraints


Catalogue = dict[str, SqliteTable]


async def read_catalogue(tx: Tx) -> Catalogue:
    """Return MLflow's tables."""
    tables: Catalogue = {}
    for name, text in await tx.fetch(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name = ANY($1)", schema.tables()
    ):
        parts = [_one_line(part) for part in _parts(text)]
        constraints = sorted(part for part in parts if _CONSTRAINT.match(part))
        definitions = {part.partition(" ")[0]: part for part in parts if not _CONSTRAINT.match(part)}
        columns: dict[str, tuple[object, ...]] = {
            column: (_type(type_), required, default, key, hidden)
            for column, type_, required, default, key, hidden in await tx.fetch(
                'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo($1)', name
            )
        }
        tables[name] = SqliteTable(columns, definitions, constraints)
    for kind, name, table, text in await tx.fetch(
        """
        SELECT type, name, tbl_name, sql FROM sqlite_master
        WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name = ANY($1)
        """,
        list(tables),
    ):
        objects = tables[table].indexes if kind == "index" else tables[table].triggers
        objects[name] = text
    return tables


def _parts(create_table: str) -> list[str]:
    """Return the columns and constraints of a CREATE TABLE."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    parts, depth = [""], 0
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _one_line(text: str) -> str:
    """Return the text without differences that mean nothing to SQLite: spaces, quotes around names, lower case."""
    spaced = re.sub(r"\s+", " ", text.replace('"', "")).strip()
    return re.sub(r"\bcascade\b", "CASCADE", re.sub(r" ?([(),]) ?", r"\1", spaced))


def _type(text: str) -> str:
    return text.upper().replace(", ", ",")


def make_plan(current: Catalogue, target: Catalogue) -> Plan:
    """Return the steps from the tables of `current` to those of `target`."""
    existing = {name: (current[name], target[name]) for name in target if name in current}
    statements = schema.statements_by_table("sqlite")
    added = {name: _addable(*tables) for name, tables in existing.items()}
    return Plan(
        expand=[
            *_renamed(current),
            *(
                UpgradeStep(f"{CREATE}: {name}", tuple(made))
                for name, made in statements.items()
                if name not in current
            ),
            *(
                UpgradeStep(
                    f"{ADD}: {name} ({', '.join(columns)})",
                    tuple(f"ALTER TABLE {name} ADD COLUMN {target[name].definitions[column]}" for column in columns),
                )
                for name, columns in added.items()
                if columns
            ),
        ],
        contract=[step for name, tables in existing.items() for step in _completed(name, *tables, added[name])],
    )


def _renamed(current: Catalogue) -> Iterator[UpgradeStep]:
    for table, before, now in RENAMED_COLUMNS:
        if table in current and before in current[table].columns:
            yield UpgradeStep(f"{RENAME}: {table}.{now}", (f"ALTER TABLE {table} RENAME COLUMN {before} TO {now}",))


def _addable(current: SqliteTable, target: SqliteTable) -> list[str]:
    """Return the missing columns. Those of MLflow have a constant default or may be NULL."""
    renamed = {now: before for _, before, now in RENAMED_COLUMNS}
    return [name for name in target.columns if name not in current.columns and renamed.get(name) not in current.columns]


def _completed(name: str, current: SqliteTable, target: SqliteTable, added: list[str]) -> Iterator[UpgradeStep]:
    """Yield what is left to do after columns were added: a copy of the table if that was not enough, and indexes."""
    columns = current.columns | {column: target.columns[column] for column in added}
    is_copied = not SqliteTable(columns, {}, current.constraints).has_structure_of(target)
    if is_copied:
        yield _copy(name, current, target)
    for index in current.indexes:
        if index in DROPPED_INDEXES and index not in target.indexes and not is_copied:
            yield UpgradeStep(f"{DROP}: the index {index}", (f"DROP INDEX {index}",))
    for index, text in target.indexes.items():
        if _one_line(current.indexes.get(index, "")) != _one_line(text) or is_copied:
            dropped = (f"DROP INDEX IF EXISTS {index}",) if index in current.indexes else ()
            yield UpgradeStep(f"{BUILD}: {index} on {name}", (*dropped, text))
    for trigger, text in target.triggers.items():
        if trigger not in current.triggers or is_copied:
            yield UpgradeStep(f"{CREATE}: the trigger {trigger}", (text,))


def _copy(name: str, current: SqliteTable, target: SqliteTable) -> UpgradeStep:
    """Return the step that replaces a table. Indexes and triggers that somebody else made are created again."""
    statement = schema.statements_by_table("sqlite")[name].table
    columns = ", ".join(f'"{column}"' for column in target.copied)
    foreign = [
        text
        for objects, known in ((current.indexes, target.indexes), (current.triggers, target.triggers))
        for other, text in objects.items()
        if other not in known and other not in DROPPED_INDEXES
    ]
    return UpgradeStep(
        f"{REPLACE}: copy the rows of {name} into a new table",
        (
            statement.replace(f"CREATE TABLE {name} ", f"CREATE TABLE {NEW}{name} ", 1),
            f"INSERT INTO {NEW}{name} ({columns}) SELECT {columns} FROM {name}",  # noqa: S608 (names of schema/)
            f"DROP TABLE {name}",
            f"ALTER TABLE {NEW}{name} RENAME TO {name}",
            *foreign,
        ),
    )
