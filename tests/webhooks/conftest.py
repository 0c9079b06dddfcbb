"""What tests of deliveries begin with: an application that may send to this machine, and a receiver there."""

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
def to_this_machine(settings: Settings) -> Settings:
    return replace(
        settings,
        webhooks=replace(settings.webhooks, allowed_schemes=("http",), allow_private_ips=True, request_timeout_s=20),
    )


@pytest.fixture
async def sender(db: Db, to_this_machine: Settings) -> AsyncIterator[Client]:
    """A client of an application that delivers to `receiver`."""
    async with running_app(to_this_machine) as client:
        yield client
