"""An empty database of either engine for a server under test, and a look into it from outside."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
from tests.servers.postgres import PostgresServer

ENGINES = ("postgresql", "sqlite")
WEBHOOK_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
"""MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY of the servers under test, MLflow's among them."""


@contextlib.contextmanager
def scratch_database(engine: str, folder: Path, postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database: a new one in `postgres`, dropped at the end, or a file in `folder`."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'scratch.db'}"
        return
    with asyncio.Runner() as runner:
        database = postgres.scratch_database()
        url = runner.run(database.__aenter__())
        try:
            yield url
        finally:
            runner.run(database.__aexit__(None, None, None))


def rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    """What a SELECT finds, read through a connection of its own."""
    if database.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
            return connection.execute(sql).fetchall()
    return asyncio.run(_postgres_rows(database, sql))


async def _postgres_rows(database: str, sql: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(database)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def run_sql(url: str, *statements: str) -> None:
    """Statements on a PostgreSQL, each a transaction, over a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
