"""docs/doctor.md: what it shows of doctor and verify is what they print, numbers and names of the moment apart."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from tests.docs.pages import DOCS
from tests.servers.postgres import postgres_cluster
from tests.servers.processes import free_port
from tests.servers.railtrack import command, railtrack_server
from tests.servers.s3 import s3_server

from railtrack.checks.memory import MB, idle_memory, memory_needed

pytestmark = pytest.mark.slow

PAGE = (DOCS / "doctor.md").read_text()
GOOD, BAD, VISIT, TRAINING = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
OF_THE_MACHINE = ("memory", "file descriptors", "database distance")
"""Checks whose outcome depends on where the tests run."""


class Deployment(NamedTuple):
    folder: Path
    environ: dict[str, str]

    def run(self, *arguments: str, **changed: str) -> str:
        environ = {**self.environ, "MLFLOW_PORT": str(free_port()), **changed}
        return command(self.folder, *arguments, **environ).stdout


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return the deployment of the guide."""
    folder = tmp_path_factory.mktemp("deployment")
    with postgres_cluster(fsync=False, password="secret") as cluster, s3_server() as s3:
        asyncio.run(create_database(cluster.url))
        s3.new_bucket("vision-platform-prod")
        environ = {
            "MLFLOW_BACKEND_STORE_URI": cluster.database_url("railway"),
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://vision-platform-prod/mlflow-artifacts",
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_S3_ENDPOINT_URL": s3.url,
            "MLFLOW_HOST": "0.0.0.0",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_THREADS": "4",
            "RAILTRACK_DATA": str(folder / "data"),
        }
        yield Deployment(folder, environ)


async def create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE DATABASE railway")
    await connection.close()


def shape(printed: str, folder: Path | None = None) -> list[str]:
    """Return the lines without numbers, ids, the width of columns, and what depends on the machine."""
    text = printed.replace(f"{folder}/data", "/mlflow/data") if folder else printed
    text = re.sub(r"\b[0-9a-f]{12,32}\b", "ID", text)
    text = re.sub(r"\d[\d.,]*", "0", re.sub(r"  +", "  ", text))
    own = (f"{status} {name}" for status in ("ok", "warning") for name in OF_THE_MACHINE)
    left_out = (*own, "  -> ", "0 ok, ")
    collapsed = [re.sub(r"^ok  ", "ok ", line).rstrip() for line in text.strip().splitlines()]
    return [line for line in collapsed if line and not line.startswith(left_out) and "[::]" not in line]


def test_the_report_without_problems_is_as_documented(deployment: Deployment) -> None:
    printed = deployment.run("doctor", MLFLOW_PORT=str(free_port()))
    assert shape(printed, deployment.folder) == shape(GOOD)


def test_the_report_with_a_problem_is_as_documented(deployment: Deployment) -> None:
    wrong = deployment.environ["MLFLOW_BACKEND_STORE_URI"].replace("secret", "wrong")
    printed = deployment.run("doctor", MLFLOW_BACKEND_STORE_URI=wrong)
    first = printed.index("problem ")
    lines = [line for line in printed[first:].splitlines() if line.startswith(("problem", "skipped", "    "))]
    assert [re.sub(r"\d+", "0", line) for line in lines] == [re.sub(r"\d+", "0", line) for line in BAD.splitlines()]


def test_the_report_of_verify_is_as_documented(deployment: Deployment) -> None:
    environ = {**deployment.environ, "MLFLOW_HOST": "127.0.0.1"}
    with railtrack_server(deployment.folder / "server", environment=environ, workers=1) as server:
        assert shape(deployment.run("verify", server.url)) == shape(VISIT)
        members = json.loads(deployment.run("verify", server.url, "--json"))
    assert set(members) == documented("verify")


def test_the_report_of_verify_with_a_training_is_as_documented(deployment: Deployment) -> None:
    environ = {**deployment.environ, "MLFLOW_HOST": "127.0.0.1"}
    endpoint = deployment.environ["AWS_S3_ENDPOINT_URL"]
    with railtrack_server(deployment.folder / "training", environment=environ, workers=1) as server:
        printed = deployment.run("verify", server.url, "--training", MLFLOW_S3_ENDPOINT_URL=endpoint)
    # The page shows Amazon S3 and a deployment with login.
    printed = printed.replace(server.url, "https://mlflow-service-production-xxxx.up.railway.app")
    printed = printed.replace(f" and MLFLOW_S3_ENDPOINT_URL={endpoint}", "")
    assert shape(printed.replace("login not required", "login as services")) == shape(TRAINING)


def documented(command: str) -> set[str]:
    """Return the documented fields of the JSON."""
    return set(re.findall(rf"^\| `(\w+)` \| (?:both|{command}) \|", PAGE, re.M))


def test_every_field_and_every_check_is_documented(deployment: Deployment) -> None:
    report = json.loads(deployment.run("doctor", "--json"))
    assert set(report) == documented("doctor")
    rows = set(re.findall(r"^\| ([\w ]+) \| [^|]+ \|$", PAGE, re.M)) - {"check"}
    names = {re.sub(r" \d+$", "", check["check"]) for check in report["checks"]}
    assert names <= rows
    assert rows - names == {"database file", "artifact folder", "artifact root", "login by a proxy"}


def test_the_documented_memory_is_that_of_the_check() -> None:
    text = " ".join(PAGE.split())
    per_worker = (memory_needed(2) - memory_needed(1)) // MB
    assert f"{memory_needed(0) // MB} MB + {per_worker} MB x `GUNICORN_WORKERS`, " in text
    assert f"so {memory_needed(2) // MB} MB for two workers" in text
    idle = [idle_memory(workers) // MB for workers in (1, 2, 4)]
    assert f"{idle[0]} MB with one worker, {idle[1]} with two, {idle[2]} with four" in text
    assert f"{idle_memory(0) // MB} MB + {(idle_memory(2) - idle_memory(1)) // MB} MB x workers" in text
