"""`railtrack doctor` as a command: its output, exit code, and the messages that it shares with the server."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.postgres import PostgresCluster, postgres_cluster
from tests.servers.processes import TIMEOUT_S, die_with_parent, free_port
from tests.servers.railtrack import command, railtrack_server
from tests.servers.s3 import S3Server, s3_server

import railtrack

FORM = {
    "railtrack": str,
    "mlflow": str,
    "python": str,
    "verdict": str,
    "settings": list,
    "checks": list,
    "seconds": float,
}
"""What docs/doctor.md promises of --json."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    with postgres_cluster(fsync=False, password="very-secret") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.new_bucket("vision-platform-prod")
        yield server


def doctor(folder: Path, *arguments: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Run `railtrack doctor`, and return its exit code and report."""
    done = command(folder, "doctor", "--json", *arguments, **environ)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert {name: type(member) for name, member in report.items()} == FORM
    for check in report["checks"]:
        assert set(check) == {"check", "status", "finding", "next_step", "seconds"}
        assert check["status"] in ("ok", "warning", "problem", "skipped")
    return done.returncode, report


def statuses(report: dict[str, Any], status: str) -> list[str]:
    return [check["check"] for check in report["checks"] if check["status"] == status]


def free() -> str:
    return str(free_port())


def test_the_defaults_have_no_problem_and_nothing_is_created(tmp_path: Path) -> None:
    code, report = doctor(tmp_path, "--port", free())
    assert (code, statuses(report, "problem"), statuses(report, "skipped")) == (0, [], [])
    assert report["mlflow"] == railtrack.MLFLOW_VERSION
    assert list(tmp_path.iterdir()) == []
    [workers] = [one for one in report["settings"] if one["name"] == "GUNICORN_WORKERS"]
    assert workers == {"name": "GUNICORN_WORKERS", "value": "2", "source": "default"}


def test_every_setting_is_shown_with_its_source_but_no_secret(
    tmp_path: Path, cluster: PostgresCluster, s3: S3Server
) -> None:
    (tmp_path / "secret").write_text(f"{s3.secret_key}\n")
    environ = {
        "DATABASE_URL": cluster.url,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
        "AWS_S3_ENDPOINT_URL": s3.url,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod/mlflow-artifacts",
    }
    code, report = doctor(tmp_path, "--port", free(), **environ)
    assert code == 0, report
    found = {one["name"]: (one["value"], one["source"]) for one in report["settings"]}
    assert found["MLFLOW_BACKEND_STORE_URI"] == (cluster.url.replace("very-secret", "***"), "DATABASE_URL")
    assert found["AWS_SECRET_ACCESS_KEY"] == ("***", "AWS_SECRET_ACCESS_KEY_FILE")
    assert found["MLFLOW_PORT"][1] == "--port"
    assert found["AWS_REGION"] == ("us-east-1", "default")
    assert {"database login", "database schema", "artifact store", "artifact store clock"} <= set(
        statuses(report, "ok")
    )
    text = command(tmp_path, "doctor", **environ).stdout + json.dumps(report)
    assert "very-secret" not in text
    assert s3.secret_key not in text
    assert s3.access_key not in text
    assert s3.objects("vision-platform-prod") == {}


def test_a_warning_fails_in_strict_mode_only(tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--auth", "off", "--port", free())
    code, report = doctor(tmp_path, *arguments)
    assert (code, report["verdict"]) == (0, "warning")
    assert "login" in statuses(report, "warning")
    assert doctor(tmp_path, *arguments, "--strict")[0] == 1


def test_every_invalid_setting_is_reported_and_the_rest_is_checked(tmp_path: Path) -> None:
    environ = {"GUNICORN_WORKERS": "many", "PORT": "http", "MLFLOW_HOST": "http://x"}
    code, report = doctor(tmp_path, **environ)
    findings = [check["finding"] for check in report["checks"] if check["check"] == "settings"]
    assert code == 1
    assert findings == [
        "Invalid host in MLFLOW_HOST: 'http://x'.",
        "Invalid port in PORT: 'http'.",
        "Invalid number of workers in GUNICORN_WORKERS: 'many'.",
    ]
    assert statuses(report, "skipped") == ["database", "port", "login", "single sign-on", "browsers", "memory"]
    assert "artifact folder" in [check["check"] for check in report["checks"]]


def test_an_invalid_database_address_is_reported_once_and_the_store_is_still_checked(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "mysql://me@host/db", "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket"}
    code, report = doctor(tmp_path, **environ)
    assert (code, statuses(report, "problem")) == (1, ["database address", "artifact store"])
    assert statuses(report, "skipped") == ["database", "folders"]


# The four errors of the guide, with the messages of the server


def problem_of_both(folder: Path, environ: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the last line of the server and the one problem that the doctor reports, which have the same message."""
    environ = {"RAILTRACK_DB_WAIT_S": "0", "MLFLOW_PORT": free(), **environ}
    served = command(folder, "server", **environ)
    assert served.returncode == 1
    code, report = doctor(folder, **environ)
    assert code == 1
    [found] = [check for check in report["checks"] if check["status"] == "problem"]
    line = served.stderr.splitlines()[-1]
    assert line == f"Error: {' '.join(filter(None, (found['finding'], found['next_step'])))}"
    return line, found


def test_no_postgresql_at_the_address_is_reported_as_by_the_server(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free()}"
    line, found = problem_of_both(
        tmp_path, {"MLFLOW_BACKEND_STORE_URI": f"postgresql://me:very-secret@{address}/railway"}
    )
    assert line.startswith(
        f"Error: Could not connect to backend store postgresql://me:***@{address}/railway (Connection refused)."
    )
    assert "Check MLFLOW_BACKEND_STORE_URI (or DATABASE_URL)" in found["next_step"]
    assert found["check"] == "database address"


def test_a_host_without_an_address_is_reported_as_by_the_server(tmp_path: Path) -> None:
    line, found = problem_of_both(
        tmp_path, {"DATABASE_URL": "postgresql://me@postgres.railway.internal.invalid/railway"}
    )
    assert "Could not connect to backend store" in line
    assert found["check"] == "database address"


def test_a_wrong_password_is_reported_as_by_the_server(tmp_path: Path, cluster: PostgresCluster) -> None:
    line, found = problem_of_both(tmp_path, {"DATABASE_URL": cluster.url.replace("very-secret", "not-it")})
    assert 'password authentication failed for user "postgres"' in line
    assert "not-it" not in line
    assert (found["check"], found["next_step"]) == ("database login", "Correct the user and the password.")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials: an s3:// location"),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAWRONG"},
            "rejects the probe's put: the bucket 'vision-platform-prod' at http://127.0.0.1:",
        ),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://no-such-bucket/x"}, "NoSuchBucket"),
    ],
)
def test_errors_of_the_store_are_reported_as_by_the_server(
    tmp_path: Path, s3: S3Server, changed: dict[str, str], message: str
) -> None:
    root = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod/mlflow-artifacts"}
    line, found = problem_of_both(tmp_path, {**s3.environment, **root, **changed})
    assert message in line
    assert found["check"] == "artifact store"


