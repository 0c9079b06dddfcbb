"""What is tried out in a bucket before it is served from, and how each failure is told."""

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import TIMEOUT_S, free_port
from tests.servers.s3 import S3Server
from tests.servers.s3_quirks import BUCKET, QuirkyS3, Reply, error

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.probe import presigned_work
from railtrack.errors import ApiError


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trial finds is what is tested here, however long it takes to find it."""
    monkeypatch.setattr("railtrack.artifacts.s3.probe.LIMIT_S", TIMEOUT_S)


async def refusal(stores: ArtifactStores) -> str:
    with pytest.raises(ApiError) as caught:
        await stores.try_out()
    return caught.value.message


async def test_a_good_bucket_passes_and_is_left_as_it_was(s3: S3Server, bucket: str, s3_stores: ArtifactStores) -> None:
    assert await s3_stores.try_out() == []
    assert s3.objects(bucket) == {}
    assert s3.unfinished_uploads(bucket) == []


async def test_a_bucket_that_is_both_root_and_destination_is_tried_once(quirky: QuirkyS3) -> None:
    there = f"s3://{BUCKET}/a"
    environ = {**quirky.environment, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"{there}/"}
    assert await stores_at(there, environ).try_out() == []
    assert quirky.kinds().count("PUT") == 1
    assert (quirky.objects, quirky.uploads) == ({}, {})


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("PUT", "refuses to put"),
        ("GET", "refuses to get"),
        ("GET list", "refuses to list"),
        ("POST upload", "refuses to upload in parts"),
        ("DELETE", "refuses to delete"),
    ],
)
async def test_what_is_not_allowed_is_told_by_its_name(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, kind: str, told: str
) -> None:
    quirky.replies = {kind: error(403, "AccessDenied", "Access Denied.")}
    message = await refusal(quirky_stores)
    assert message == (
        f"The artifact store {told}: the bucket '{BUCKET}' at http://127.0.0.1:{quirky.port}: "
        "AccessDenied: Access Denied. Give the key the right to put, get, list and delete objects in this bucket."
    )


async def test_a_key_that_may_not_take_uploads_back_is_enough_and_told(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    """Amazon has a right of its own for that, s3:AbortMultipartUpload, which many a policy lacks."""
    quirky.replies = {"DELETE complete": error(403, "AccessDenied", "Access Denied.")}
    (line,) = await quirky_stores.try_out()
    assert line.startswith(f"The artifact store refuses to take back uploads in parts: the bucket '{BUCKET}' at ")
    assert "give the key the right s3:AbortMultipartUpload, or have the bucket remove incomplete uploads" in line
    assert (quirky.objects, quirky.uploads) == ({}, {})


async def test_wrong_keys_and_a_missing_bucket_are_told_with_the_next_step(s3: S3Server, bucket: str) -> None:
    assert "Check AWS_ACCESS_KEY_ID" in await refusal(
        stores_at(f"s3://{bucket}", {**s3.environment, "AWS_ACCESS_KEY_ID": "AKIANOTTHERE"})
    )
    assert "Check AWS_SECRET_ACCESS_KEY" in await refusal(
        stores_at(f"s3://{bucket}", {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
    )
    assert "Create the bucket" in await refusal(stores_at("s3://not-there", s3.environment))


async def test_a_store_that_is_away_is_told_and_does_not_end_the_start(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.busy = 1000
    (line,) = await quirky_stores.try_out()
    assert line.startswith(
        f"The artifact store does not answer: the bucket '{BUCKET}' at http://127.0.0.1:{quirky.port}: SlowDown: "
    )
    assert "Check AWS_S3_ENDPOINT_URL; where it is right, nothing needs to be done" in line


async def test_a_store_that_nobody_listens_at_is_told_with_the_variable(quirky: QuirkyS3) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (line,) = await stores_at(f"s3://{BUCKET}", {**quirky.environment, "AWS_ENDPOINT_URL": url}).try_out()
    assert line == (
        f"The artifact store does not answer: the bucket '{BUCKET}' at {url}: Connection refused. "
        "Check AWS_S3_ENDPOINT_URL; where it is right, nothing needs to be done: /ready tells when the store is back."
    )


async def test_what_was_put_before_a_refusal_is_taken_back(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.replies = {"GET": error(403, "AccessDenied")}
    await refusal(quirky_stores)
    assert "PUT" in quirky.kinds()
    assert quirky.objects == {}


async def test_what_is_no_store_is_told_with_the_variables(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.replies = {"PUT": Reply(404, b"<html>Not Found</html>")}
    assert (await refusal(quirky_stores)).endswith(
        "HTTP 404. Check AWS_S3_ENDPOINT_URL and MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE."
    )


async def test_presigned_urls_are_found_to_work_where_they_do(
    s3: S3Server, bucket: str, s3_stores: ArtifactStores, quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    (store,) = s3_stores.buckets()
    assert await presigned_work(store)
    assert (s3.objects(bucket), s3.unfinished_uploads(bucket)) == ({}, [])
    (store,) = quirky_stores.buckets()
    quirky.replies = {"PUT part": error(403, "SignatureDoesNotMatch")}
    assert not await presigned_work(store)
    assert (quirky.objects, quirky.uploads) == ({}, {})
    quirky.busy = 1000
    assert not await presigned_work(store)
