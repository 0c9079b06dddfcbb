"""deploy/nginx and deploy/caddy with the real programs: clients and the web page through TLS and below a path,
bodies passed on as they come, and the guard; with the prefix handed on to the server, and with it taken away."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import expect
from tests.clients.interpreters import client_environment, client_interpreter
from tests.prometheus.scrape import Scrape
from tests.servers.processes import TIMEOUT_S, free_port, wait_until
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.web_proxies import PREFIX, WebProxy, web_proxy
from tests.ui.browser import Tab, chromium

pytestmark = pytest.mark.mlflow

LARGE = 24 * 1024 * 1024
PIECE = 1024 * 1024
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/0/large"


class Deployment(NamedTuple):
    server: RailtrackServer
    proxy: WebProxy


@pytest.fixture(scope="module", params=["handed on", "taken away"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    prefix = {"MLFLOW_STATIC_PREFIX": PREFIX} if request.param == "handed on" else {}
    environment = {"RAILTRACK_METRICS": "on", "RAILTRACK_ACCESS_LOG": "on", **prefix}
    with railtrack_server(tmp_path_factory.mktemp("proxied"), environment=environment) as running:
        yield running
        assert running.logged_errors() == []


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def deployed(request: pytest.FixtureRequest, server: RailtrackServer) -> Iterator[Deployment]:
    with web_proxy(request.param, server.port, strips_prefix=not _serves_below_prefix(server)) as proxy:
        yield Deployment(server, proxy)


def _serves_below_prefix(server: RailtrackServer) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    connection.request("GET", f"{PREFIX}/version")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def ask(
    proxy: WebProxy, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer through the proxy; `path` below the prefix."""
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=proxy.tls, timeout=TIMEOUT_S)
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    given = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
    connection.request(method, PREFIX + path, content, given | (headers or {}))
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


SCENARIO = """
import os, tempfile
import mlflow

with mlflow.start_run() as run:
    mlflow.log_param("rate", 0.1)
    mlflow.log_metric("loss", 0.25, step=1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.bin")
        with open(path, "wb") as file:
            file.write(os.urandom(5_000_000))
        sent = open(path, "rb").read()
        mlflow.log_artifact(path, "model")
found = mlflow.get_run(run.info.run_id)
assert (found.data.params, found.data.metrics) == ({"rate": "0.1"}, {"loss": 0.25})
local = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model/weights.bin")
assert open(local, "rb").read() == sent
print(run.info.run_id)
"""


def test_a_client_logs_a_run_with_an_artifact(deployed: Deployment, tmp_path: Path) -> None:
    trust = {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(deployed.proxy.certificate)}
    done = subprocess.run(
        [str(client_interpreter("3.17.2")), "-c", SCENARIO],
        env=client_environment(deployed.proxy.url, tmp_path) | trust,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    assert run_id in deployed.server.log()  # the access log of this server has the request


def test_the_page_opens_without_a_trailing_slash_and_creates_an_experiment(deployed: Deployment) -> None:
    name = f"through port {deployed.proxy.port}"
    with chromium() as browser:
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1500, "height": 1000})
        tab = Tab(context.new_page(), deployed.proxy.url)
        tab.page.goto(deployed.proxy.url, wait_until="domcontentloaded")
        tab.see("Default")
        assert tab.page.url.startswith(f"{deployed.proxy.url}/")
        tab.open("/experiments")
        tab.page.get_by_test_id("create-experiment-button").click()
        tab.page.get_by_placeholder("Input an experiment name").fill(name)
        tab.page.get_by_role("dialog").get_by_role("button", name="Create").click()
        expect(tab.page.get_by_text(name).first).to_be_visible()
        tab.check(allowed=("^404 GET .*/experiments/get-by-name$",))
        context.close()
    path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}"
    status, _, body = ask(deployed.proxy, "GET", path)
    assert (status, json.loads(body)["experiment"]["name"]) == (200, name)


