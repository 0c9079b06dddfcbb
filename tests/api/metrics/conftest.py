"""A run to log metrics to."""

import pytest
from tests.api.metrics.requests import new_run
from tests.client import Client


@pytest.fixture
async def run_id(client: Client) -> str:
    return await new_run(client)
