"""Artifact locations that a client may choose. MLflow rejects the same with the same message, but accepts `..`."""

from pathlib import Path

import pytest

from railtrack.errors import ApiError
from railtrack.mlflow.artifact_location import absolute_location, validate_location


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/prefix",
        "s3://bucket/a b/é/%20/",
        "S3://bucket/x",
        "s3://bucket/x?versionId=1",
        "gs://bucket/x;p",
        "dbfs:/x",
        "mlflow-artifacts:/x",
        "/tmp/folder",
        "file:///tmp/folder",
        "file://localhost/tmp/folder",
        "s3://bucket/..name/x...y",
        "C:\\models",
        "wasbs://container@account/x",
    ],
)
def test_a_valid_location_is_not_changed(location: str) -> None:
    assert validate_location(location) == location


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("folder/x", "{here}/folder/x"),
        ("./folder", "{here}/folder"),
        ("file:folder", "file://{here}/folder"),
    ],
)
def test_a_relative_location_becomes_absolute(location: str, kept: str) -> None:
    assert validate_location(location) == kept.format(here=Path.cwd())


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3://b/x#f", "'artifact_location' URL can't include fragments or params."),
        ("http:///#/../../etc", "'artifact_location' URL can't include fragments or params."),
        ("/tmp/x;p", "'artifact_location' URL can't include fragments or params."),
        ("file:///tmp?/../../etc", "Invalid query string"),
        ("s3://b/x?q=..", "Invalid query string"),
        ("s3://b/x/../y", "can't include '..' segments"),
        ("s3://b/x/..", "can't include '..' segments"),
        ("s3://b/x/%2e%2e/y", "can't include '..' segments"),
        ("s3://b/x/%252e%252E/y", "can't include '..' segments"),
        ("s3://b/x" + "/%2525252525252525252e./y", "can't include '..' segments"),
        ("s3://b/x\\..\\y", "can't include '..' segments"),
        ("/tmp/../etc", "can't include '..' segments"),
        ("../etc", "can't include '..' segments"),
        ("file:../etc", "can't include '..' segments"),
        ("mlflow-artifacts:/../x", "can't include '..' segments"),
        ("http://host/x", "'artifact_location' cannot use the 'http' scheme"),
        ("HTTPS://host/x", "'artifact_location' cannot use the 'https' scheme"),
        ("ftp://user:password@host/x", "'artifact_location' cannot use the 'ftp' scheme"),
        ("hdfs://host/x", "'artifact_location' cannot use the 'hdfs' scheme"),
        ("mlflow-artifacts://host/x", "'artifact_location' cannot use the 'mlflow-artifacts' scheme"),
        ("runs:/abc", "Artifact location cannot be a runs:/ URI. Given: 'runs:/abc'"),
        ("file://host/x", "file://host/x is not a valid remote uri"),
        ("//proc/self/root", "//proc/self/root is not a valid remote uri"),
        ("s3://[::1", "not a valid URI"),
        ("s3://b/" + "x" * 2048, "cannot be greater than 2048 characters"),
    ],
)
def test_a_location_outside_of_the_storage_is_rejected(location: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate_location(location)
    assert (caught.value.code, caught.value.status) == ("INVALID_PARAMETER_VALUE", 400)
    assert message in caught.value.message


@pytest.mark.parametrize("root", ["hdfs://host/x", "https://host/api/2.0/mlflow-artifacts/artifacts", "/data/../x"])
def test_a_location_that_the_operator_configures_is_not_validated(root: str) -> None:
    assert absolute_location(root) == root
