"""The debug log of SQL statements, on both engines."""

import logging
import re

import pytest

from railtrack.db.open import open_database
from railtrack.db.url import parse_database_url

LOGGER = "railtrack.sql"


async def run_statements(url: str) -> None:
    db = open_database(parse_database_url(url), connections=1)
    async with db.write() as tx:
        await tx.execute("CREATE TABLE t (a TEXT)")
        await tx.execute("INSERT INTO t (a)\n  VALUES ($1)", "a value of a user")
    assert [tuple(row) for row in await db.fetch("SELECT a FROM t WHERE a = $1", "a value of a user")]
    await db.close()


async def test_each_statement_is_one_line_with_its_duration_and_without_its_values(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        await run_statements(url)
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert all(re.match(r"\d+\.\d ms: \S", line) for line in lines)
    statements = [line.partition(": ")[2] for line in lines]
    assert {"INSERT INTO t (a) VALUES ($1)", "SELECT a FROM t WHERE a = $1"} <= set(statements)
    assert "a value of a user" not in caplog.text


async def test_nothing_is_logged_at_the_default_level(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        await run_statements(url)
    assert LOGGER not in {record.name for record in caplog.records}
