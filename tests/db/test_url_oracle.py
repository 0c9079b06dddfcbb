"""No URL that MLflow's driver connects with fails here, and it leads to the same user, database and encryption."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.db.record_urls import RECORD, filled, server
from tests.db.url_cases import CASES

from railtrack.db.open import open_database, wait_for_database
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

LOGIN = "SELECT CAST(current_user AS text), CAST(current_database() AS text), (SELECT ssl FROM pg_stat_ssl WHERE pid = "
DIFFERENT = {
    # libpq does not use TLS here, because it verifies the certificate, fails, and falls back to a plain connection.
    "sslmode=prefer&sslrootcert={other}": ["postgres", "postgres", True],
}
"""Part of a URL -> our result, where it is meant to differ."""


async def connect(text: str, environ: dict[str, str]) -> list[Any] | None:
    """Return user, database and encryption, None if a StartError is raised."""
    try:
        url = parse_database_url(text, environ={"HOME": "/nonexistent", **environ})
        db = open_database(url, connections=1, read_only=True)
        try:
            await wait_for_database(db, url, 0)
            row = await db.fetch_row(f"{LOGIN}pg_backend_pid())")
            return list(row or ())
        finally:
            await db.close()
    except StartError:
        return None


def test_every_url_that_mlflow_connects_with_leads_to_the_same_login(tmp_path: Path) -> None:
    recorded = json.loads(RECORD.read_text())
    assert [one[:2] for one in recorded] == [[case.url, dict(case.environ)] for case in CASES], "record it again"
    with server(tmp_path) as values:
        results = [asyncio.run(connect(*case)) for case in filled(values)]
    differences = []
    for (url, environ, expected), result in zip(recorded, results, strict=True):
        wanted = next((ours for part, ours in DIFFERENT.items() if part in url), expected)
        if wanted is not None and result != wanted:
            differences.append((url, environ, wanted, result))
    assert differences == []
    assert sum(expected is not None for *_, expected in recorded) > 40
