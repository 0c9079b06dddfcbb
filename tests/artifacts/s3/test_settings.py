"""From settings to buckets: endpoints, regions, addressing, credentials, and which locations are served."""

import subprocess
import sys
from pathlib import Path

import pytest

from railtrack.artifacts import ArtifactStores
from railtrack.artifacts.s3.factory import region_of, uses_virtual_host
from railtrack.artifacts.s3.store import S3Store
from railtrack.config.settings import load
from railtrack.errors import ApiError, StartError
from railtrack.http_client.client import Origin

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
ROOT = {**KEYS, "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://bucket/root"}


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-2"),
        ({"AWS_S3_ENDPOINT_URL": "https://abc.r2.cloudflarestorage.com"}, "auto"),
        ({"AWS_ENDPOINT_URL": "https://storage.railway.app"}, "auto"),
        ({"AWS_S3_ENDPOINT_URL": "https://s3.us-west-004.backblazeb2.com"}, "us-west-004"),
        ({"AWS_S3_ENDPOINT_URL": "https://s3.us-west-004.backblazeb2.com", "AWS_REGION": "x"}, "x"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://localhost:9000"}, "us-east-1"),
    ],
)
def test_the_region_is_the_setting_or_the_endpoints(environ: dict[str, str], region: str) -> None:
    assert region_of(load({}, environ)) == region


@pytest.mark.parametrize(
    ("endpoint", "bucket", "virtual"),
    [
        ("https://s3.eu-west-1.amazonaws.com", "bucket", True),
        ("https://s3.eu-west-1.amazonaws.com", "my.bucket", False),
        ("https://storage.railway.app", "bucket", True),
        ("https://abc.r2.cloudflarestorage.com", "bucket", False),
        ("https://s3.us-west-004.backblazeb2.com", "bucket", False),
        ("http://127.0.0.1:9000", "bucket", False),
    ],
)
def test_the_addressing_fits_the_endpoint(endpoint: str, bucket: str, virtual: bool) -> None:
    assert uses_virtual_host("auto", Origin.of(endpoint), bucket) is virtual
    assert uses_virtual_host("path", Origin.of(endpoint), bucket) is False
    assert uses_virtual_host("virtual", Origin.of(endpoint), bucket) is True


async def url(**environ: str) -> str:
    store = ArtifactStores(load({}, {**KEYS, **environ})).proxied().store
    assert isinstance(store, S3Store)
    return (await store.presign("GET", "a b", 60)).partition("?")[0]


async def test_urls_have_the_bucket_in_the_host_name_or_in_the_path() -> None:
    there = "s3://bucket/pre"
    assert await url(MLFLOW_ARTIFACTS_DESTINATION=there) == "https://bucket.s3.us-east-1.amazonaws.com/pre/a%20b"
    minio = {"MLFLOW_ARTIFACTS_DESTINATION": there, "AWS_ENDPOINT_URL": "http://localhost:9000/"}
    assert await url(**minio) == "http://localhost:9000/bucket/pre/a%20b"
    virtual = {**minio, "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual"}
    assert await url(**virtual) == "http://bucket.localhost:9000/pre/a%20b"


async def test_an_endpoint_may_have_a_path_before_the_bucket() -> None:
    environ = {
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/pre",
        "AWS_ENDPOINT_URL": "https://abc.supabase.co/storage/v1/s3/",
    }
    assert await url(**environ) == "https://abc.supabase.co/storage/v1/s3/bucket/pre/a%20b"


async def test_s3a_is_s3(tmp_path: Path) -> None:
    environ = {"MLFLOW_ARTIFACTS_DESTINATION": "s3a://bucket/pre", "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3a://bucket/root"}
    assert await url(**environ) == "https://bucket.s3.us-east-1.amazonaws.com/pre/a%20b"
    settings = load({}, {**KEYS, **environ, "RAILTRACK_ARTIFACT_LOCATIONS": f"{tmp_path}, s3a://other/x"})
    assert settings.artifacts.experiment_location(7) == "s3://bucket/root/7"  # MLflow's clients know s3 only
    stores = ArtifactStores(settings)
    assert stores.locate("s3a://other/x/7", "a").uri == "s3://other/x/7/a"
    stores.close()


