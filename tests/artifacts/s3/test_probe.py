"""The probe of a bucket before the start, and how it reports each failure."""

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import TIMEOUT_S, free_port
from tests.servers.s3 import S3Server
from tests.servers.s3_quirks import BUCKET, QuirkyS3, Reply, error

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.probe import probe_presigned_urls
from railtrack.errors import ApiError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test what a probe reports, not how long it takes on a busy machine."""
    monkeypatch.setattr("railtrack.artifacts.s3.probe.TIMEOUT_S", TIMEOUT_S)


async def error_of(stores: ArtifactStores) -> str:
    with pytest.raises(ApiError) as caught:
        await stores.probe_buckets()
    return caught.value.message


async def test_a_good_bucket_passes_and_is_left_unchanged(s3: S3Server, bucket: str, s3_stores: ArtifactStores) -> None:
    assert await s3_stores.probe_buckets() == []
    assert s3.objects(bucket) == {}
    assert s3.unfinished_uploads(bucket) == []


async def test_a_bucket_that_is_both_root_and_destination_is_probed_once(quirky: QuirkyS3) -> None:
    there = f"s3://{BUCKET}/a"
    environ = {**quirky.environment, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"{there}/"}
    assert await stores_at(there, environ).probe_buckets() == []
    assert quirky.kinds().count("PUT") == 1
    assert (quirky.objects, quirky.uploads) == ({}, {})


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("PUT", "put"),
        ("GET", "get"),
        ("GET list", "list"),
        ("POST upload", "multipart upload"),
        ("DELETE", "delete"),
    ],
)
async def test_a_denied_operation_is_named(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, kind: str, step: str
) -> None:
    quirky.replies = {kind: error(403, "AccessDenied", "Access Denied.")}
    message = await error_of(quirky_stores)
    assert message == (
        f"The artifact store rejects the probe's {step}: the bucket '{BUCKET}' at http://127.0.0.1:{quirky.port}: "
        "AccessDenied: Access Denied. Give the key the right to put, get, list and delete objects in this bucket."
    )


async def test_a_key_that_may_not_abort_uploads_is_a_warning(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    """Amazon requires s3:AbortMultipartUpload for that, which many policies lack."""
    quirky.replies = {"DELETE complete": error(403, "AccessDenied", "Access Denied.")}
    (line,) = await quirky_stores.probe_buckets()
    assert line.startswith(f"The artifact store does not allow aborting multipart uploads: the bucket '{BUCKET}' at ")
    assert "give the key the right s3:AbortMultipartUpload, or have the bucket remove incomplete uploads" in line
    assert (quirky.objects, quirky.uploads) == ({}, {})


async def test_wrong_keys_and_a_missing_bucket_are_reported_with_the_next_step(s3: S3Server, bucket: str) -> None:
    assert "Check AWS_ACCESS_KEY_ID" in await error_of(
        stores_at(f"s3://{bucket}", {**s3.environment, "AWS_ACCESS_KEY_ID": "AKIANOTTHERE"})
    )
    assert "Check AWS_SECRET_ACCESS_KEY" in await error_of(
        stores_at(f"s3://{bucket}", {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong"})
    )
    assert "Create the bucket" in await error_of(stores_at("s3://not-there", s3.environment))


async def test_an_unavailable_store_is_a_warning(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.busy = 1000
    (line,) = await quirky_stores.probe_buckets()
    assert line.startswith(
        f"The artifact store does not answer: the bucket '{BUCKET}' at http://127.0.0.1:{quirky.port}: SlowDown: "
    )
    assert "Check AWS_S3_ENDPOINT_URL. If it is right, do nothing" in line


async def test_a_store_that_does_not_listen_is_reported_with_the_variable(quirky: QuirkyS3) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (line,) = await stores_at(f"s3://{BUCKET}", {**quirky.environment, "AWS_ENDPOINT_URL": url}).probe_buckets()
    assert line == (
        f"The artifact store does not answer: the bucket '{BUCKET}' at {url}: Connection refused. "
        "Check AWS_S3_ENDPOINT_URL. If it is right, do nothing: /ready reports when the store is back."
    )


async def test_the_object_is_deleted_if_a_later_step_fails(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.replies = {"GET": error(403, "AccessDenied")}
    await error_of(quirky_stores)
    assert "PUT" in quirky.kinds()
    assert quirky.objects == {}


async def test_a_server_that_is_not_s3_is_reported_with_the_variables(
    quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    quirky.replies = {"PUT": Reply(404, b"<html>Not Found</html>")}
    assert (await error_of(quirky_stores)).endswith(
        "HTTP 404. Check AWS_S3_ENDPOINT_URL and MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE."
    )


@pytest.mark.parametrize("ranges", [200, None])
async def test_a_store_without_ranges_is_a_warning(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, ranges: int | None
) -> None:
    quirky.ranges = ranges
    (line,) = await quirky_stores.probe_buckets()
    assert line.startswith(f"The artifact store has no range requests: the bucket '{BUCKET}' at http://127.0.0.1:")
    assert (quirky.objects, quirky.uploads) == ({}, {})
    assert not await probe_presigned_urls(quirky_stores.buckets()[0])


async def test_a_store_without_multipart_uploads_is_reported(quirky: QuirkyS3, quirky_stores: ArtifactStores) -> None:
    quirky.replies = {"POST upload": Reply(400)}
    message = await error_of(quirky_stores)
    assert "rejects the probe's multipart upload" in message
    assert message.endswith("HTTP 400. Artifacts of 8 MiB and more need multipart uploads: use a store that has them.")


MALFORMED = (
    Reply(200), Reply(200, b"<html>"),
    Reply(200, b"<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>"),
    Reply(200, b"0123456789", {"etag": "a", "last-modified": "yesterday"}), Reply(204), Reply(206, b"x" * 70),
    Reply(302, b"", {"location": "/"}), Reply(304), Reply(400), Reply(500, b"\xff\xfe"), error(200, "Oops"), Reply(999),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["PUT", "GET", "GET list", "POST upload", "DELETE complete", "DELETE"])
async def test_a_malformed_response_is_a_message_of_one_line(
    quirky: QuirkyS3, quirky_stores: ArtifactStores, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("railtrack.artifacts.s3.client.FIRST_PAUSE_S", 0.001)
    for reply in MALFORMED:
        quirky.replies = {kind: reply}
        try:
            lines = await quirky_stores.probe_buckets()
        except ApiError as error:
            lines = [error.message]
        assert all(f"'{BUCKET}'" in line and "\n" not in line for line in lines), reply


async def test_presigned_urls_are_probed(
    s3: S3Server, bucket: str, s3_stores: ArtifactStores, quirky: QuirkyS3, quirky_stores: ArtifactStores
) -> None:
    (store,) = s3_stores.buckets()
    assert await probe_presigned_urls(store)
    assert (s3.objects(bucket), s3.unfinished_uploads(bucket)) == ({}, [])
    (store,) = quirky_stores.buckets()
    quirky.replies = {"PUT part": error(403, "SignatureDoesNotMatch")}
    assert not await probe_presigned_urls(store)
    assert (quirky.objects, quirky.uploads) == ({}, {})
    quirky.busy = 1000
    assert not await probe_presigned_urls(store)
