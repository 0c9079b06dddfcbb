"""The unmodified MLflow client with many files and a large one in S3: proxied, presigned and direct.

The large file needs a multipart upload. `make bench-artifacts` does the same with 600 MB.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import railtrack_server
from tests.servers.s3 import S3Server, fast_s3_server

PROGRAM = Path(__file__).with_name("scenario_files.py")
SMALL_FILES = 1000
LARGE_MB = 100
SERVERS_PART_MB = 8
CLIENTS_PART_MB = 10
IN_PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(50 * 2**20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(CLIENTS_PART_MB * 2**20),
    "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(50 * 2**20),
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(CLIENTS_PART_MB * 2**20),
}


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with fast_s3_server() as server:
        server.new_bucket("artifacts")
        yield server


@pytest.mark.parametrize("version", ["3.17.2", "2.9.2"])
@pytest.mark.parametrize("way", ["proxied", "direct"])
def test_a_client_logs_many_small_files_and_a_large_one(s3: S3Server, tmp_path: Path, version: str, way: str) -> None:
    small_files = SMALL_FILES if way == "proxied" else SMALL_FILES // 10
    report = _run(s3, tmp_path, version, way, small_files)
    scheme = {"proxied": "mlflow-artifacts:/", "direct": "s3://artifacts/"}[way]
    assert report["artifact_uri"].startswith(scheme)
    assert report["small"]["files"] == small_files
    if way == "proxied":
        assert _parts(s3) == -(-LARGE_MB // SERVERS_PART_MB)


def test_a_client_uploads_a_large_file_in_parts_by_presigned_urls(s3: S3Server, tmp_path: Path) -> None:
    report = _run(s3, tmp_path, "3.17.2", "presigned", 0)
    assert report["artifact_uri"].startswith("mlflow-artifacts:/")
    assert _parts(s3) == LARGE_MB // CLIENTS_PART_MB


def _run(s3: S3Server, folder: Path, version: str, way: str, small_files: int) -> dict[str, Any]:
    settings = {
        "proxied": {"MLFLOW_ARTIFACTS_DESTINATION": "s3://artifacts/runs", "RAILTRACK_S3_PRESIGNED": "off"},
        "presigned": {"MLFLOW_ARTIFACTS_DESTINATION": "s3://artifacts/runs", "RAILTRACK_S3_PRESIGNED": "on"},
        "direct": {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts/runs"},
    }[way]
    own_keys = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url} if way == "direct" else {}
    # The first client must wait for the store's probe, however long it takes.
    constants = {"railtrack.artifacts.s3.factory.PRESIGNED_PROBE_WAIT_S": TIMEOUT_S}
    environment = {**s3.environment, **settings}
    with railtrack_server(folder / "server", environment=environment, constants=constants) as server:
        done = subprocess.run(
            [str(client_interpreter(version)), str(PROGRAM), server.url, str(small_files), str(LARGE_MB)],
            env={**client_environment(server.url, folder), **own_keys, **IN_PARTS, "TMPDIR": str(folder)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert s3.unfinished_uploads("artifacts") == []
        assert server.logged_errors() == []
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report


def _parts(s3: S3Server) -> int:
    """Return the number of parts of the large object."""
    (key,) = [key for key in s3.objects("artifacts") if key.endswith("/large file.bin")]
    found = re.search(r"-(\d+)\"$", s3.boto().head_object(Bucket="artifacts", Key=key)["ETag"])
    return int(found[1]) if found else 0
