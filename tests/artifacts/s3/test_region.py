"""A bucket in another region than the configured or default one."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.artifacts.conftest import stores_at
from tests.artifacts.s3.test_store import content, error_message, source
from tests.servers.s3_quirks import BUCKET, QuirkyS3

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.factory import endpoint_of
from railtrack.artifacts.s3.store import S3Store
from railtrack.config.settings import load

SEOUL = "ap-northeast-2"


@pytest.fixture
def stores(quirky: QuirkyS3) -> Iterator[ArtifactStores]:
    """In Seoul, which no setting names."""
    quirky.region = SEOUL
    environment = {name: value for name, value in quirky.environment.items() if name != "AWS_REGION"}
    stores = stores_at(f"s3://{BUCKET}", environment)
    yield stores
    stores.close()


def regions(quirky: QuirkyS3) -> list[str]:
    """What the calls were signed for."""
    return [call.headers["authorization"].split("/")[2] for call in quirky.calls]


async def test_requests_follow_the_bucket_to_the_region_that_the_store_reports(
    quirky: QuirkyS3, stores: ArtifactStores
) -> None:
    store = stores.proxied().store
    await store.put("a", source(b"content"))
    assert await content(stores, "a") == b"content"
    assert regions(quirky) == ["us-east-1", SEOUL, SEOUL]


async def test_concurrent_requests_follow_too(quirky: QuirkyS3, stores: ArtifactStores) -> None:
    store = stores.proxied().store
    quirky.delay = 0.05
    await asyncio.gather(*(store.put(f"{number}", source(b"x")) for number in range(8)))
    assert len(quirky.objects) == 8
    assert set(regions(quirky)) == {"us-east-1", SEOUL}


async def test_a_presigned_url_is_for_the_right_region(quirky: QuirkyS3, stores: ArtifactStores) -> None:
    store = stores.proxied().store
    assert isinstance(store, S3Store)
    await store.put("a", source(b"content"))
    url = await store.presign("GET", "a", 60)
    assert f"%2F{SEOUL}%2Fs3%2F" in url
    assert (await store.bucket.fetch("GET", url)).body == b"content"


async def test_a_region_in_the_settings_is_not_changed(quirky: QuirkyS3) -> None:
    quirky.region = SEOUL
    stores = stores_at(f"s3://{BUCKET}", {**quirky.environment, "AWS_REGION": "us-west-2"})
    message = await error_message(403, stores.proxied().store.put("a", source(b"x")))
    assert f"the bucket is in another region ({SEOUL}); set AWS_REGION" in message
    assert regions(quirky) == ["us-west-2"]
    stores.close()


@pytest.mark.parametrize("region", ["evil.example/", "a.b", "", "x" * 41, SEOUL.upper()])
async def test_an_invalid_region_is_not_followed(quirky: QuirkyS3, stores: ArtifactStores, region: str) -> None:
    """It would become a part of the host's name."""
    quirky.region = region
    assert "the bucket is in another region" in await error_message(403, stores.proxied().store.put("a", source(b"x")))
    assert len(quirky.calls) == 1


async def test_regions_are_not_followed_in_circles(quirky: QuirkyS3, stores: ArtifactStores) -> None:
    quirky.reported_region = "us-east-1"
    await error_message(403, stores.proxied().store.put("a", source(b"x")))
    assert len(quirky.calls) == 4


def test_amazons_endpoint_is_the_regions() -> None:
    assert endpoint_of(load({}, {}), SEOUL).host == f"s3.{SEOUL}.amazonaws.com"
    assert endpoint_of(load({}, {"AWS_S3_ENDPOINT_URL": "http://minio:9000"}), SEOUL).host == "minio"
