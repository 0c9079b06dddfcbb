"""Databases for tests of db/."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.databases import ENGINES, scratch_database
from tests.servers.postgres import PostgresServer


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty database, on each engine."""
    with scratch_database(request.param, tmp_path, postgres) as url:
        yield url
