"""Conditions of platforms: other users, root-owned volumes, start commands, and the errors of the guide."""

import json
import os
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from tests.image.guide import BUCKET, Services
from tests.servers.container import Container, ContainerOptions, container, run
from tests.servers.image import Image
from tests.servers.postgres import PostgresCluster
from tests.servers.processes import free_port
from tests.servers.s3 import S3Server, s3_server

ENTRY = "/mlflow/docker-entrypoint.sh"
ARBITRARY_USER = "1000680000:0"
"""A user as OpenShift assigns it: any id, without an entry in the image, and group 0."""


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Return a folder owned by the image's user."""
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    return folder


def call(server: Container, method: str, path: str, data: bytes | None = None, content: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(f"{server.url}{path}", data, {"content-type": content}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_any_user_may_run_the_entry_point_as_start_command_on_a_read_only_file_system(
    image: Image, services: Services, tmp_path: Path
) -> None:
    options = ContainerOptions(
        user=ARBITRARY_USER, arguments=[ENTRY]
    )  # the platform passes its start command to the entry point
    with container(image, tmp_path, {**services.environment, "HOME": "/"}, options) as server:
        assert call(server, "GET", "/ready") == (200, b'{"database":"ok","artifact_store":"ok"}')
        assert server.health().code == 0
        assert server.logged_errors() == []


def test_data_in_a_volume_survives_a_restart(image: Image, volume: Path, tmp_path: Path) -> None:
    with container(image, tmp_path, {"RAILTRACK_AUTH": "off"}, ContainerOptions(data=volume)) as server:
        assert (
            call(server, "POST", "/api/2.0/mlflow/experiments/create", b'{"name":"kept"}', "application/json")[0] == 200
        )
        assert call(server, "PUT", "/api/2.0/mlflow-artifacts/artifacts/1/a.txt", b"kept")[0] == 200
        server.stop()
        server.start()
        assert call(server, "GET", "/api/2.0/mlflow-artifacts/artifacts/1/a.txt") == (200, b"kept")
        assert b'"kept"' in call(server, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=1")[1]
        assert server.logged_errors() == []
    assert {path.name for path in volume.iterdir()} >= {"mlflow.db", "mlartifacts"}


def start_error(image: Image, environment: dict[str, str], options: ContainerOptions | None = None) -> str:
    """Start the server, check that it fails with one error line, and return that line."""
    done = run(image, environment, options or ContainerOptions())
    assert done.returncode == 1, done.stderr
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "Error: " in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0].partition("Error: ")[2]


def test_a_root_owned_volume_is_reported_in_one_line(image: Image, tmp_path: Path) -> None:
    """Railway mounts volumes with owner root."""
    assert start_error(image, {}, ContainerOptions(data=tmp_path)) == (
        "RAILTRACK_DATA: the server runs as user 1000, who may not write to /mlflow/data of user 0. "
        "Change the owner of the folder (chown), or run the server as its owner; on Railway, set RAILWAY_RUN_UID=0."
    )


def test_root_may_use_a_root_owned_volume(image: Image, tmp_path: Path) -> None:
    """RAILWAY_RUN_UID=0 makes Railway run the container as root."""
    (tmp_path / "volume").mkdir()
    with container(image, tmp_path, {}, ContainerOptions(user="0:0", data=tmp_path / "volume")) as server:
        assert call(server, "GET", "/ready")[0] == 200


def test_no_module_is_compiled_at_startup(image: Image, services: Services, tmp_path: Path) -> None:
    """The official base image has no bytecode of the standard library, and user 1000 cannot write any."""
    with container(image, tmp_path, {**services.environment, "PYTHONVERBOSE": "1"}, ContainerOptions()) as server:
        call(server, "GET", "/ready")
        log = server.log()
    assert len(re.findall(r"^# code object from '/\S+\.pyc'", log, re.M)) > 150
    assert re.findall(r"^# code object from (/\S+\.py)$", log, re.M) == []


def test_a_missing_data_volume_is_reported_in_one_line(image: Image) -> None:
    assert start_error(image, {}).startswith(
        "RAILTRACK_DATA: /mlflow/data is on a read-only file system. Mount a volume"
    )


def test_arguments_are_flags_of_the_server_or_another_command(image: Image) -> None:
    assert start_error(image, {}, ContainerOptions(arguments=["--port", "x"])).startswith(
        "Invalid port in --port: 'x'."
    )
    done = run(image, {}, ContainerOptions(arguments=["railtrack", "--version"]))
    assert re.fullmatch(r"railtrack \d+\.\d+\.\d+\n", done.stdout)
    assert run(image, {}, ContainerOptions(arguments=["sh", "-c", "exit 7"])).returncode == 7


def test_a_wrong_password_is_reported_in_one_line(image: Image, services: Services, cluster: PostgresCluster) -> None:
    wrong = re.sub(r":[^:@]+@", ":wrong@", services.database)
    line = start_error(image, {**services.environment, "MLFLOW_BACKEND_STORE_URI": wrong})
    assert line.startswith(
        'MLFLOW_BACKEND_STORE_URI (or DATABASE_URL): password authentication failed for user "postgres"'
    )
    assert "postgres:***@" in line


def test_the_server_waits_for_the_database_logs_it_and_times_out(image: Image, services: Services) -> None:
    port = free_port()
    unreachable = f"postgresql://postgres:secret@127.0.0.1:{port}/railway"
    environment = {**services.environment, "MLFLOW_BACKEND_STORE_URI": unreachable, "RAILTRACK_DB_WAIT_S": "12"}
    done = run(image, environment, ContainerOptions())
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.search(rf"\[INFO\] Waited \d+ of 12 s for PostgreSQL at 127\.0\.0\.1:{port}: ", output)
    [line] = [line for line in output.splitlines() if "Error: " in line]
    assert "Could not connect to backend store postgresql://postgres:***@127.0.0.1" in line
    assert "secret" not in output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "Unable to locate credentials: AWS_ACCESS_KEY_ID is not set."),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://not-there/mlflow-artifacts"}, "NoSuchBucket"),
        ({"MLFLOW_PORT": "http"}, "Invalid port in MLFLOW_PORT: 'http'. Use a number from 1 to 65535."),
    ],
)
def test_an_invalid_value_is_reported_in_one_line(
    changed: dict[str, str], message: str, image: Image, services: Services
) -> None:
    assert message in start_error(image, {**services.environment, **changed})


