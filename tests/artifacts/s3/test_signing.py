"""Signatures are those that Amazon's own library makes."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from railtrack.artifacts.s3.signing import Credentials, Query, Signer, encoded

REQUESTS: list[tuple[str, str, Query]] = [
    ("GET", "/bucket/a", ()),
    ("PUT", "/a%20b/%EB%AA%A8%EB%8D%B8%23%25%2B.bin", ()),
    ("PUT", "/bucket/key", (("partNumber", "12"), ("uploadId", "a+b/c=d"))),
    ("POST", "/bucket/key", (("uploads", ""),)),
    (
        "GET",
        "/bucket/",
        (("prefix", "a b/모델"), ("delimiter", "/"), ("list-type", "2"), ("continuation-token", "1+/=")),
    ),
]
KEYS = [("AKID", "secret/+", ""), ("AKID", "secret", "token+/=")]


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize(("method", "path", "query"), REQUESTS)
def test_the_headers_of_a_request_are_signed_as_botocore_does(
    method: str, path: str, query: Query, keys: tuple[str, str, str]
) -> None:
    request = AWSRequest(method, f"https://host.example:9000{path}" + (f"?{encoded(query)}" if query else ""))
    request.headers["content-type"] = "text/plain"
    request.headers["range"] = "bytes=0-1"
    S3SigV4Auth(BotoCredentials(keys[0], keys[1], keys[2] or None), "s3", "eu-west-1").add_auth(request)
    moment = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signer = Signer(Credentials(*keys), "eu-west-1")
    headers = {"content-type": "text/plain", "range": "bytes=0-1"}
    digest = request.headers["X-Amz-Content-SHA256"]
    signed = signer.headers(method, "host.example:9000", path, query, headers, digest, moment)
    assert signed["authorization"] == request.headers["Authorization"]
    assert signed.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize(("method", "path", "query"), REQUESTS)
def test_a_url_is_signed_as_botocore_does(method: str, path: str, query: Query, keys: tuple[str, str, str]) -> None:
    request = AWSRequest(method, f"https://host.example{path}" + (f"?{encoded(query)}" if query else ""))
    auth = S3SigV4QueryAuth(BotoCredentials(keys[0], keys[1], keys[2] or None), "s3", "auto", expires=900)
    auth.add_auth(request)
    moment = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Signer(Credentials(*keys), "auto").query(method, "host.example", path, query, 900, moment)
    assert sorted(ours.split("&")) == sorted(request.url.partition("?")[2].split("&"))
