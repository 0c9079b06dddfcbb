"""MLFLOW_S3_UPLOAD_EXTRA_ARGS: the headers are those that boto3 sends, and the stored objects have them."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.artifacts.conftest import stores_at
from tests.client import running_app
from tests.servers.s3 import S3Server

from railtrack.artifacts.s3.upload_memory import PART_BYTES
from railtrack.artifacts.store import CompletedPart
from railtrack.config.settings import Settings, load
from railtrack.errors import StartError

VARIABLE = "MLFLOW_S3_UPLOAD_EXTRA_ARGS"
ARGUMENTS: dict[str, Any] = {
    "ACL": "bucket-owner-full-control",
    "BucketKeyEnabled": True,
    "CacheControl": "no-store",
    "ContentDisposition": "attachment",
    "ContentEncoding": "gzip",
    "ContentLanguage": "en",
    "ContentType": "text/plain",
    "GrantFullControl": 'id="owner"',
    "GrantRead": 'id="reader"',
    "GrantReadACP": 'id="reader"',
    "GrantWriteACP": 'id="writer"',
    "Metadata": {"Team": "vision"},
    "ObjectLockLegalHoldStatus": "ON",
    "ObjectLockMode": "GOVERNANCE",
    "SSEKMSEncryptionContext": "e30=",
    "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
    "ServerSideEncryption": "aws:kms",
    "StorageClass": "STANDARD_IA",
    "Tagging": "team=vision&cost=1",
    "WebsiteRedirectLocation": "/other",
}


async def source(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1 << 18):
        yield content[at : at + (1 << 18)]


def test_the_headers_are_those_of_boto3(s3: S3Server, bucket: str) -> None:
    sent: list[Any] = []
    client = s3.boto()
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request.headers))
    for name, value in ARGUMENTS.items():
        with contextlib.suppress(ClientError):  # moto rejects locks in a bucket without them, after it got the request
            client.put_object(Bucket=bucket, Key="a", Body=b"", **{name: value})
        ours = dict(load({}, {VARIABLE: json.dumps({name: value})}).s3.upload_headers)
        theirs = {key.lower(): text.decode() if isinstance(text, bytes) else text for key, text in sent.pop().items()}
        assert ours.items() <= theirs.items(), f"{name}: {ours} is not in {theirs}"


async def test_objects_are_stored_with_the_arguments_also_by_clients(s3: S3Server, bucket: str) -> None:
    """A client that gets URLs for the parts of an upload sends nothing further: the server began the upload."""
    in_head = {name: ARGUMENTS[name] for name in ("ServerSideEncryption", "SSEKMSKeyId", "StorageClass", "Metadata")}
    arguments = {**in_head, "Tagging": "team=vision&cost=1", "ACL": "public-read"}
    stores = stores_at(f"s3://{bucket}", {**s3.environment, VARIABLE: json.dumps(arguments)})
    try:
        (store,) = stores.buckets()
        for key, size in (("small", 10), ("large", 2 * PART_BYTES + 1)):
            await store.put(key, source(b"x" * size))
        upload_id = await store.create_multipart("by a client")
        sent = await store.bucket.fetch("PUT", await store.presign_part("by a client", upload_id, 1, 60), b"x" * 10)
        await store.complete_multipart("by a client", upload_id, [CompletedPart(1, sent.headers["etag"])])
    finally:
        stores.close()
    boto = s3.boto()
    for key, size in (("small", 10), ("large", 2 * PART_BYTES + 1), ("by a client", 10)):
        stored = boto.head_object(Bucket=bucket, Key=key)
        assert stored["ContentLength"] == size
        assert {name: stored[name] for name in in_head} == {**in_head, "Metadata": {"team": "vision"}}
        tags = {tag["Key"]: tag["Value"] for tag in boto.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
        assert tags == {"team": "vision", "cost": "1"}
        grants = boto.get_object_acl(Bucket=bucket, Key=key)["Grants"]
        assert any(one["Grantee"].get("URI", "").endswith("AllUsers") for one in grants)


async def test_clients_are_not_offered_uploads_that_would_lack_the_arguments(
    s3: S3Server, bucket: str, sqlite_settings: Settings
) -> None:
    environ = {**s3.environment, "RAILTRACK_S3_PRESIGNED": "on", "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}"}
    flags = {"database.uri": sqlite_settings.database.uri}
    for arguments, is_offered in ("", True), (json.dumps({"StorageClass": "STANDARD_IA"}), False):
        async with running_app(load(flags, {**environ, VARIABLE: arguments})) as client:
            info = (await client.get("/ajax-api/3.0/mlflow/server-info")).json
            assert info["presigned_upload_run_id_supported"] is is_offered
            assert info["presigned_upload_model_id_supported"] is is_offered
            experiment = await client.ok("POST", "experiments/create", {"name": f"offered: {is_offered}"})
            run = (await client.ok("POST", "runs/create", experiment))["run"]["info"]["run_id"]
            upload = await client.post("artifacts/presigned-upload-url", {"run_id": run, "path": "a.txt"})
            assert upload.status == (200 if is_offered else 501)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("AES256", "Invalid JSON object in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ('["AES256"]', "Invalid JSON object in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ('{"SSECustomerKey": "k"}', "Invalid argument in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ('{"StorageClass": 1}', "Invalid argument in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ('{"Tagging": "a=b\\r\\nx: y"}', "Invalid argument in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        ('{"Metadata": {"Team": ""}}', "Invalid argument in MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
    ],
)
def test_what_cannot_be_sent_is_an_invalid_value(value: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        load({}, {VARIABLE: value})
