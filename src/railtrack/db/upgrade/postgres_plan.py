"""The plan that brings existing tables in PostgreSQL to those of schema/, without blocking writers for long.

What needs an exclusive lock takes it for a moment: columns are added with constant defaults, indexes are built
CONCURRENTLY before they become keys, and foreign keys are added NOT VALID and validated afterwards.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from railtrack.db import schema
from railtrack.db.upgrade.dropped import DROPPED_COLUMNS, DROPPED_CONSTRAINTS, DROPPED_INDEXES, RENAMED_COLUMNS
from railtrack.db.upgrade.plan import ADD, BUILD, CREATE, DROP, RENAME, REPLACE, VALIDATE, Plan, UpgradeStep
from railtrack.db.upgrade.postgres_catalogue import Catalogue, Column, Constraint, Index, PostgresTable

NAME_LIMIT = 63
_CASTS = re.compile(r"::[a-z ]+(?:\[\])?|[()\s]")
INDEX_OF_KEY = "railtrack_key_"
"""Begins the names of indexes that are built before a key is replaced, and then become it."""


def make_plan(current: Catalogue, target: Catalogue) -> Plan:
    """Return the steps from the tables of `current` to those of `target`."""
    existing = {name: (current[name], target[name]) for name in target if name in current}
    changes = [change for name, tables in existing.items() for change in _constraint_changes(name, *tables)]
    return Plan(
        expand=[
            *_renamed(current),
            *_created(current),
            *(step for name, tables in existing.items() for step in _columns(name, *tables)),
            *(step for name, tables in existing.items() for step in _indexes(name, *tables)),
        ],
        contract=[
            *_key_indexes(changes, existing),
            *_replaced(changes),
            *_validated(existing, changes),
            *(step for name, tables in existing.items() for step in _dropped(name, *tables)),
        ],
    )


def _renamed(current: Catalogue) -> Iterator[UpgradeStep]:
    for table, before, now in RENAMED_COLUMNS:
        if table in current and before in current[table].columns:
            yield UpgradeStep(f"{RENAME}: {table}.{now}", (f"ALTER TABLE {table} RENAME COLUMN {before} TO {now}",))


def _created(current: Catalogue) -> Iterator[UpgradeStep]:
    """Create each missing table with its indexes. Foreign keys in it lock the other table for a moment."""
    for table, statements in schema.statements_by_table("postgresql").items():
        if table not in current:
            yield UpgradeStep(f"{CREATE}: {table}", tuple(statements))


def _columns(name: str, current: PostgresTable, target: PostgresTable) -> Iterator[UpgradeStep]:
    renamed = {now: before for table, before, now in RENAMED_COLUMNS if table == name}
    missing = [
        column
        for column in target.columns
        if column not in current.columns and renamed.get(column) not in current.columns
    ]
    if missing:
        added = ", ".join(f"ADD COLUMN {column} {target.columns[column].definition}" for column in missing)
        yield UpgradeStep(f"{ADD}: {name} ({', '.join(missing)})", (f"ALTER TABLE {name} {added}",))
    altered = [
        change
        for column, wanted in target.columns.items()
        if column in current.columns
        for change in _altered(column, current.columns[column], wanted)
    ]
    if altered:
        yield UpgradeStep(f"Alter columns: {name}", (f"ALTER TABLE {name} {', '.join(altered)}",))


def _altered(name: str, current: Column, target: Column) -> Iterator[str]:
    """Yield the changes of a column. A longer VARCHAR, or TEXT instead of it, does not rewrite the table."""
    if current.type != target.type:
        yield f"ALTER COLUMN {name} TYPE {target.type}"
    if target.is_required and not current.is_required:
        yield f"ALTER COLUMN {name} SET NOT NULL"
    if current.is_required and not target.is_required:
        yield f"ALTER COLUMN {name} DROP NOT NULL"


def _indexes(name: str, current: PostgresTable, target: PostgresTable) -> Iterator[UpgradeStep]:
    for index, wanted in target.indexes.items():
        existing = current.indexes.get(index)
        if existing and existing.is_valid and existing.definition == wanted.definition:
            continue
        if existing:
            yield _drop_index(index)
        yield UpgradeStep(f"{BUILD}: {index} on {name}", (_concurrently(wanted),), is_alone=True)


def _concurrently(index: Index) -> str:
    return index.definition.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)


def _drop_index(index: str) -> UpgradeStep:
    return UpgradeStep(f"{DROP}: the index {index}", (f"DROP INDEX CONCURRENTLY IF EXISTS {index}",), is_alone=True)


class _Change(NamedTuple):
    """A constraint to add, after dropping others of the same table that it replaces; or one to drop."""

    table: str
    name: str
    dropped: tuple[tuple[str, Constraint], ...]
    added: Constraint | None

    @property
    def is_key(self) -> bool:
        return self.added is not None and self.added.kind in ("primary key", "unique")


def _constraint_changes(table: str, current: PostgresTable, target: PostgresTable) -> Iterator[_Change]:
    replaced: set[str] = set()
    for name, wanted in target.constraints.items():
        same = [
            (other, one)
            for other, one in current.constraints.items()
            if other == name or (one.kind, one.columns) == (wanted.kind, wanted.columns)
        ]
        if any(_definition(one) == _definition(wanted) for _, one in same):
            continue
        replaced |= {other for other, _ in same}
        yield _Change(table, name, tuple(same), wanted)
    for name, existing in current.constraints.items():
        if name not in replaced and (table, existing.kind, existing.columns) in DROPPED_CONSTRAINTS:
            yield _Change(table, name, ((name, existing),), None)


def _definition(constraint: Constraint) -> str:
    """Return what a constraint means. A check that pg_dump restored has other casts and parentheses than before."""
    definition = constraint.definition.removesuffix(" NOT VALID")
    return _CASTS.sub("", definition) if constraint.kind == "check" else definition


def _key_indexes(
    changes: Iterable[_Change], existing: dict[str, tuple[PostgresTable, PostgresTable]]
) -> Iterator[UpgradeStep]:
    """Build the index of each new key while the old key still works."""
    for change in changes:
        if not change.is_key:
            continue
        assert change.added is not None
        name = _index_of_key(change.name)
        built = existing[change.table][0].indexes.get(name)
        if built and built.is_valid:
            continue
        if built:
            yield _drop_index(name)
        columns = ", ".join(change.added.columns)
        statement = f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {change.table} ({columns})"
        yield UpgradeStep(f"{BUILD}: the key {change.name} of {change.table}", (statement,), is_alone=True)


def _index_of_key(constraint: str) -> str:
    return f"{INDEX_OF_KEY}{constraint}"[:NAME_LIMIT]


def _replaced(changes: list[_Change]) -> Iterator[UpgradeStep]:
    """Replace constraints, a table at a time. Keys that foreign keys refer to change with these, in one transaction."""
    rekeyed = {
        change.table
        for change in changes
        if change.is_key and any(one.kind == "primary key" for _, one in change.dropped)
    }
    groups: dict[str, list[_Change]] = {}
    for change in changes:
        constraints = [one for _, one in change.dropped] + ([change.added] if change.added else [])
        is_connected = change.table in rekeyed or any(one.references in rekeyed for one in constraints)
        groups.setdefault(", ".join(sorted(rekeyed)) if is_connected else change.table, []).append(change)
    for tables, group in groups.items():
        yield UpgradeStep(f"{REPLACE}: {tables}", tuple(_replacement(group)))


def _replacement(changes: list[_Change]) -> Iterator[str]:
    """Yield the statements in an order in which nothing refers to what is dropped or not there yet."""
    dropped = [(change.table, name, one) for change in changes for name, one in change.dropped]
    for table, name, _ in sorted(dropped, key=lambda one: one[2].kind != "foreign key"):
        yield f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'
    for change in sorted(changes, key=lambda change: not change.is_key):
        if change.added is None:
            continue
        add = f"ALTER TABLE {change.table} ADD CONSTRAINT {change.name}"
        if change.is_key:
            yield f"{add} {change.added.kind.upper()} USING INDEX {_index_of_key(change.name)}"
        else:
            yield f"{add} {change.added.definition} NOT VALID"


def _validated(
    existing: dict[str, tuple[PostgresTable, PostgresTable]], changes: Iterable[_Change]
) -> Iterator[UpgradeStep]:
    added = [(change.table, change.name) for change in changes if change.added and not change.is_key]
    waiting = [
        (table, name)
        for table, (current, target) in existing.items()
        for name, one in current.constraints.items()
        if not one.is_valid and name in target.constraints and (table, name) not in added
    ]
    for table, name in [*waiting, *added]:
        statement = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
        yield UpgradeStep(f"{VALIDATE}: {name} of {table}", (statement,), is_alone=True)


def _dropped(name: str, current: PostgresTable, target: PostgresTable) -> Iterator[UpgradeStep]:
    for index in current.indexes:
        if index in DROPPED_INDEXES and index not in target.indexes:
            yield _drop_index(index)
    for column in current.columns:
        if (name, column) in DROPPED_COLUMNS and column not in target.columns:
            yield UpgradeStep(f"{DROP}: {name}.{column}", (f"ALTER TABLE {name} DROP COLUMN {column}",))
