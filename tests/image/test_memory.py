"""Memory of the image with two workers in 512 MB without swap, idle and under a small mixed load."""

import asyncio
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.logging_load import Load, check_stored
from tests.image.guide import BUCKET, Services
from tests.servers.container import Container, ContainerOptions, container
from tests.servers.image import Image
from tests.servers.memory_group import MemoryGroup, memory_group

LIMIT_MB = 512
REST_LIMIT_MB = 80
PEAK_LIMIT_MB = 256
UPLOAD = 64 << 20


@pytest.fixture
def group() -> Iterator[MemoryGroup | None]:
    """Yield a memory cgroup, or None if this user cannot create one. Only process memory is measured then."""
    with memory_group(LIMIT_MB) as group:
        yield group


def test_two_workers_use_less_than_256_mb_under_load(
    image: Image, services: Services, group: MemoryGroup | None, tmp_path: Path
) -> None:
    environment = {
        **services.environment,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": "",
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/memory",
    }
    with container(image, tmp_path, environment, ContainerOptions(cgroup=group.path if group else None)) as server:
        server.wait_for_workers(2)
        assert server.pss_mb() < REST_LIMIT_MB
        with Peak(server) as peak:
            load = asyncio.run(log_under_load(server))
            send_other_requests(server, load.run_id)
        check_stored(services.database, load.run_id, load.outcome)
        assert peak.mb < PEAK_LIMIT_MB
        if group:
            assert group.peak_mb < PEAK_LIMIT_MB
            assert group.oom_kills == 0
            assert len((group.path / "cgroup.procs").read_text().split()) >= 3  # the server did run in the group
        assert server.logged_errors() == []


async def log_under_load(server: Container) -> Load:
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=2_000)
    return load


def send_other_requests(server: Container, run_id: str) -> None:
    """Transfer a file through the server, search, and load the web interface."""
    file = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/large.bin"
    body = os.urandom(UPLOAD)
    call(urllib.request.Request(file, body, method="PUT"))
    assert call(file) == body
    search = b'{"experiment_ids":["0"],"max_results":1000}'
    for _ in range(20):
        json_request = urllib.request.Request(
            f"{server.url}/api/2.0/mlflow/runs/search", search, {"content-type": "application/json"}
        )
        assert run_id.encode() in call(json_request)
        assert run_id.encode() in call(f"{server.url}/api/2.0/mlflow/runs/get?run_id={run_id}")
        assert b"<html" in call(server.url)


def call(request: urllib.request.Request | str) -> bytes:
    with urllib.request.urlopen(request, timeout=60) as response:
        content: bytes = response.read()
        return content


class Peak:
    """Record the processes' peak PSS, sampled ten times a second."""

    def __init__(self, server: Container) -> None:
        self.mb = 0.0
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        assert self.mb > 0

    def _sample(self) -> None:
        while not self._ended.wait(0.1):
            self.mb = max(self.mb, self._server.pss_mb())
