"""nginx and Caddy without TLS, with the lines that people write: whether pages work, and what `verify` reports."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.railtrack import RailtrackServer, command, railtrack_server
from tests.servers.web_proxies import plain_proxy

REMEDY = "proxy_set_header Host $http_host"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    with railtrack_server(tmp_path_factory.mktemp("server"), workers=1) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("nginx", "proxy_set_header Host $host;"),
        ("nginx", "proxy_set_header Host $http_host;"),
        ("nginx", "proxy_set_header X-Forwarded-Host $http_host;"),
        ("nginx", "proxy_set_header X-Forwarded-Host $host;"),
        ("caddy", ""),
        ("caddy", "header_up Host {upstream_hostport}"),
    ],
)
def test_the_pages_work_behind_a_proxy(tmp_path: Path, server: RailtrackServer, name: str, lines: str) -> None:
    with plain_proxy(name, server.port, lines) as url:
        done = command(tmp_path, "verify", url)
    assert done.returncode == 0, done.stdout


def test_a_proxy_that_keeps_nothing_of_the_host_is_reported_with_the_remedy(
    tmp_path: Path, server: RailtrackServer
) -> None:
    with plain_proxy("nginx", server.port) as url:
        done = command(tmp_path, "verify", url, "--json")
    problems = [check for check in json.loads(done.stdout)["checks"] if check["status"] == "problem"]
    assert (done.returncode, [check["check"] for check in problems]) == (1, ["browser"])
    assert f"If {url} is the address of this server, which got the Host '127.0.0.1:" in problems[0]["finding"]
    assert REMEDY in problems[0]["finding"]
    assert "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" in problems[0]["next_step"]
    assert f"Rejected a POST that a page of the origin '{url}' requested" in server.log()
