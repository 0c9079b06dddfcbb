"""`railtrack verify --training` with real servers: the guide's closing points, and what it advises if one fails."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.test_verify import CLEAN, left_behind, reader_token, statuses, verify
from tests.compat.oracle import mlflow_server
from tests.db.with_mlflow import mlflow_interpreter
from tests.faults.http_load import Connection
from tests.servers.processes import free_port
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.s3 import S3Server, s3_server

POINTS = ["backend", "training services", "training", "web interface", "artifacts", "clean up"]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.new_bucket(f"bucket-{uuid4()}")


@pytest.fixture(scope="module")
def server(s3: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    """Run a server as in the guide: with login, and artifacts that clients send to the bucket."""
    environ = {"RAILTRACK_AUTH": "on", "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}/mlflow-artifacts"}
    folder = tmp_path_factory.mktemp("server")
    with railtrack_server(folder, environment=environ | s3.environment, workers=1) as server:
        arguments = ("users", "create", "ci", "--no-password")
        assert command(server.folder, *arguments, **server.environment).returncode == 0
        yield server
        assert server.logged_errors() == []


@pytest.fixture(scope="module")
def login(server: RailtrackServer) -> dict[str, str]:
    made = command(server.folder, "tokens", "create", "ci", "verify", **server.environment)
    return {"MLFLOW_TRACKING_TOKEN": made.stdout.strip()}


def client_keys(s3: S3Server) -> dict[str, str]:
    """Return the variables of the guide's training services."""
    return {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "MLFLOW_S3_ENDPOINT_URL": s3.url,
    }


def test_a_deployed_server_passes_all_points_and_is_left_unchanged(
    tmp_path: Path, server: RailtrackServer, login: dict[str, str], s3: S3Server, bucket: str
) -> None:
    code, points = verify(tmp_path, server.url, "--training", **login, **client_keys(s3))
    assert (code, statuses(points, "ok")) == (0, POINTS)
    assert points["backend"]["finding"] == f"MLFLOW_TRACKING_URI={server.url} works, login as ci"
    assert f"MLFLOW_S3_ENDPOINT_URL={s3.url}" in points["training services"]["finding"]
    assert points["training"]["finding"].startswith("20 epochs, loss 0.")
    assert f"{server.url}/#/experiments/" in points["web interface"]["finding"]
    assert f"s3://{bucket}/mlflow-artifacts/" in points["artifacts"]["finding"]
    assert points["clean up"]["finding"].startswith(CLEAN)
    assert s3.objects(bucket) == {}


def test_without_keys_the_point_of_the_training_services_names_them(
    tmp_path: Path, server: RailtrackServer, login: dict[str, str]
) -> None:
    code, points = verify(tmp_path, server.url, "--training", **login)
    assert (code, statuses(points, "problem"), statuses(points, "skipped")) == (
        1,
        ["training services"],
        ["artifacts"],
    )
    assert "AWS_ACCESS_KEY_ID" in points["training services"]["next_step"]
    assert points["training"]["status"] == points["web interface"]["status"] == "ok"


def test_the_endpoint_variable_of_the_server_is_not_one_of_clients(
    tmp_path: Path, server: RailtrackServer, login: dict[str, str], s3: S3Server
) -> None:
    keys = client_keys(s3)
    keys["AWS_S3_ENDPOINT_URL"] = keys.pop("MLFLOW_S3_ENDPOINT_URL")
    code, points = verify(tmp_path, server.url, "--training", **login, **keys)
    assert (code, statuses(points, "warning")) == (0, ["training services"])
    assert f"Set MLFLOW_S3_ENDPOINT_URL={s3.url}" in points["training services"]["next_step"]


def test_a_store_that_cannot_be_reached_from_here_is_the_problem_of_the_artifacts(
    tmp_path: Path, server: RailtrackServer, login: dict[str, str], s3: S3Server
) -> None:
    keys = client_keys(s3) | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    code, points = verify(tmp_path, server.url, "--training", **login, **keys)
    assert (code, statuses(points, "problem")) == (1, ["artifacts"])
    assert "endpoint (MLFLOW_S3_ENDPOINT_URL" in points["artifacts"]["next_step"]
    assert points["training"]["status"] == "ok"
    assert "artifact" in points["clean up"]["finding"], "what is left, or that nothing is"


