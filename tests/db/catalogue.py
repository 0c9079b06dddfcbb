"""Read a database's catalogue as plain JSON data, so that two databases can be compared.

Railtrack's own objects (`railtrack_*`) are left out, and SQLite's (`sqlite_*`). Of all orders only that of the columns
counts.
"""

import asyncio
import re
import sqlite3
from collections.abc import Sequence
from typing import Any

import asyncpg
from tests.servers import databases

Catalogue = dict[str, Any]

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
"""
_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
_TRIGGERS = """
    SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
"""
_FUNCTIONS = """
    SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
_SEQUENCES = """
    SELECT s.seqrelid::regclass::text,
           concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
                     s.seqcache, s.seqcycle, 'of', d.refobjid::regclass, a.attname, d.deptype)
    FROM pg_sequence s
    LEFT JOIN pg_depend d ON d.objid = s.seqrelid AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
"""


def catalogue(url: str) -> Catalogue:
    """Return the tables, keys, indexes, triggers and sequences of the database at `url`."""
    if url.startswith("sqlite:///"):
        return _sqlite_catalogue(url)
    return asyncio.run(_postgresql_catalogue(url))


def rows(url: str) -> dict[str, list[list[Any]]]:
    """Return the contents of the tables that are not empty, with "time" for times in ms."""
    names = catalogue(url)["tables"]
    found = {name: databases.rows(url, f"SELECT * FROM {name}") for name in names}
    return {name: sorted([_timeless(value) for value in row] for row in found[name]) for name in found if found[name]}


def _timeless(value: Any) -> Any:
    return "time" if isinstance(value, int) and value > 10**12 else value


async def _postgresql_catalogue(url: str) -> Catalogue:
    """The schema `public`, by pg_catalog."""
    connection = await asyncpg.connect(url)
    try:
        tables: Catalogue = {}
        for table, *column in await connection.fetch(_COLUMNS):
            tables.setdefault(table, {"columns": []})["columns"].append(_facts(column))
        for kind, query in (("constraints", _CONSTRAINTS), ("indexes", _INDEXES), ("triggers", _TRIGGERS)):
            for table, name, definition in await connection.fetch(query):
                tables[table].setdefault(kind, {})[name] = definition
        return {
            "tables": _without_ours(tables),
            "functions": {name: _one_line(body) for name, body in await connection.fetch(_FUNCTIONS)},
            "sequences": _without_ours(dict(await connection.fetch(_SEQUENCES))),
        }
    finally:
        await connection.close()


def _sqlite_catalogue(url: str) -> Catalogue:
    """Read the file by its pragmas, and by the CREATE texts where there is no pragma."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        texts = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        return {"tables": _without_ours({name: _sqlite_table(connection, name, text) for name, text in texts})}
    finally:
        connection.close()


def _sqlite_table(connection: sqlite3.Connection, name: str, text: str) -> Catalogue:
    columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
    keys = connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
    made = "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type = ? AND sql IS NOT NULL"
    return {
        "columns": [_facts(column[1:]) for column in columns],
        "constraints": sorted(_table_constraints(text)),
        "foreign keys": sorted(_facts(key[2:]) for key in keys),
        "indexes": {index: _sqlite_index(connection, index) for index, _ in connection.execute(made, (name, "index"))},
        "triggers": {key: _one_line(body) for key, body in connection.execute(made, (name, "trigger"))},
    }


def _sqlite_index(connection: sqlite3.Connection, index: str) -> Catalogue:
    """Return the columns and the text: no pragma has the condition."""
    columns = connection.execute(f"PRAGMA index_xinfo({index})").fetchall()
    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    return {"columns": [_facts(column[2:]) for column in columns], "text": _one_line(text)}


def _facts(row: Sequence[Any]) -> str:
    return " | ".join(str(value) for value in row)


def _table_constraints(create_table: str) -> list[str]:
    """The parts of a CREATE TABLE that are not columns: keys and checks, each with its name if it has one."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    parts, depth = [""], 0
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    normal = [_one_line(part) for part in parts]
    return [part for part in normal if re.match("(CONSTRAINT|PRIMARY|FOREIGN|UNIQUE|CHECK)\\b", part)]


def _one_line(text: str) -> str:
    """The text without differences that mean nothing: blanks, quotes around names, MLflow's one small word."""
    spaced = re.sub(r"\s+", " ", text.replace('"', "")).strip().replace("DELETE cascade", "DELETE CASCADE")
    return re.sub(r" ?([(),]) ?", r"\1", spaced)


def _without_ours(objects: Catalogue) -> Catalogue:
    kept = {name: objects[name] for name in sorted(objects) if not name.startswith(("railtrack_", "sqlite_"))}
    for value in kept.values():
        if isinstance(value, dict) and "indexes" in value:
            value["indexes"] = _without_ours(value["indexes"])
    return kept
