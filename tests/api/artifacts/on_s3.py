"""Settings for a store in S3, and requests that clients send to it themselves."""

import urllib.error
import urllib.request
from dataclasses import replace

from tests.servers.s3 import S3Server

from railtrack.config.settings import ArtifactSettings, AwsSettings, S3Settings, Settings


def on_s3(settings: Settings, s3: S3Server, bucket: str, presigned: str) -> Settings:
    return replace(
        settings,
        artifacts=ArtifactSettings(destination=f"s3://{bucket}/proxied", default_root=f"s3://{bucket}/direct"),
        aws=AwsSettings(access_key_id=s3.access_key, secret_access_key=s3.secret_key),
        s3=S3Settings(endpoint=s3.url, presigned=presigned),
    )


def fetch(
    method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    request = urllib.request.Request(
        url, data, {"content-type": "application/octet-stream", **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers.get("ETag", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""
