"""`railtrack verify` with real servers: all steps, each kind of artifact location, failures, and the clean-up."""

import asyncio
import base64
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from tests.compat.oracle import mlflow_server
from tests.db.with_mlflow import mlflow_interpreter
from tests.faults.http_load import Connection
from tests.servers.certificates import Authority
from tests.servers.front import front
from tests.servers.processes import TIMEOUT_S, die_with_parent
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.s3 import S3Server, s3_server

from railtrack.cli.verify import is_loopback_url

ALL = [
    "health",
    "login",
    "page",
    "browser",
    "version",
    "experiment",
    "run",
    "metric history",
    "artifact",
    "store",
    "read back",
    "clean up",
]
CLEAN = "Run and experiment are deleted"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path_factory.mktemp("server"), workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def verify(folder: Path, url: str, *arguments: str, **environ: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run `railtrack verify`. Return its exit code, and the finding of each step by name."""
    done = command(folder, "verify", url, "--json", *arguments, **environ)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert set(report) == {"railtrack", "url", "verdict", "checks", "seconds"}
    assert "secret" not in done.stdout
    return done.returncode, {check["check"]: check for check in report["checks"]}


def statuses(steps: dict[str, dict[str, Any]], status: str) -> list[str]:
    return [name for name, step in steps.items() if step["status"] == status]


async def left_behind(port: int) -> list[str]:
    """Return the experiments and runs that `railtrack verify` created and did not delete."""
    connection = Connection(port)
    try:
        found = (await connection.post("experiments/search", {"max_results": 1000})).json["experiments"]
        created = [one for one in found if one["name"].startswith("railtrack-verify-")]
        everything = [one["experiment_id"] for one in found]
        runs = (await connection.post("runs/search", {"experiment_ids": everything})).json.get("runs", [])
    finally:
        connection.close()
    return [one["name"] for one in created] + [run["info"]["run_id"] for run in runs]


def test_a_deployed_server_passes_all_steps_and_is_left_unchanged(tmp_path: Path, server: RailtrackServer) -> None:
    code, steps = verify(tmp_path, server.url)
    assert (code, list(steps), statuses(steps, "skipped")) == (0, ALL, ["store"])
    assert len(statuses(steps, "ok")) == len(ALL) - 1
    assert steps["health"]["finding"] == '{"status": "ok"}, the response of Railtrack'
    assert steps["login"]["finding"] == "not required"
    assert steps["clean up"]["finding"].startswith(CLEAN)
    assert asyncio.run(left_behind(server.port)) == []
    kept = server.folder / "data" / "mlartifacts"
    assert [path for path in kept.rglob("*") if path.is_file()] == []
    assert server.logged_errors() == []


def test_each_step_is_printed_with_its_time(tmp_path: Path, server: RailtrackServer) -> None:
    done = command(tmp_path, "verify", server.url)
    assert done.returncode == 0
    head, _, *lines, _, summary = done.stdout.splitlines()
    assert head.endswith(f" verifies {server.url}")
    assert [line[9:25].strip() for line in lines] == ALL
    assert all(line[25:32].strip().replace(".", "").isdigit() for line in lines)
    assert summary.startswith("11 ok, 1 skipped, in ")


@pytest.mark.mlflow
def test_mlflows_own_server_passes_too(tmp_path: Path) -> None:
    with mlflow_server(str(mlflow_interpreter()), f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path) as url:
        code, steps = verify(tmp_path, url)
        assert (code, statuses(steps, "skipped"), statuses(steps, "warning")) == (0, ["store"], [])
        assert steps["health"]["finding"] == "OK, the response of MLflow's server"
        assert asyncio.run(left_behind(urlsplit(url).port or 0)) == []


# Locations of artifacts


def test_an_artifact_is_sent_directly_to_s3_with_the_clients_credentials(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    environ = {**s3.environment, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}/mlflow-artifacts"}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        code, steps = verify(tmp_path, server.url, **s3.environment)
        assert (code, statuses(steps, "ok")) == (0, ALL)
        assert steps["artifact"]["finding"].startswith(f"300,000 bytes directly to s3://{bucket}/mlflow-artifacts/")
        assert s3.objects(bucket) == {}

        code, steps = verify(tmp_path, server.url)
        assert (code, statuses(steps, "warning"), statuses(steps, "skipped")) == (
            0,
            ["artifact"],
            ["store", "read back"],
        )
        assert "Unable to locate credentials" in steps["artifact"]["finding"]
        assert "AWS_ACCESS_KEY_ID" in steps["artifact"]["next_step"]
        assert verify(tmp_path, server.url, "--strict")[0] == 1
        assert asyncio.run(left_behind(server.port)) == []


def test_with_the_servers_destination_and_credentials_the_store_is_read(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    environ = {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{bucket}/kept"}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        code, steps = verify(tmp_path, server.url, **environ)
        assert (code, statuses(steps, "ok")) == (0, ALL)
        assert steps["store"]["finding"].startswith(f"s3://{bucket}/kept/1/")
        assert s3.objects(bucket) == {}

        s3.boto().delete_bucket(Bucket=bucket)
        code, steps = verify(tmp_path, server.url, **environ)
        assert (code, statuses(steps, "problem"), statuses(steps, "skipped")) == (
            1,
            ["artifact"],
            ["store", "read back"],
        )
        assert "NoSuchBucket" in steps["artifact"]["finding"]
        assert asyncio.run(left_behind(server.port)) == []


def test_artifacts_of_a_root_that_is_a_folder_are_written_to_this_machine(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with railtrack_server(
        tmp_path / "server", environment={"MLFLOW_DEFAULT_ARTIFACT_ROOT": str(root)}, workers=1
    ) as server:
        code, steps = verify(tmp_path, server.url)
        assert (code, statuses(steps, "ok")) == (0, [name for name in ALL if name != "store"])
        assert re.fullmatch(rf"300,000 bytes to {root}/1/\w+/artifacts on this machine", steps["artifact"]["finding"])
        assert not root.exists()

        root.write_text("a client on another machine can't write there")
        code, steps = verify(tmp_path, server.url)
        assert (code, statuses(steps, "problem")) == (1, ["artifact"])
        assert steps["artifact"]["finding"].startswith(f"A client here can't write to {root}/")
        assert "Set MLFLOW_DEFAULT_ARTIFACT_ROOT=mlflow-artifacts:/" in steps["artifact"]["next_step"]
        assert steps["clean up"]["finding"].startswith(CLEAN)


@pytest.mark.parametrize(
    "root", ["mlflow-artifacts://{address}/x", "http://{address}/api/2.0/mlflow-artifacts/artifacts"]
)
def test_a_root_on_another_server_is_used_and_reported(tmp_path: Path, server: RailtrackServer, root: str) -> None:
    environ = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": root.format(address=f"127.0.0.1:{server.port}")}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as other:
        code, steps = verify(tmp_path, other.url)
    assert (code, statuses(steps, "problem")) == (1, ["read back"])
    there = f"http://127.0.0.1:{server.port}/api/2.0/mlflow-artifacts/artifacts/"
    assert steps["artifact"]["finding"].startswith(f"300,000 bytes to {there}")
    assert f"The artifact root sends clients to {there}" in steps["read back"]["next_step"]
    assert steps["clean up"]["status"] == "ok"
    assert [path for path in (server.folder / "data" / "mlartifacts").rglob("*") if path.is_file()] == []


def test_a_root_that_the_server_cannot_read_is_a_warning(tmp_path: Path) -> None:
    environ = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "gs://bucket/prefix"}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        code, steps = verify(tmp_path, server.url)
        assert (code, statuses(steps, "warning")) == (0, ["artifact"])
        assert "clients upload artifacts to gs://bucket/prefix/1/" in steps["artifact"]["finding"]
        assert (
            "MLFLOW_DEFAULT_ARTIFACT_ROOT has the scheme gs: clients write artifacts there themselves" in server.log()
        )


# Proxies, logins, and what is no server


async def test_a_url_may_have_a_path_and_a_login(tmp_path: Path, server: RailtrackServer) -> None:
    login = f"Basic {base64.b64encode(b'me:se:cret@').decode()}"
    async with front(server.port, "/team/tracking", login) as proxy:
        address = proxy.url.removeprefix("http://")
        code, steps = await asyncio.to_thread(verify, tmp_path, f"http://me:se%3Acret%40@{address}/")
        assert (code, statuses(steps, "problem")) == (0, [])
        code, steps = await asyncio.to_thread(verify, tmp_path, f"http://me:wrong@{address}")
        assert (code, statuses(steps, "problem")) == (1, ["health"])
        assert "401" in steps["health"]["finding"]
        assert "--token" in steps["health"]["next_step"]
        assert "wrong" not in json.dumps(steps)
    assert await left_behind(server.port) == []


def test_a_server_with_login_is_verified_by_every_kind_of_login(tmp_path: Path) -> None:
    password = "chosen-by-the-operator"
    environ = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": password}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        assert command(server.folder, "users", "create", "ci", "--no-password", **server.environment).returncode == 0
        token = command(server.folder, "tokens", "create", "ci", "verify", **server.environment).stdout.strip()
        logins = [
            ("ci", {"MLFLOW_TRACKING_TOKEN": token}),
            ("admin", {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}),
            ("admin", {"MLFLOW_AUTH_ADMIN_PASSWORD": password}),
        ]
        for user, login in logins:
            code, steps = verify(tmp_path, server.url, **login)
            assert (code, statuses(steps, "skipped"), steps["login"]["finding"]) == (0, ["store"], f"as {user}")
            assert steps["clean up"]["finding"].startswith(CLEAN)
            assert password not in json.dumps(steps)

        for login in ({}, {"MLFLOW_TRACKING_TOKEN": "rtk_wrong"}):
            code, steps = verify(tmp_path, server.url, **login)
            assert (code, statuses(steps, "problem"), statuses(steps, "ok")) == (
                1,
                ["login"],
                ["health", "version", "clean up"],
            )
            assert "users/current returned 401 " in steps["login"]["finding"]
            assert "MLFLOW_TRACKING_TOKEN" in steps["login"]["next_step"]
        reader = {"MLFLOW_TRACKING_TOKEN": reader_token(server)}
        code, steps = verify(tmp_path, server.url, **reader)
        assert (code, statuses(steps, "problem")) == (1, ["experiment"])
        assert steps["clean up"]["finding"] == "Nothing was created."
        assert server.logged_errors() == []


def reader_token(server: RailtrackServer) -> str:
    arguments = ("tokens", "create", "ci", "reader", "--scope", "read")
    return command(server.folder, *arguments, **server.environment).stdout.strip()


def test_the_administrators_password_is_sent_to_this_machine_only() -> None:
    urls = ("http://localhost:5000", "http://127.0.0.1", "https://[::1]:5000/mlflow")
    assert all(is_loopback_url(url) for url in urls)
    others = (
        "http://localhost.example.com",
        "http://localhost@example.com",
        "http://10.0.0.1",
        "http://[",
        "localhost",
    )
    assert not any(is_loopback_url(url) for url in others)


async def test_a_token_is_taken_from_the_flag_or_the_clients_variable(tmp_path: Path, server: RailtrackServer) -> None:
    async with front(server.port, authorization="Bearer t0ken") as proxy:
        assert (await asyncio.to_thread(verify, tmp_path, proxy.url, "--token", "t0ken"))[0] == 0
        code, _ = await asyncio.to_thread(verify, tmp_path, proxy.url, MLFLOW_TRACKING_TOKEN="t0ken")
        assert code == 0
        assert (await asyncio.to_thread(verify, tmp_path, proxy.url))[0] == 1


async def test_a_server_behind_https_with_a_static_prefix_passes(tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    environ = {"MLFLOW_STATIC_PREFIX": "/team/tracking"}
    with railtrack_server(tmp_path / "server", environment=environ, workers=1) as server:
        async with front(server.port, tls=authority.server("127.0.0.1")) as proxy:
            below = f"{proxy.url}/team/tracking"
            code, steps = await asyncio.to_thread(verify, tmp_path, below, SSL_CERT_FILE=str(authority.bundle))
            assert (code, statuses(steps, "skipped"), len(statuses(steps, "ok"))) == (0, ["store"], len(ALL) - 1)
            code, steps = await asyncio.to_thread(verify, tmp_path, below)
            assert (code, statuses(steps, "problem")) == (1, ["health"])
            assert "certificate is not trusted" in steps["health"]["finding"]
        code, steps = await asyncio.to_thread(verify, tmp_path, server.url)
        assert code == 1
        assert "All paths of this server begin with /team/tracking/." in steps["page"]["finding"]


async def test_a_server_that_is_not_a_tracking_server_is_reported(tmp_path: Path) -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        writer.close()

    other = await asyncio.start_server(hello, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    code, steps = await asyncio.to_thread(verify, tmp_path, f"http://me:secret@127.0.0.1:{port}")
    assert (code, steps["health"]["finding"]) == (1, "/health returned 200 hello")
    assert statuses(steps, "skipped") == ALL[1:-1]
    assert steps["clean up"]["finding"] == "Nothing was created."
    other.close()
    await other.wait_closed()
    code, steps = await asyncio.to_thread(verify, tmp_path, f"http://127.0.0.1:{port}")
    assert steps["health"]["finding"] == f"No response from http://127.0.0.1:{port}: Connection refused"
    assert "MLFLOW_PORT" in steps["health"]["next_step"]


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://host", "http://", "http://host:port", "http://host:0"])
def test_an_invalid_url_is_reported_in_one_line(tmp_path: Path, url: str) -> None:
    done = command(tmp_path, "verify", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Invalid URL of the server. Use a URL such as https://")


# Timeouts and interrupts


async def test_the_time_for_all_steps_is_limited_and_the_run_is_deleted(
    tmp_path: Path, server: RailtrackServer
) -> None:
    async with front(server.port, holds="PUT ") as proxy:
        code, steps = await asyncio.to_thread(verify, tmp_path, proxy.url, "--timeout", "5")
    assert (code, statuses(steps, "problem")) == (1, ["time"])
    assert steps["time"]["finding"] == "The steps timed out after 5 s."
    assert steps["clean up"]["finding"].startswith(CLEAN)
    assert await left_behind(server.port) == []


@pytest.mark.parametrize(
    ("number", "held"), [(signal.SIGINT, "PUT "), (signal.SIGTERM, "PUT "), (signal.SIGINT, "/experiments/get?")]
)
async def test_an_interrupt_deletes_the_run(
    tmp_path: Path, server: RailtrackServer, number: signal.Signals, held: str
) -> None:
    async with front(server.port, holds=held) as proxy:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("railtrack"),
            "verify",
            proxy.url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        async with asyncio.timeout(TIMEOUT_S):
            await proxy.held.wait()
            process.send_signal(number)
            output, errors = await process.communicate()
    assert process.returncode == 130
    assert errors.decode() == "Interrupted.\n"
    assert CLEAN in output.decode().splitlines()[-1]
    assert await left_behind(server.port) == []
