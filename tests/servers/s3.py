"""Real S3 servers for tests, each in its own process: moto's, which verifies the signature of every request, and a fast
one for large objects and large numbers of them, which verifies none.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from tests.servers.processes import die_with_parent, free_port

ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
PROGRAM = Path(__file__).with_name("s3_moto.py")
FAST_PROGRAM = Path(__file__).with_name("s3_blocks.py")
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Server:
    url: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a server or a client uses it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.url,
        }

    def boto(self, service: str = "s3") -> Any:
        """Return a boto3 client."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )

    def new_bucket(self, name: str) -> str:
        self.boto().create_bucket(Bucket=name)
        return name

    def new_role(self, name: str) -> str:
        """Create a role that any web identity may assume and that may do anything. Return its ARN."""
        document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW_ALL]})
        iam = self.boto("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document)
        return arn

    def objects(self, bucket: str) -> dict[str, int]:
        """Return the size of every object by key."""
        found: dict[str, int] = {}
        for page in self.boto().get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found |= {one["Key"]: one["Size"] for one in page.get("Contents", ())}
        return found

    def unfinished_uploads(self, bucket: str) -> list[str]:
        return [one["Key"] for one in self.boto().list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    port = free_port()
    with _running(PROGRAM, port) as process:
        assert process.stdout is not None
        keys = json.loads(process.stdout.readline())
        yield S3Server(f"http://127.0.0.1:{port}", keys["AccessKeyId"], keys["SecretAccessKey"])


@contextlib.contextmanager
def fast_s3_server() -> Iterator[S3Server]:
    port = free_port()
    with _running(FAST_PROGRAM, port) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield S3Server(f"http://127.0.0.1:{port}", "key", "secret")


@contextlib.contextmanager
def _running(program: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        [sys.executable, str(program), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
