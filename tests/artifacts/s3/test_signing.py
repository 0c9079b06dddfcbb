"""Signatures equal those of botocore and those that AWS publishes."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from railtrack.artifacts.s3.signing import Credentials, Query, Signer, encode_query

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
    request = AWSRequest(method, f"https://host.example:9000{path}" + (f"?{encode_query(query)}" if query else ""))
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
    request = AWSRequest(method, f"https://host.example{path}" + (f"?{encode_query(query)}" if query else ""))
    auth = S3SigV4QueryAuth(BotoCredentials(keys[0], keys[1], keys[2] or None), "s3", "auto", expires=900)
    auth.add_auth(request)
    moment = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Signer(Credentials(*keys), "auto").query(method, "host.example", path, query, 900, moment)
    assert sorted(ours.split("&")) == sorted(request.url.partition("?")[2].split("&"))


# Published by AWS: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

PUBLISHED_KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
PUBLISHED_HOST = "examplebucket.s3.amazonaws.com"
PUBLISHED_TIME = datetime(2013, 5, 24, tzinfo=UTC)
PUBLISHED: list[tuple[str, str, Query, dict[str, str], bytes, str]] = [
    (
        "GET",
        "/test.txt",
        (),
        {"range": "bytes=0-9"},
        b"",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT",
        "/test%24file.text",
        (),
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        b"Welcome to Amazon S3.",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    ("GET", "/", (("lifecycle", ""),), {}, b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    (
        "GET",
        "/",
        (("max-keys", "2"), ("prefix", "J")),
        {},
        b"",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "body", "signature"), PUBLISHED)
def test_the_headers_are_those_that_aws_publishes(
    method: str, path: str, query: Query, headers: dict[str, str], body: bytes, signature: str
) -> None:
    digest = hashlib.sha256(body).hexdigest()
    signer = Signer(PUBLISHED_KEYS, "us-east-1")
    signed = signer.headers(method, PUBLISHED_HOST, path, query, headers, digest, PUBLISHED_TIME)
    assert signed["authorization"].endswith(f"Signature={signature}")


def test_a_presigned_url_is_the_one_that_aws_publishes() -> None:
    signer = Signer(PUBLISHED_KEYS, "us-east-1")
    query = signer.query("GET", PUBLISHED_HOST, "/test.txt", (), 86400, PUBLISHED_TIME)
    assert query.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_signing_starts_no_thread() -> None:
    """The master signs requests of its probe before it forks."""
    script = (
        "from pathlib import Path; from railtrack.artifacts.s3.signing import Credentials, Signer; "
        "Signer(Credentials('a', 'b'), 'auto').query('GET', 'host', '/key', (), 60); "
        "print(len(list(Path('/proc/self/task').iterdir())))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"
