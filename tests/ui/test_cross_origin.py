"""A browser app on another origin: Chromium lets it use the server if its origin is allowed, and only then."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=100"

USE_SERVER = """
async (server) => {
    const outcome = {}
    const call = async (name, path, options) => {
        try {
            const response = await fetch(server + path, {credentials: "include", ...options})
            outcome[name] = [response.status, response.headers.get("x-request-id") !== null]
            return response
        } catch (error) {
            outcome[name] = String(error)
        }
    }
    const json = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    await call("read", "/api/2.0/mlflow/experiments/get?experiment_id=0")
    await call("create", "/api/2.0/mlflow/experiments/create",
               {method: "POST", headers: json, body: JSON.stringify({name: "from " + location.host})})
    await call("upload", "/api/2.0/mlflow-artifacts/artifacts/app/a.txt", {method: "PUT", body: "text"})
    await call("missing", "/api/2.0/mlflow/runs/get?run_id=none")
    return outcome
}
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>App</title>")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def app_port() -> Iterator[int]:
    """Serve the page of the app, under every name that leads to this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(app_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    environment = {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://app.example.com:{app_port}"}
    with railtrack_server(tmp_path_factory.mktemp("cross-origin"), environment=environment) as running:
        yield running


def outcome_of(origin: str, browser: Browser, server: RailtrackServer) -> dict[str, Any]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        outcome: dict[str, Any] = page.evaluate(USE_SERVER, f"http://127.0.0.1:{server.port}")
        return outcome


def test_an_app_on_an_allowed_origin_reads_and_changes(
    app_port: int, browser: Browser, server: RailtrackServer
) -> None:
    outcome = outcome_of(f"http://app.example.com:{app_port}", browser, server)
    assert outcome == {"read": [200, True], "create": [200, True], "upload": [200, True], "missing": [404, True]}


def test_an_app_on_localhost_needs_no_setting(app_port: int, browser: Browser, server: RailtrackServer) -> None:
    outcome = outcome_of(f"http://127.0.0.1:{app_port}", browser, server)
    assert outcome == {"read": [200, True], "create": [200, True], "upload": [200, True], "missing": [404, True]}


def test_an_app_on_another_origin_reads_and_changes_nothing(
    app_port: int, browser: Browser, server: RailtrackServer
) -> None:
    host = f"evil.example.com:{app_port}"
    outcome = outcome_of(f"http://{host}", browser, server)
    assert outcome == dict.fromkeys(("read", "create", "upload", "missing"), "TypeError: Failed to fetch")
    assert f"Rejected a POST that a page of the origin 'http://{host}' requested" not in server.log()  # no preflight
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{SEARCH}", timeout=TIMEOUT_S) as response:
        assert f"from {host}" not in response.read().decode()
