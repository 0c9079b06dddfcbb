"""`railtrack server` with S3: startup messages, failed starts, and artifacts through real workers."""

import hashlib
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.servers.processes import TIMEOUT_S, free_port, wait_until
from tests.servers.railtrack import railtrack_server
from tests.servers.s3 import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def environment(s3: S3Server) -> dict[str, str]:
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    return {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/artifacts"}


def call(method: str, url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    sent = {"content-type": "application/octet-stream", **headers}
    request = urllib.request.Request(url, data, sent, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post(url: str, body: Any) -> Any:
    status, answer = call("POST", url, json.dumps(body).encode(), **{"content-type": "application/json"})
    assert status == 200, answer
    return json.loads(answer)


def test_the_start_logs_that_credentials_are_present(tmp_path: Path, environment: dict[str, str]) -> None:
    with railtrack_server(tmp_path, environment=environment) as server:
        lines = server.log().splitlines()
        assert lines.index("AWS credentials detected") < lines.index("Starting MLflow server...")
        assert environment["AWS_SECRET_ACCESS_KEY"] not in server.log()
        assert call("GET", f"{server.url}/ready") == (200, b'{"database":"ok","artifact_store":"ok"}')


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "Error: Unable to locate credentials: AWS_ACCESS_KEY_ID is not set."),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "Error: The artifact store rejects the probe's put: the bucket 'bucket-"),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3://not-there"}, "NoSuchBucket: The specified bucket does not exist."),
        ({"MLFLOW_ARTIFACTS_DESTINATION": "s3:///x"}, "does not name a bucket: s3://bucket/prefix."),
        (
            {"AWS_S3_ENDPOINT_URL": "http://other"},
            "Error: AWS_S3_ENDPOINT_URL and AWS_ENDPOINT_URL are set to different",
        ),
    ],
)
def test_a_store_setting_that_cannot_work_ends_the_start_with_one_line(
    tmp_path: Path, environment: dict[str, str], changed: dict[str, str], message: str
) -> None:
    with (
        pytest.raises(RuntimeError, match="railtrack ended") as caught,
        railtrack_server(tmp_path, environment=environment | changed),
    ):
        pass
    last = str(caught.value).splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


def test_an_unreachable_store_does_not_prevent_the_start(tmp_path: Path, environment: dict[str, str]) -> None:
    away = {**environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    # So that it has asked as often as it does, however long that takes.
    constants = {"railtrack.artifacts.s3.probe.TIMEOUT_S": TIMEOUT_S}
    with railtrack_server(tmp_path, environment=away, constants=constants) as server:
        assert "The artifact store does not answer: the bucket" in server.log()
        status, body = call("GET", f"{server.url}/ready")
        assert (status, body) == (503, b'{"database":"ok","artifact_store":"unavailable"}')
        assert "Not ready: the artifact store: The artifact store does not answer" in server.log()
        proxy = f"{server.url}/api/2.0/mlflow-artifacts/artifacts"
        assert call("PUT", f"{proxy}/a", b"x")[0] == call("GET", f"{proxy}/a")[0] == 429


def test_artifacts_are_transferred_through_the_server_unchanged(tmp_path: Path, environment: dict[str, str]) -> None:
    large = os.urandom(20_000_001)
    with railtrack_server(tmp_path, environment=environment) as server:
        proxy = f"{server.url}/api/2.0/mlflow-artifacts/artifacts"
        assert call("PUT", f"{proxy}/1/a%20b/%EB%AA%A8%EB%8D%B8.bin", large) == (200, b"")
        status, body = call("GET", f"{proxy}/1/a%20b/%EB%AA%A8%EB%8D%B8.bin")
        assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(large).digest())
        ranged = {"range": "bytes=19000000-19000009"}
        assert call("GET", f"{proxy}/1/a%20b/%EB%AA%A8%EB%8D%B8.bin", **ranged) == (206, large[19000000:19000010])
        listed = json.loads(call("GET", f"{proxy}?path=1/a%20b")[1])
        assert listed == {"files": [{"path": "모델.bin", "is_dir": False, "file_size": len(large)}]}
        assert call("DELETE", f"{proxy}/1") == (200, b"{}")
        assert call("GET", f"{proxy}/1/a%20b/%EB%AA%A8%EB%8D%B8.bin")[0] == 404
        assert server.logged_errors() == []


def test_a_client_that_disconnects_leaves_no_parts(tmp_path: Path, environment: dict[str, str], s3: S3Server) -> None:
    bucket = environment["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2]
    with railtrack_server(tmp_path, environment=environment) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = b"PUT /api/2.0/mlflow-artifacts/artifacts/a HTTP/1.1\r\nHost: localhost\r\n"
            client.sendall(head + b"Content-Length: 30000000\r\n\r\n" + b"x" * 20_000_000)
            wait_until(lambda: s3.unfinished_uploads(bucket) == ["artifacts/a"])
        wait_until(lambda: s3.unfinished_uploads(bucket) == [])
        assert s3.objects(bucket) == {}
        assert server.logged_errors() == []


def test_artifacts_that_clients_wrote_directly_are_shown(
    tmp_path: Path, environment: dict[str, str], s3: S3Server
) -> None:
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    with railtrack_server(
        tmp_path, environment={**environment, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}/root"}
    ) as server:
        api = f"{server.url}/api/2.0/mlflow"
        info = post(f"{api}/runs/create", {"experiment_id": "0"})["run"]["info"]
        assert info["artifact_uri"] == f"s3://{bucket}/root/0/{info['run_id']}/artifacts"
        key = f"root/0/{info['run_id']}/artifacts/model/a#1.txt"
        s3.boto().put_object(Bucket=bucket, Key=key, Body=b"written by a client")
        _, listing = call("GET", f"{api}/artifacts/list?run_id={info['run_id']}&path=model")
        assert json.loads(listing) == {
            "root_uri": info["artifact_uri"],
            "files": [{"path": "model/a#1.txt", "is_dir": False, "file_size": 19}],
        }
        shown = call("GET", f"{server.url}/get-artifact?run_uuid={info['run_id']}&path=model/a%231.txt")
        assert shown == (200, b"written by a client")
