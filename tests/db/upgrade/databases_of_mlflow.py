"""Restores recorded databases of old versions of MLflow, and upgrades them in this process or in another."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.db.old_databases.record import recorded_text
from tests.servers.databases import scratch_database

from railtrack.db.upgrade.run import Options, upgrade_database
from railtrack.db.url import parse_database_url


@contextlib.contextmanager
def restored(version: str, engine: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a copy of the database that this MLflow filled."""
    postgres = request.getfixturevalue("postgres") if engine == "postgresql" else None
    with scratch_database(engine, folder, postgres) as url:
        text = recorded_text(f"{version}.{engine}.sql.gz")
        if engine == "sqlite":
            with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                connection.executescript(text)
        else:
            asyncio.run(_restore_postgresql(url, text))
        yield url


async def _restore_postgresql(url: str, text: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


async def upgrade(url: str, lines: list[str] | None = None, *, is_dry_run: bool = False) -> bool:
    report = (lambda _line: None) if lines is None else lines.append
    return await upgrade_database(parse_database_url(url), Options(report, is_dry_run, lock_timeout_s=0.2))


CHILD = """
import asyncio, os, signal, sys
from railtrack.db.upgrade.run import Options, upgrade_database
from railtrack.db.url import parse_database_url
lines = []
def report(line):
    lines.append(line)
    if len(lines) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(upgrade_database(parse_database_url(sys.argv[1]), Options(report)))
"""


def upgrade_killed_at(line: int, url: str) -> bool:
    """Upgrade in another process, which kills itself when it reports this line. Return False if it came to its end."""
    done = subprocess.run([sys.executable, "-c", CHILD, url, str(line)], env=os.environ, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