def test_a_port_in_use_is_reported_with_its_setting(image: Image, services: Services) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        line = start_error(image, {**services.environment, "PORT": str(port), "MLFLOW_PORT": str(free_port())})
    assert line.startswith(f"PORT: cannot listen on 0.0.0.0 port {port} (Address already in use)")


def test_a_lost_database_is_logged_and_used_again_after_it_recovers(
    image: Image, services: Services, cluster: PostgresCluster, tmp_path: Path
) -> None:
    one_worker = {**services.environment, "GUNICORN_WORKERS": "1"}
    with container(image, tmp_path, one_worker, ContainerOptions()) as server:
        assert call(server, "GET", "/ready")[0] == 200
        cluster.stop()
        try:
            assert call(server, "GET", "/health")[0] == 200
            assert call(server, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")[0] == 429
        finally:
            cluster.start()
        assert call(server, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")[0] == 200
        shown = f"postgresql://postgres:***@{services.database.rpartition('@')[2]}"
        lost = [
            line for line in server.log().splitlines() if f"Lost the connection to the backend store {shown}" in line
        ]
        assert "retry until it is back: check that PostgreSQL runs" in lost[0]
        assert f"The backend store answers again: {shown}" in server.log()
        assert "Traceback" not in server.log()


def test_revoked_keys_are_logged_and_reported_by_ready(image: Image, services: Services, tmp_path: Path) -> None:
    with s3_server() as s3:
        s3.new_bucket(BUCKET)
        environment = Services(services.database, s3).environment
        with container(image, tmp_path, environment, ContainerOptions()) as server:
            run = b'{"experiment_id":"0"}'
            _, created = call(server, "POST", "/api/2.0/mlflow/runs/create", run, "application/json")
            run_id = json.loads(created)["run"]["info"]["run_id"]
            revoke_keys(s3)
            assert call(server, "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run_id}")[0] == 503
            status, body = call(server, "GET", "/ready")
            assert (status, body) == (503, b'{"database":"ok","artifact_store":"unavailable"}')
            [line, *_] = [line for line in server.log().splitlines() if "InvalidAccessKeyId" in line]
            assert f"artifact store: the bucket '{BUCKET}' at {s3.url}: InvalidAccessKeyId" in line


def revoke_keys(s3: S3Server) -> None:
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    iam = boto3.client("iam", endpoint_url=s3.url, region_name="us-east-1", **keys)
    iam.delete_access_key(UserName="tests", AccessKeyId=s3.access_key)
