"""Empty databases of both engines for servers under test, and SQL on them over separate connections."""

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
"""MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY of all servers under test, MLflow's too."""


@contextlib.contextmanager
def scratch_database(engine: str, folder: Path, postgres: PostgresServer) -> Iterator[str]:
    """Yield the URL of an empty database: a file in `folder`, or one of `postgres`, which is dropped at the end."""
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
    """Return the rows of a SELECT, read over a separate connection."""
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
    """Run statements on PostgreSQL over a separate connection, each in its own transaction."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
