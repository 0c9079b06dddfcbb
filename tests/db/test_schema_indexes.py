"""Railtrack's own indexes: there from the start in a new database, added to one of MLflow beside its users."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.servers import databases
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.processes import TIMEOUT_S

from railtrack.db.open import add_missing_indexes, open_database, prepare
from railtrack.db.schema.indexes import INDEXES
from railtrack.db.url import parse_database_url

NAME = "railtrack_runs_by_start_time"
A_RUN = "INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage) VALUES ('{}', 0, 'RUNNING', 'active')"


async def indexes(url: str) -> dict[str, bool]:
    """Name -> whether it is valid, of our indexes on MLflow's tables."""
    if url.startswith("sqlite:"):
        query = """
            SELECT name, 1 FROM sqlite_master
            WHERE type = 'index' AND name LIKE 'railtrack_%' AND tbl_name NOT LIKE 'railtrack_%'
        """
    else:
        query = """
            SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_class t ON t.oid = i.indrelid
            WHERE c.relname LIKE 'railtrack_%' AND t.relname NOT LIKE 'railtrack_%'
        """
    return {name: bool(valid) for name, valid in await asyncio.to_thread(databases.rows, url, query)}


@pytest.fixture
async def prepared(url: str) -> str:
    """A database that Railtrack created."""
    address = parse_database_url(url)
    db = open_database(address, connections=1)
    await prepare(db, address, default_location="mlflow-artifacts:/0")
    await db.close()
    return url


@pytest.fixture
async def bare(prepared: str) -> str:
    """A database as MLflow leaves it, without our indexes."""
    db = open_database(parse_database_url(prepared), connections=1)
    for name in INDEXES:
        await db.execute_alone(f"DROP INDEX {name}")
    await db.close()
    assert await indexes(prepared) == {}
    return prepared


async def test_a_new_database_has_them_from_the_start(prepared: str) -> None:
    assert await indexes(prepared) == dict.fromkeys(INDEXES, True)


async def test_a_database_of_mlflow_gets_them(bare: str) -> None:
    await add_missing_indexes(parse_database_url(bare))
    assert await indexes(bare) == dict.fromkeys(INDEXES, True)


async def test_all_workers_may_add_them_at_once(bare: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "railtrack")
    await asyncio.gather(*(add_missing_indexes(parse_database_url(bare)) for _ in range(6)))
    assert await indexes(bare) == dict.fromkeys(INDEXES, True)
    assert [record.message for record in caplog.records] == [f"Adding the index {name}" for name in INDEXES]


@pytest.fixture
def on_postgres(postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    with scratch_database("postgresql", tmp_path, postgres) as url:
        yield url


@pytest.fixture
async def busy(on_postgres: str) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """A database without our indexes, and a transaction that keeps CREATE INDEX CONCURRENTLY from ending."""
    address = parse_database_url(on_postgres)
    db = open_database(address, connections=1)
    await prepare(db, address, default_location="mlflow-artifacts:/0")
    await db.execute_alone(f"DROP INDEX {NAME}")
    await db.close()
    reader = await asyncpg.connect(on_postgres)
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await reader.execute("SELECT 1")
    yield on_postgres, reader
    await reader.close()


async def _under_way(connection: asyncpg.Connection) -> int:
    """The process id of the server that builds an index, as soon as it waits for the reader: all else is done then."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            if pid := await connection.fetchval(
                """
                SELECT pid FROM pg_stat_progress_create_index
                WHERE datname = current_database() AND phase = 'waiting for old snapshots'
                """
            ):
                return int(pid)
            await asyncio.sleep(0.01)


async def test_runs_are_written_while_they_are_added(busy: tuple[str, asyncpg.Connection]) -> None:
    url, reader = busy
    adding = asyncio.create_task(add_missing_indexes(parse_database_url(url)))
    writer = await asyncpg.connect(url)
    await _under_way(writer)
    await asyncio.wait_for(writer.execute(A_RUN.format("meanwhile")), TIMEOUT_S)
    assert not adding.done()
    await reader.execute("COMMIT")
    await asyncio.wait_for(adding, TIMEOUT_S)
    await writer.close()
    assert await indexes(url) == {NAME: True}


async def test_an_index_that_was_never_finished_is_built_again(
    busy: tuple[str, asyncpg.Connection], caplog: pytest.LogCaptureFixture
) -> None:
    url, reader = busy
    killer = await asyncpg.connect(url)
    adding = asyncio.create_task(add_missing_indexes(parse_database_url(url)))
    await killer.execute("SELECT pg_terminate_backend($1)", await _under_way(killer))
    await asyncio.wait_for(adding, TIMEOUT_S)
    assert "the next start tries again" in caplog.text
    assert await indexes(url) == {NAME: False}
    await reader.execute("COMMIT")
    await killer.close()
    await asyncio.wait_for(add_missing_indexes(parse_database_url(url)), TIMEOUT_S)
    assert await indexes(url) == {NAME: True}
