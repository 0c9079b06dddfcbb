"""Artifact stores under test: a local folder, moto's S3, and an S3 with quirks."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.servers.s3 import S3Server, s3_server
from tests.servers.s3_quirks import BUCKET, QuirkyS3, quirky_s3

from railtrack.artifacts import ArtifactStores
from railtrack.config.settings import load


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
async def quirky() -> AsyncIterator[QuirkyS3]:
    async with quirky_s3() as store:
        yield store


def stores_at(destination: str, environment: dict[str, str]) -> ArtifactStores:
    return ArtifactStores(load({"artifacts.destination": destination}, environment))


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket(f"bucket-{uuid4()}")


@pytest.fixture
def s3_stores(s3: S3Server, bucket: str) -> Iterator[ArtifactStores]:
    stores = stores_at(f"s3://{bucket}/some/prefix", s3.environment)
    yield stores
    stores.close()


@pytest.fixture
def quirky_stores(quirky: QuirkyS3) -> Iterator[ArtifactStores]:
    stores = stores_at(f"s3://{BUCKET}", quirky.environment)
    yield stores
    stores.close()


@pytest.fixture
def local_stores(tmp_path: Path) -> Iterator[ArtifactStores]:
    stores = stores_at(str(tmp_path / "root"), {})
    yield stores
    stores.close()
