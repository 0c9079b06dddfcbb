"""Artifacts that the client sends to S3 itself: boto3's settings decide whether they survive an outage of the store."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.background import Background, background
from tests.servers.processes import die_with_parent
from tests.servers.proxy import proxy
from tests.servers.railtrack import railtrack_server
from tests.servers.s3 import fast_s3_server

AWAY_S = 75
TIMEOUT_S = 300
PROGRAM = Path(__file__).with_name("upload_program.py")
RECOMMENDED = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "36"}
"""From docs/outages.md."""


@pytest.fixture
def servers() -> Iterator[Background]:
    with background() as servers:
        yield servers


def test_an_upload_survives_with_the_recommended_settings_and_not_by_default(
    servers: Background, tmp_path: Path
) -> None:
    with fast_s3_server() as s3, servers.enter(proxy(urlsplit(s3.url).port or 80)) as between:
        s3.new_bucket("artifacts")
        store = {**s3.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{between.port}"}
        environment = {**store, "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts/runs"}
        with railtrack_server(tmp_path / "server", environment=environment) as server:
            by_default = start(server.url, tmp_path / "default", store)
            recommended = start(server.url, tmp_path / "recommended", store | RECOMMENDED)
            servers.run(between.close())
            began = time.monotonic()
            assert upload(by_default) == "EndpointConnectionError"
            with ThreadPoolExecutor() as pool:
                outcome = pool.submit(upload, recommended)
                time.sleep(max(0.0, began + AWAY_S - time.monotonic()))
                assert not outcome.done()
                servers.run(between.accept())
                assert outcome.result() == "stored"


def start(url: str, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start a client with direct access to the store, and return when it has stored its first artifact."""
    folder.mkdir()
    defaults = client_environment(url, folder)
    del defaults["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
    process = subprocess.Popen(
        [str(client_interpreter("3.18.0")), str(PROGRAM)],
        env=defaults | environment | {"MLFLOW_S3_ENDPOINT_URL": environment["AWS_ENDPOINT_URL"]},
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def upload(process: "subprocess.Popen[str]") -> str:
    """Log the artifact and return the outcome."""
    return process.communicate("\n", timeout=TIMEOUT_S)[0].strip()