def test_two_different_endpoints_are_rejected_naming_both() -> None:
    environ = {"AWS_S3_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL": "http://b"}
    with pytest.raises(StartError, match="AWS_S3_ENDPOINT_URL and AWS_ENDPOINT_URL are set to different values"):
        load({}, environ)
    assert load({}, {"AWS_S3_ENDPOINT_URL": "http://a/", "AWS_ENDPOINT_URL": "http://a"}).s3.endpoint == "http://a"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("localhost:9000", "Add the scheme, https:"),
        ("ftp://host", "Use a URL without login"),
        ("https://key:secret@host", "Use a URL without login"),
        (
            "https://abc.r2.cloudflarestorage.com/bucket",
            "Set it to https://abc.r2.cloudflarestorage.com, and name the bucket in",
        ),
        ("https://host:port", "Check the host and the port"),
        ("https://host:0", "Use a port from 1 to 65535"),
        ("https://s3.eu-west-1.amazonaws.com/bucket", "Set it to https://s3.eu-west-1.amazonaws.com, and name the"),
        ("https://host/path?list-type=2", "Set it to https://host, and name the bucket"),
        ("https://host/a b", "Set it to https://host, and name the bucket"),
    ],
)
def test_an_invalid_endpoint_is_rejected(endpoint: str, expected: str) -> None:
    with pytest.raises(StartError, match=expected):
        load({}, {"AWS_ENDPOINT_URL": endpoint})


def credentials_error(environ: dict[str, str]) -> str:
    with pytest.raises(ApiError) as caught:
        ArtifactStores(load({}, {**environ, "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://bucket"})).check_credentials()
    return caught.value.message


def test_missing_credentials_are_reported_with_the_variable() -> None:
    assert credentials_error({}).startswith("Unable to locate credentials: an s3:// location needs them. Set AWS_")
    assert "AWS_SECRET_ACCESS_KEY is not set" in credentials_error({"AWS_ACCESS_KEY_ID": "a"})
    assert "AWS_ACCESS_KEY_ID is not set" in credentials_error({"AWS_SECRET_ACCESS_KEY": "a"})


async def test_a_profile_has_keys(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[ml]\naws_access_key_id = PROFILE\naws_secret_access_key = s%\n")
    environ = {
        "AWS_PROFILE": "ml",
        "AWS_SHARED_CREDENTIALS_FILE": str(file),
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket",
    }
    stores = ArtifactStores(load({}, environ))
    stores.check_credentials()
    store = stores.proxied().store
    assert isinstance(store, S3Store)
    assert "X-Amz-Credential=PROFILE%2F" in await store.presign("GET", "a", 60)


def test_without_s3_no_credentials_are_needed() -> None:
    ArtifactStores(load({}, {})).check_credentials()


def key_of(environ: dict[str, str], uri: str) -> str:
    store, key = ArtifactStores(load({}, environ)).locate(uri, "file")
    assert isinstance(store, S3Store)
    return f"{store.bucket.name}:{store.prefix}:{key}"


def test_locations_below_the_configured_ones_are_served() -> None:
    assert key_of(ROOT, "s3://bucket/root/1/run/artifacts") == "bucket:root:1/run/artifacts/file"
    assert key_of(ROOT, "S3://bucket/root") == "bucket:root:file"
    further = {**ROOT, "RAILTRACK_ARTIFACT_LOCATIONS": "s3://other, s3://bucket/old/"}
    assert key_of(further, "s3://other/a b/1") == "other::a b/1/file"
    assert key_of(further, "s3://bucket/old/1") == "bucket:old:1/file"


@pytest.mark.parametrize("uri", ["s3://bucket/root2/1", "s3://bucket", "s3://other/root/1", "s3://bucket/old/1"])
def test_other_s3_locations_are_not_served(uri: str) -> None:
    with pytest.raises(ApiError, match="RAILTRACK_ARTIFACT_LOCATIONS adds one") as caught:
        ArtifactStores(load({}, ROOT)).locate(uri)
    assert caught.value.status == 400
    with pytest.raises(ApiError, match="not below an S3 location that this server serves"):
        ArtifactStores(load({}, {})).locate(uri)


@pytest.mark.parametrize("uri", ["s3://bucket/root/../x", "s3://bucket/root/%2e%2e/x", "s3://bucket//root\\..\\x"])
def test_s3_locations_with_traversal_are_rejected(uri: str) -> None:
    with pytest.raises(ApiError, match=r"^Invalid path$"):
        ArtifactStores(load({}, ROOT)).locate(uri)


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "s3://a/x", "s3://me@bucket/x", "s3://bucket:80/x"])
def test_an_s3_location_without_a_bucket_is_rejected(uri: str) -> None:
    with pytest.raises(ApiError, match="does not name a bucket"):
        ArtifactStores(load({}, ROOT)).locate(uri)


def test_s3_is_imported_only_with_an_s3_location() -> None:
    script = (
        "import sys; from railtrack.artifacts import ArtifactStores; from railtrack.config.settings import load; "
        "ArtifactStores(load({'artifacts.default_root': sys.argv[1]}, {})); print(*sys.modules)"
    )
    loaded = {
        root: subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=True).stdout
        for root in ("mlflow-artifacts:/", "s3://bucket")
    }
    for module in ("railtrack.artifacts.s3.store", "xml.etree.ElementTree"):
        assert module not in loaded["mlflow-artifacts:/"].split()
        assert module in loaded["s3://bucket"].split()
