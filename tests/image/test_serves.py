"""The image with the guide's variables, PostgreSQL and S3, on a read-only file system as user 1000."""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.faults.logging_load import Load, check_stored
from tests.image.guide import BUCKET, Services, missing_in_order
from tests.servers.container import Container, ContainerOptions, container
from tests.servers.image import Image
from tests.servers.s3 import S3Server

CLIENT = Path(__file__).with_name("client_program.py")
PROXIED = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": "", "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/proxied"}
EXIT_LIMIT_S = 20
"""Much more than the usual 0.5 s, and less than the 25 s after which the server closes open connections."""


@pytest.fixture(scope="module")
def server(image: Image, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    with container(image, tmp_path_factory.mktemp("guide"), services.environment, ContainerOptions()) as server:
        yield server


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()


def test_the_log_has_the_lines_of_the_guide_in_order(server: Container, services: Services) -> None:
    lines = iter(server.log().splitlines())
    assert missing_in_order(services.log(server.port), lines) == []
    listening = re.compile(rf"\[.+\] \[INFO\] Listening at: http://0\.0\.0\.0:{server.port} \(\d+\)")
    assert any(listening.fullmatch(line) for line in lines)
    assert server.logged_errors() == []
    assert not [secret for secret in services.secrets if secret in server.log()]


def test_a_container_requires_a_login_by_default(image: Image, services: Services, tmp_path: Path) -> None:
    environment = {name: value for name, value in services.environment.items() if name != "RAILTRACK_AUTH"}
    with container(image, tmp_path, environment, ContainerOptions()) as server:
        assert get(f"{server.url}/health")[0] == get(f"{server.url}/ready")[0] == 200
        assert server.health().code == 0
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0")
        [line] = [line for line in server.log().splitlines() if line.startswith("Created the administrator admin")]
        login = base64.b64encode(f"admin:{line.split()[-1]}".encode()).decode()
        current = get(f"{server.url}/api/2.0/mlflow/users/current", authorization=f"Basic {login}")[2]
        assert json.loads(current)["user"]["username"] == "admin"
        assert server.logged_errors() == []


def test_the_server_runs_as_process_1_and_user_1000(server: Container) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
    assert status["NSpid"].split()[-1] == "1"
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"1000"}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert b"railtrack\0server" in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert len(server.wait_for_workers(2)) == 2


def test_the_health_response_is_as_in_the_guide(server: Container) -> None:
    status, headers, body = get(f"{server.url}/health")
    assert (status, headers["content-type"], body) == (200, "application/json", b'{"status": "ok"}')
    assert get(f"{server.url}/ready")[0] == 200


def test_the_interface_is_served_with_the_compression_of_the_build(server: Container, image: Image) -> None:
    _, headers, page = get(server.url)
    assert headers["content-type"].startswith("text/html")
    [script] = re.findall(rb'src="(?:\./)?(static-files/static/js/main\.\w+\.js)"', page)
    _, headers, body = get(f"{server.url}/{script.decode()}", **{"accept-encoding": "br"})
    assert headers["content-encoding"] == "br"
    [stored] = (image.root / "opt/railtrack").rglob(f"{Path(script.decode()).name}.br")
    assert body == stored.read_bytes()


@pytest.mark.parametrize("way", ["to the store with keys", "through the server without keys"])
def test_an_unmodified_client_logs_a_run(
    way: str, image: Image, services: Services, server: Container, s3: S3Server, tmp_path: Path
) -> None:
    if way == "to the store with keys":
        keys = {name: services.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        run_id = log_run(server, tmp_path, {**keys, "MLFLOW_S3_ENDPOINT_URL": s3.url})
        kept = f"mlflow-artifacts/0/{run_id}/artifacts/model/weights.bin"
    else:
        with container(
            image, tmp_path / "proxied", {**services.environment, **PROXIED}, ContainerOptions()
        ) as proxying:
            run_id = log_run(proxying, tmp_path, {}, new_experiment="proxied")
            assert proxying.logged_errors() == []
        [kept] = [key for key in s3.objects(BUCKET) if run_id in key]
        assert re.fullmatch(rf"proxied/\d+/{run_id}/artifacts/model/weights.bin", kept)
    assert s3.objects(BUCKET)[kept] == 100_000
    assert server.logged_errors() == []


def log_run(server: Container, folder: Path, keys: dict[str, str], new_experiment: str = "") -> str:
    """Run the client program and return the id of the run that it logged and read back."""
    done = subprocess.run(
        [str(client_interpreter("3.17.2")), str(CLIENT), new_experiment],
        env={**client_environment(server.url, folder), **keys},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def test_sigterm_under_load_loses_no_acknowledged_write(image: Image, services: Services, tmp_path: Path) -> None:
    with container(image, tmp_path, services.environment, ContainerOptions()) as server:
        load, seconds = asyncio.run(terminate_under_load(server))
        assert seconds < EXIT_LIMIT_S
        assert not load.outcome.statuses
        check_stored(services.database, load.run_id, load.outcome)
        server.start()
        found = get(f"{server.url}/api/2.0/mlflow/runs/get?run_id={load.run_id}")[2]
        assert json.loads(found)["run"]["info"]["run_id"] == load.run_id
        assert server.logged_errors() == []


async def terminate_under_load(server: Container) -> tuple[Load, float]:
    """Send SIGTERM under load. Return the load and the seconds until process 1 exits."""
    async with Load(server) as load:
        await load.wait_for_acknowledgements(count=300)
        server.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(server.wait_ended) == 0
        return load, time.monotonic() - began


def test_the_health_check_fails_for_a_server_that_does_not_respond(server: Container) -> None:
    assert server.health().code == 0
    workers = server.wait_for_workers(2)
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        assert server.health().code != 0
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert server.health().code == 0
