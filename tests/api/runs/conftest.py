"""Fixtures for tests of runs."""

import pytest
from tests.client import Client


@pytest.fixture
async def run_id(client: Client) -> str:
    """Create a run named first and return its id."""
    created = await client.ok("POST", "runs/create", {"experiment_id": "0", "run_name": "first"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id
