"""Fixtures for deliveries: an application that may send to private addresses, and a receiver on this machine."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from tests.client import Client, running_app
from tests.servers.webhook_receiver import Receiver, receiving

from railtrack.config.settings import Settings
from railtrack.db import Db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def delivery_settings(settings: Settings) -> Settings:
    return replace(
        settings,
        webhooks=replace(settings.webhooks, allowed_schemes=("http",), allow_private_ips=True, request_timeout_s=20),
    )


@pytest.fixture
async def sender(db: Db, delivery_settings: Settings) -> AsyncIterator[Client]:
    """Yield a client of an application that delivers to `receiver`."""
    async with running_app(delivery_settings) as client:
        yield client
