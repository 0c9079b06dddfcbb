"""A run to log inputs to."""

import pytest
from tests.api.inputs.requests import new_run
from tests.client import Client


@pytest.fixture
async def run_id(client: Client) -> str:
    return await new_run(client)
