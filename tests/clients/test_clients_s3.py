"""The unmodified MLflow client with artifacts in S3: through the server, and by presigned URLs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import railtrack_server
from tests.servers.s3 import S3Server, s3_server

PROGRAM = Path(__file__).with_name("scenario_s3.py")
LISTED = ["100%.txt", "a b.txt", "a+b.txt", "empty.txt", "large.bin", "모델.txt"]
IN_PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "6000000",
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "6000000",
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": "6000000",
}
MULTIPART = {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true"}
"""Clients before 3.17 need this variable for multipart uploads. 2.9.2 then omits the run's folder on any server."""
BY_CLIENT, BY_SERVER = 4, 3
"""Number of parts of 23 MB, with the client's part size and with the server's of 8 MiB."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.mark.parametrize(
    ("version", "presigned", "variables", "parts"),
    [
        ("3.17.2", "on", {}, BY_CLIENT),
        ("3.17.2", "auto", {}, BY_SERVER),
        ("3.1.0", "on", MULTIPART, BY_CLIENT),
        ("3.1.0", "off", MULTIPART, BY_SERVER),
        ("2.22.0", "on", MULTIPART, BY_CLIENT),
        ("2.9.2", "on", {}, BY_SERVER),
    ],
)
def test_a_client_stores_and_reads_files_in_s3(
    s3: S3Server, tmp_path: Path, version: str, presigned: str, variables: dict[str, str], parts: int
) -> None:
    bucket = s3.new_bucket(f"client-{version}-{presigned}")
    settings = {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/runs", "RAILTRACK_S3_PRESIGNED": presigned}
    # The first client must wait for the store's probe, however long it takes.
    constants = {"railtrack.artifacts.s3.factory.PRESIGNED_PROBE_WAIT_S": TIMEOUT_S}
    environment = {**s3.environment, **settings}
    with railtrack_server(tmp_path / "server", environment=environment, constants=constants) as server:
        done = subprocess.run(
            [str(client_interpreter(version)), str(PROGRAM), server.url],
            env={**client_environment(server.url, tmp_path), **IN_PARTS, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"dir x/{name}" for name in LISTED]
        (large,) = [key for key in s3.objects(bucket) if key.endswith("/artifacts/dir x/large.bin")]
        assert s3.boto().head_object(Bucket=bucket, Key=large)["ETag"].endswith(f'-{parts}"')
        assert s3.unfinished_uploads(bucket) == []
        assert server.logged_errors() == []