def test_a_key_that_the_store_rejects_is_the_problem_of_the_artifacts(
    tmp_path: Path, server: RailtrackServer, login: dict[str, str], s3: S3Server
) -> None:
    keys = client_keys(s3) | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    code, points = verify(tmp_path, server.url, "--training", **login, **keys)
    assert (code, statuses(points, "problem")) == (1, ["artifacts"])
    assert "SignatureDoesNotMatch" in points["artifacts"]["finding"]
    assert "the key may put, get, list and delete" in points["artifacts"]["next_step"]


def test_a_bucket_that_is_gone_is_reported_also_if_the_server_stores(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    environ = {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/kept"}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        code, points = verify(tmp_path, server.url, "--training")
        assert (code, statuses(points, "ok")) == (0, POINTS)
        assert "A URL and a login are enough" in points["training services"]["finding"]
        s3.boto().delete_bucket(Bucket=bucket)
        code, points = verify(tmp_path, server.url, "--training")
        assert (code, statuses(points, "problem")) == (1, ["artifacts"])
        assert "NoSuchBucket" in points["artifacts"]["finding"]
        assert "railtrack doctor" in points["artifacts"]["next_step"]
        assert asyncio.run(left_behind(server.port)) == []


def test_a_login_that_may_only_read_needs_edit(tmp_path: Path, server: RailtrackServer, login: dict[str, str]) -> None:
    reader = {"MLFLOW_TRACKING_TOKEN": reader_token(server)}
    code, points = verify(tmp_path, server.url, "--training", **reader)
    assert (code, statuses(points, "problem")) == (1, ["training services"])
    assert "MLFLOW_AUTH_DEFAULT_PERMISSION=EDIT" in points["training services"]["next_step"]
    assert statuses(points, "skipped") == ["training", "web interface", "artifacts"]
    assert points["clean up"]["finding"] == "Nothing was created."


def test_a_server_that_is_away_or_rejects_the_login_fails_the_first_point(
    tmp_path: Path, server: RailtrackServer
) -> None:
    for url, environ, advice in [
        (f"http://127.0.0.1:{free_port()}", {}, "Check that the service runs"),
        (server.url, {"MLFLOW_TRACKING_TOKEN": "rtk_wrong"}, "Set MLFLOW_TRACKING_TOKEN"),
    ]:
        code, points = verify(tmp_path, url, "--training", **environ)
        assert (code, statuses(points, "problem"), statuses(points, "skipped")) == (1, ["backend"], POINTS[1:5])
        assert points["backend"]["next_step"].startswith(advice)
        assert points["clean up"]["finding"] == "Nothing was created."


def test_the_run_can_be_kept_to_look_at_its_page(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server", workers=1) as server:
        done = command(tmp_path, "verify", server.url, "--training", "--keep")
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        run_id = next(line for line in lines if " web interface " in line).rpartition("/")[2]
        assert "Kept, as --keep requests: the experiment railtrack-verify-" in lines[-3]
        assert asyncio.run(_status(server.port, run_id)) == "FINISHED"
        assert [path for path in (server.folder / "data" / "mlartifacts").rglob("*") if path.is_file()]


async def _status(port: int, run_id: str) -> str:
    connection = Connection(port)
    try:
        found = (await connection.post("runs/search", {"experiment_ids": ["1"]})).json["runs"]
    finally:
        connection.close()
    [status] = [run["info"]["status"] for run in found if run["info"]["run_id"] == run_id]
    return str(status)


@pytest.mark.mlflow
def test_mlflows_own_server_passes_too(tmp_path: Path) -> None:
    with mlflow_server(str(mlflow_interpreter()), f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path) as url:
        code, points = verify(tmp_path, url, "--training")
        assert (code, statuses(points, "ok")) == (0, POINTS)