def test_an_upload_is_streamed_to_the_server(deployed: Deployment) -> None:
    server, proxy = deployed
    with _raw(proxy) as connection:
        head = f"PUT {PREFIX}{ARTIFACTS}/up.bin HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}"
        connection.sendall(f"{head}\r\nContent-Length: {LARGE}\r\n\r\n".encode())
        for _ in range(LARGE // PIECE // 2):
            connection.sendall(b"x" * PIECE)
        # The server works on it (the scrape is the other request), and the proxy has put nothing aside.
        wait_until(lambda: _in_flight(server) == 2)
        assert list(proxy.buffers.iterdir()) == []
        for _ in range(LARGE // PIECE // 2):
            connection.sendall(b"x" * PIECE)
        assert connection.recv(4096).split()[1] == b"200"
    stored = server.folder / "data" / "mlartifacts" / "0" / "large" / "up.bin"
    assert stored.stat().st_size == LARGE
    stored.unlink()


def test_a_download_to_a_slow_client_is_not_buffered_by_the_proxy(deployed: Deployment) -> None:
    server, proxy = deployed
    path = f"{ARTIFACTS}/down.bin"
    content = os.urandom(PIECE) * (2 * LARGE // PIECE)
    assert ask(proxy, "PUT", path, content)[0] == 200
    with _raw(proxy) as connection:
        request = f"GET {PREFIX}{path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        got = bytearray(connection.recv(65536))
        time.sleep(0.5)
        # The answer is still under way (the scrape is the other request), and none of it lies on the proxy's disk.
        wait_until(lambda: _in_flight(server) == 2)
        assert list(proxy.buffers.iterdir()) == []
        while piece := connection.recv(PIECE):
            got += piece
    assert got.partition(b"\r\n\r\n")[2] == content
    assert ask(proxy, "GET", path, headers={"Range": "bytes=1000000-1000099"})[2] == content[1000000:1000100]


def _in_flight(server: RailtrackServer) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    connection.request("GET", "/metrics")
    found = Scrape(connection.getresponse().read().decode()).total("railtrack_http_requests_in_flight")
    connection.close()
    return found


def _raw(proxy: WebProxy) -> ssl.SSLSocket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S)
    return proxy.tls.wrap_socket(connection, server_hostname="127.0.0.1")


def test_changes_are_accepted_from_the_page_but_not_from_other_sites(deployed: Deployment) -> None:
    proxy = deployed.proxy
    create = ("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})
    assert ask(proxy, *create, {"Origin": f"https://127.0.0.1:{proxy.port}"})[0] == 200
    assert ask(proxy, *create, {"Origin": "https://evil.example"})[0] == 403
    assert ask(proxy, *create, {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"})[0] == 403


def test_health_is_public_and_metrics_are_not(deployed: Deployment) -> None:
    status, headers, body = ask(deployed.proxy, "GET", "/health", headers={"X-Request-ID": "probe-1"})
    assert (status, body, headers["x-request-id"]) == (200, b'{"status": "ok"}', "probe-1")
    assert ask(deployed.proxy, "GET", "/metrics")[0] == 404
    wait_until(lambda: _in_flight(deployed.server) == 1)  # past the proxy they are there


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_only_a_request_that_never_reached_the_server_is_answered_429(name: str) -> None:
    upstream = free_port()
    create = ("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})
    with web_proxy(name, upstream) as proxy:
        status, headers, _ = ask(proxy, *create)
        assert status == 429
        assert "retry-after" not in headers
        with _upstream_that_cuts_off(upstream):
            assert ask(proxy, *create)[0] == 502


@contextlib.contextmanager
def _upstream_that_cuts_off(port: int) -> Iterator[None]:
    """Accepts one connection, and closes it after it has read from it."""
    with socket.create_server(("127.0.0.1", port)) as listener, ThreadPoolExecutor() as pool:

        def cut_off() -> None:
            connection = listener.accept()[0]
            connection.recv(PIECE)
            connection.close()

        served = pool.submit(cut_off)
        yield
        served.result()
