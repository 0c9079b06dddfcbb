"""Fixtures for fault tests: a database of each engine, and a real server with two workers on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.railtrack import RailtrackServer, railtrack_server


@pytest.fixture
def database(engine: str, tmp_path: Path, postgres: PostgresServer) -> Iterator[str]:
    """Yield the URL of an empty database."""
    with scratch_database(engine, tmp_path, postgres) as url:
        yield url


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path / "server", database, workers=2) as server:
        yield server
