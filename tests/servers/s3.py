"""A real S3 server for tests: moto's, as a process of its own, which verifies the signature of every request."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from tests.servers.processes import end_with_the_tests, free_port

START_SECONDS = 60
UNSIGNED_ACTIONS = 3
"""What moto takes before it looks at signatures: the calls that make the user whose keys the tests have."""
PROGRAM = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
ALLOW_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Server:
    url: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """What points a server, or a client, to it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.url,
        }

    def boto(self) -> Any:
        """Amazon's own client of it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )

    def new_bucket(self, name: str) -> str:
        self.boto().create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str) -> dict[str, int]:
        """Every key with its size."""
        found: dict[str, int] = {}
        for page in self.boto().get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found |= {one["Key"]: one["Size"] for one in page.get("Contents", ())}
        return found

    def unfinished_uploads(self, bucket: str) -> list[str]:
        return [one["Key"] for one in self.boto().list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(UNSIGNED_ACTIONS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_the_tests,
    )
    try:
        _wait_for(port)
        yield _with_user(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _with_user(url: str) -> S3Server:
    iam = boto3.client(
        "iam", endpoint_url=url, aws_access_key_id="first", aws_secret_access_key="first", region_name=REGION
    )
    iam.create_user(UserName="tests")
    iam.put_user_policy(UserName="tests", PolicyName="all", PolicyDocument=json.dumps(ALLOW_ALL))
    key = iam.create_access_key(UserName="tests")["AccessKey"]
    return S3Server(url, key["AccessKeyId"], key["SecretAccessKey"])
