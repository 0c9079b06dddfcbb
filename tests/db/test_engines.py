"""The Db protocol, the same on both engines: transactions, snapshots, lists, many rows, and the engines' traps."""

import asyncio
import math
import re
from pathlib import Path

import pytest

from railtrack.db import Conflict, Db, ForeignKeyViolation, UniqueViolation
from railtrack.db.sqlite import to_sqlite
from railtrack.errors import ApiError

INSERT = "INSERT INTO runs (run_uuid, name, experiment_id) VALUES ($1, $2, 0)"


async def names(db: Db) -> list[str]:
    return [name for (name,) in await db.fetch("SELECT name FROM runs ORDER BY name")]


async def test_a_transaction_that_raises_is_rolled_back(db: Db) -> None:
    with pytest.raises(KeyError):
        await insert_and_raise(db)
    assert await names(db) == []


async def insert_and_raise(db: Db) -> None:
    async with db.write() as tx:
        await tx.execute(INSERT, "a", "first")
        raise KeyError


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_reused(db: Db) -> None:
    started = asyncio.Event()

    async def insert_and_wait() -> None:
        async with db.write() as tx:
            await tx.execute(INSERT, "a", "first")
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(insert_and_wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await db.execute(INSERT, "b", "second")
    assert await names(db) == ["second"]


async def test_the_reads_of_a_block_see_one_snapshot(db: Db) -> None:
    async with db.read() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM runs") == 0
        await db.execute(INSERT, "a", "first")
        assert await tx.fetch_value("SELECT count(*) FROM runs") == 0
    assert await db.fetch_value("SELECT count(*) FROM runs") == 1


async def test_rows_unpack_by_position(db: Db) -> None:
    row = await db.fetch_row("SELECT experiment_id, name FROM experiments WHERE experiment_id = $1", 0)
    assert row is not None
    number, name = row
    assert (number, name) == (0, "Default")
    assert await db.fetch_row("SELECT 1 FROM runs") is None
    assert await db.fetch_value("SELECT name FROM runs") is None


async def test_a_list_is_compared_with_any(db: Db) -> None:
    for run_id in "abc":
        await db.execute(INSERT, run_id, run_id)
    found = await db.fetch("SELECT name FROM runs WHERE run_uuid = ANY($1) ORDER BY name", ["a", "c", "x"])
    assert [name for (name,) in found] == ["a", "c"]
    assert await db.fetch("SELECT name FROM runs WHERE run_uuid = ANY($1)", []) == []
    assert await db.fetch_value("SELECT count(*) FROM runs WHERE experiment_id = ANY($1)", [0, 7]) == 3


async def test_execute_returns_the_number_of_changed_rows(db: Db) -> None:
    for run_id in "abc":
        assert await db.execute(INSERT, run_id, run_id) == 1
    assert await db.execute("UPDATE runs SET name = 'x' WHERE run_uuid <> $1", "a") == 2
    assert await db.execute("DELETE FROM runs WHERE run_uuid = $1", "nope") == 0


async def test_many_rows_go_in_with_one_call(db: Db) -> None:
    rows = [(f"r{number:03}", f"name '{number}' \\ \" é\n😀") for number in range(500)]
    sql = "INSERT INTO runs (run_uuid, name, experiment_id) SELECT run_uuid, name, 0 FROM {rows} WHERE true"
    columns = {"run_uuid": "text", "name": "text"}
    assert await db.execute_rows(sql, columns, rows) == 500
    found = await db.fetch("SELECT run_uuid, name FROM runs ORDER BY run_uuid")
    assert [tuple(row) for row in found] == rows
    again = f"{sql} ON CONFLICT (run_uuid) DO NOTHING"
    assert await db.execute_rows(again, columns, [*rows[:3], ("new", "x")]) == 1


async def test_like_is_case_sensitive(db: Db) -> None:
    await db.execute(INSERT, "a", "Loss")
    assert await db.fetch_value("SELECT count(*) FROM runs WHERE name LIKE $1", "L%") == 1
    assert await db.fetch_value("SELECT count(*) FROM runs WHERE name LIKE $1", "l%") == 0


async def test_a_unique_violation_names_its_constraint(db: Db) -> None:
    await db.execute(INSERT, "a", "first")
    with pytest.raises(UniqueViolation) as caught:
        await db.execute(INSERT, "a", "second")
    assert caught.value.constraint in ("run_pk", "runs.run_uuid")


async def test_a_row_that_refers_to_a_missing_one_is_a_foreign_key_violation(db: Db) -> None:
    with pytest.raises(ForeignKeyViolation):
        await db.execute("INSERT INTO runs (run_uuid, experiment_id) VALUES ('a', 12345)")


async def test_a_value_out_of_range_is_the_requests_error(db: Db) -> None:
    with pytest.raises(ApiError) as caught:
        await db.execute("UPDATE runs SET start_time = $1", 2**63)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_PARAMETER_VALUE")


async def test_an_invalid_statement_stays_an_internal_error(db: Db) -> None:
    with pytest.raises(Exception, match=r"(?i)frobnicate") as caught:
        await db.fetch("SELECT frobnicate FROM runs")
    assert not isinstance(caught.value, (ApiError, Conflict))


async def test_nan_never_reaches_sqlite_where_it_would_become_null(db: Db) -> None:
    if db.engine == "sqlite":
        with pytest.raises(ValueError, match="is_nan"):
            await db.execute("UPDATE latest_metrics SET value = $1", math.nan)
    else:
        assert await db.execute("UPDATE latest_metrics SET value = $1", math.nan) == 0


async def test_writers_of_the_same_rows_wait_for_each_other(db: Db) -> None:
    await db.execute(INSERT, "a", "0")

    async def add_one() -> None:
        async with db.write() as tx:
            value = await tx.fetch_value("SELECT name FROM runs WHERE run_uuid = $1 FOR UPDATE", "a")
            await tx.execute("UPDATE runs SET name = $1 WHERE run_uuid = $2", str(int(value) + 1), "a")

    await asyncio.gather(*(add_one() for _ in range(20)))
    assert await names(db) == ["20"]


def test_sqlites_spelling_is_a_closed_list_of_rewrites() -> None:
    assert to_sqlite("a = ANY($12) AND b") == "a IN (SELECT value FROM json_each($12)) AND b"
    assert to_sqlite("SELECT 1 FROM t WHERE x FOR UPDATE") == "SELECT 1 FROM t WHERE x"
    assert to_sqlite("SELECT 1 FROM t FOR KEY SHARE") == "SELECT 1 FROM t"
    assert to_sqlite("SELECT 'x' LIKE $1") == "SELECT 'x' LIKE $1"


TWINS_ALLOWED = 10


def test_statements_in_two_spellings_are_few_and_give_their_reason() -> None:
    """Each `per_dialect` has to be kept right twice. A new one raises the limit here and states its reason there."""
    source = Path(__file__).parents[2] / "src" / "railtrack"
    found = [
        f"{path.relative_to(source)}:{number}"
        for path in sorted(source.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\.per_dialect\($|\.per_dialect\(p", line)
    ]
    assert len(found) <= TWINS_ALLOWED, found
