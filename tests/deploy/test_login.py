"""deploy/login: the proxy with a login, run by the real Caddy in front of a real server."""

import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.processes import TIMEOUT_S, die_with_parent, find_program, free_port
from tests.servers.railtrack import RailtrackServer, railtrack_server

pytestmark = pytest.mark.mlflow

FOLDER = Path(__file__).parents[2] / "deploy" / "login"
USER, PASSWORD = "team", "long enough, $with 'signs'"
PROGRAM = """
import mlflow

with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.25)
    mlflow.log_text("It arrived.", "note.txt")
print(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt"))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    given = {"MLFLOW_HOST": "0.0.0.0", "RAILWAY_SERVICE_ID": "1a2b"}  # as in Railway's private network
    with railtrack_server(tmp_path_factory.mktemp("login"), environment=given) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: RailtrackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the proxy, and yield its URL."""
    find_program("caddy")
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("caddy")),
        "PORT": str(port),
        "LOGIN_USER": USER,
        "LOGIN_PASSWORD": PASSWORD,
        "UPSTREAM": f"127.0.0.1:{server.port}",
    }
    process = subprocess.Popen(
        ["sh", str(FOLDER / "login.sh")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while status(f"{url}/health") != 200:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def status(url: str, password: str | None = None, body: bytes | None = None, **headers: str) -> int:
    """Return the status of the response, 0 if there is none."""
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
    if password is not None:
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("path", ["/", "/ready", "/health/", "/api/2.0/mlflow/runs/get"])
def test_requests_without_a_login_are_rejected(proxy: str, path: str) -> None:
    assert status(f"{proxy}{path}") == 401
    assert status(f"{proxy}{path}", "wrong password!") == 401


@pytest.mark.parametrize(
    "path",
    [
        "//health",
        "/api/2.0/mlflow-artifacts/artifacts/../../../../../health",
        "/api/2.0/mlflow-artifacts/artifacts/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/health",
        "/get-artifact/../health?run_uuid=1&path=a",
    ],
)
def test_other_spellings_of_the_health_path_reach_health_only(proxy: str, path: str) -> None:
    """Else its login could be gone round: it compares paths that it has tidied up, and sends them as they came."""
    connection = http.client.HTTPConnection(proxy.removeprefix("http://"), timeout=30)
    connection.putrequest("GET", path)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert (answer.status, body) in ((200, b'{"status": "ok"}'), (401, b""))


def test_a_request_that_never_reaches_the_server_is_answered_429(proxy: str, server: RailtrackServer) -> None:
    server.stop()
    try:
        url = f"{proxy}/api/2.0/mlflow/runs/create"
        assert status(url, PASSWORD, b'{"experiment_id": "0"}') == 429
        assert status(url, None, b'{"experiment_id": "0"}') == 401
    finally:
        server.start()


def test_health_is_public_and_the_page_needs_the_login(proxy: str) -> None:
    assert status(f"{proxy}/health") == 200
    assert status(f"{proxy}/", PASSWORD) == 200


def test_changes_are_accepted_from_the_page_but_not_from_other_sites(proxy: str) -> None:
    search = f"{proxy}/ajax-api/2.0/mlflow/experiments/create"
    domain = {"Host": "mlflow-login-production-1a2b.up.railway.app"}
    own = {"Origin": "https://mlflow-login-production-1a2b.up.railway.app", **domain}
    assert status(search, PASSWORD, json.dumps({"name": "mine"}).encode(), **own) == 200
    other = {"Origin": "https://example.com", **domain}
    assert status(search, PASSWORD, json.dumps({"name": "theirs"}).encode(), **other) == 403


def test_the_client_logs_in_with_its_variables(proxy: str, server: RailtrackServer, tmp_path: Path) -> None:
    login = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    done = subprocess.run(
        [str(client_interpreter("3.17.2")), "-c", PROGRAM],
        env=client_environment(proxy, tmp_path) | login,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "It arrived." in done.stdout.splitlines()
    assert server.logged_errors() == []


def test_verify_passes_with_the_clients_variables(proxy: str, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("railtrack"))
    for password, code in ((PASSWORD, 0), ("wrong password!", 1)):
        login = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": password}
        done = subprocess.run(
            [program, "verify", proxy],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **login},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert password not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"LOGIN_PASSWORD": PASSWORD}, "LOGIN_USER: is not set"),
        ({"LOGIN_USER": USER}, "LOGIN_PASSWORD: is not set"),
        ({"LOGIN_USER": USER, "LOGIN_PASSWORD": ""}, "LOGIN_PASSWORD: is not set"),
        ({"LOGIN_USER": USER, "LOGIN_PASSWORD": "too short"}, "LOGIN_PASSWORD is shorter than 12 characters"),
    ],
)
def test_an_incomplete_login_prevents_the_start(given: dict[str, str], message: str) -> None:
    done = subprocess.run(
        ["sh", str(FOLDER / "login.sh")],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr


def test_the_image_contains_what_the_dockerfile_starts() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert "COPY Caddyfile login.sh /login/" in lines
    assert lines[-1] == 'CMD ["sh", "/login/login.sh"]'
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert re.search(r":\d+\.\d+\.\d+", base)
