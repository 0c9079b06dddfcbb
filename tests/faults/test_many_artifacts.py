"""List and delete a folder of 100,000 artifacts in bounded memory."""

import http.client
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.s3 import S3Server, fast_s3_server

MANY = 100_000
LINKS = 25_000
HELD_MB = 40
"""All names and sizes would take 50 MB in a worker. The response that lists them has 7 MB."""
NAMES = [f"{number:06}" for number in range(MANY)]

Fill = Callable[[str], None]
"""Creates MANY artifacts of 4 bytes in a folder of the proxied store."""


@pytest.fixture(params=["local", "s3"])
def server_and_fill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RailtrackServer, Fill]]:
    if request.param == "local":
        with railtrack_server(tmp_path, workers=1) as server:
            yield server, lambda folder: _fill_local(tmp_path / "data" / "mlartifacts" / folder)
        return
    with fast_s3_server() as s3:
        settings = {**s3.environment, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{s3.new_bucket('many')}/runs"}
        with railtrack_server(tmp_path, workers=1, environment=settings) as server:
            yield server, lambda folder: _fill_s3(s3, f"runs/{folder}/")


def _fill_local(folder: Path) -> None:
    """Create hard links to a few files, in a third of the time of as many files. ext4 allows 65,000 links per file."""
    folder.mkdir(parents=True)
    for at in range(0, MANY, LINKS):
        first = folder / NAMES[at]
        first.write_bytes(b"four")
        for name in NAMES[at + 1 : at + LINKS]:
            os.link(first, folder / name)


def _fill_s3(s3: S3Server, prefix: str) -> None:
    """Create the objects inside the store, because it would take minutes over HTTP."""
    connection = http.client.HTTPConnection(s3.url.removeprefix("http://"))
    connection.request("PUT", f"/many?fill={MANY}&prefix={prefix}", body=b"four")
    assert connection.getresponse().status == 200
    connection.close()


def test_100000_artifacts_are_listed_and_deleted_in_bounded_memory(
    server_and_fill: tuple[RailtrackServer, Fill],
) -> None:
    server, fill = server_and_fill
    run = _request(server, "POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]
    folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    fill(f"{folder}/many")
    before = _peak_mb(server)

    listed = _request(server, "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run['run_id']}&path=many")
    assert listed["files"] == [{"path": f"many/{name}", "is_dir": False, "file_size": 4} for name in NAMES]
    proxied = f"/api/2.0/mlflow-artifacts/artifacts?path={folder}/many"
    above = _request(server, "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run['run_id']}")
    assert above["files"] == [{"path": "many", "is_dir": True}]

    assert _request(server, "DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{folder}/many") == {}
    assert _request(server, "GET", proxied) == {}
    assert _peak_mb(server) - before < HELD_MB
    assert server.logged_errors() == []


def _request(server: RailtrackServer, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    content = json.dumps(body) if body is not None else None
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = json.load(response)
    assert response.status == 200, found
    connection.close()
    return found


def _peak_mb(server: RailtrackServer) -> float:
    """Return the worker's peak resident memory."""
    [worker] = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024