def test_a_port_in_use_is_reported_with_the_process_that_uses_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = command(tmp_path, "server", MLFLOW_PORT=free(), PORT=str(port))
        code, report = doctor(tmp_path, MLFLOW_PORT=free(), PORT=str(port))
    [found] = [check for check in report["checks"] if check["status"] == "problem"]
    assert (served.returncode, code) == (1, 1)
    message = f"PORT: cannot listen on 127.0.0.1 port {port} (Address already in use)."
    assert served.stderr.splitlines()[-1] == f"Error: {message} {found['next_step']}"
    assert found["finding"].startswith(f"{message} It is used by ")
    assert "(process " in found["finding"]


def test_a_port_that_is_not_a_number_is_reported_as_by_the_server(tmp_path: Path) -> None:
    line, found = problem_of_both(tmp_path, {"PORT": "http"})
    assert line.startswith("Error: Invalid port in PORT: 'http'. Use a number from 1 to 65535.")
    assert found["check"] == "settings"


# Beside a running server


def test_a_running_server_is_not_a_problem(tmp_path: Path, cluster: PostgresCluster) -> None:
    database = cluster.url
    with railtrack_server(tmp_path / "server", database) as server:
        environ = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_PORT": str(server.port)}
        code, report = doctor(tmp_path, **environ)
        assert code == 0, report
        [port] = [check for check in report["checks"] if check["check"].startswith("port ")]
        assert port["finding"] == (f"127.0.0.1:{server.port} (MLFLOW_PORT): used by a running Railtrack, ready")
        assert server.logged_errors() == []


def test_a_sqlite_file_in_use_is_read_and_not_changed(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server") as server:
        file = server.folder / "data" / "mlflow.db"
        before = file.stat().st_mtime_ns
        code, report = doctor(tmp_path, RAILTRACK_DATA=str(server.folder / "data"), MLFLOW_PORT=str(server.port))
        assert code == 0, report
        assert file.stat().st_mtime_ns == before
    [schema] = [check for check in report["checks"] if check["check"] == "database schema"]
    assert schema["finding"].startswith("MLflow's schema of revision")


class Silent:
    """A server that accepts connections and never responds. `asked`: a client has sent something."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            self.asked.set()
        await reader.read(-1)
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    silent = Silent()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()


async def test_a_database_that_never_responds_is_timed_out(tmp_path: Path, silent: Silent) -> None:
    uri = f"postgresql://me@127.0.0.1:{silent.port}/db?connect_timeout=1"
    began = time.monotonic()
    code, report = await asyncio.to_thread(doctor, tmp_path, "--port", free(), DATABASE_URL=uri)
    assert time.monotonic() - began < 60
    assert (code, statuses(report, "problem")) == (1, ["database login"])
    [found] = [check for check in report["checks"] if check["status"] == "problem"]
    assert found["finding"].startswith("Could not connect to backend store")


async def test_an_interrupt_prints_no_traceback(tmp_path: Path, silent: Silent) -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("railtrack"),
        "doctor",
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": f"postgresql://me@127.0.0.1:{silent.port}/db"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    async with asyncio.timeout(TIMEOUT_S):
        await silent.asked.wait()
    process.send_signal(signal.SIGINT)
    assert await process.communicate() == (b"", b"Interrupted.\n")
    assert process.returncode == 130
