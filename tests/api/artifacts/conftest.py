"""Fixtures for artifacts: a run, a folder of the destination, and an application whose store is S3."""

import itertools
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from tests.api.artifacts.on_s3 import on_s3
from tests.client import Client, running_app
from tests.servers.processes import TIMEOUT_S
from tests.servers.s3 import S3Server, s3_server

from railtrack.config.settings import Settings
from railtrack.db import Db

_numbers = itertools.count()


@pytest.fixture
def folder() -> str:
    """Return a folder of the destination that no other test uses."""
    return f"test{next(_numbers)}"


@pytest.fixture
async def run(client: Client) -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket(f"bucket-{uuid4()}")


@pytest.fixture
def patient_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first request wait for the result of the store's probe, however long that takes."""
    monkeypatch.setattr("railtrack.artifacts.s3.factory.PRESIGNED_PROBE_WAIT_S", TIMEOUT_S)


@pytest.fixture
async def direct(db: Db, patient_probe: None, settings: Settings, s3: S3Server, bucket: str) -> AsyncIterator[Client]:
    """Yield a client of an application whose S3 store accepts presigned URLs."""
    async with running_app(on_s3(settings, s3, bucket, "on")) as client:
        yield client
