"""`railtrack demo` against running servers, with and without login."""

import json
import urllib.request
from pathlib import Path

from tests.servers.processes import free_port
from tests.servers.railtrack import command, railtrack_server

from railtrack.demo import TRAININGS


def test_the_demo_is_created_and_removed_by_one_command_each(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server") as server:
        done = command(tmp_path, "demo", server.url)
        assert (done.returncode, done.stderr) == (0, "")
        experiment_id = done.stdout.strip().rpartition("/")[2]
        assert done.stdout.splitlines()[-1] == f"{server.url}/#/experiments/{experiment_id}"
        request = urllib.request.Request(
            f"{server.url}/api/2.0/mlflow/runs/search",
            json.dumps({"experiment_ids": [experiment_id]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            assert len(json.load(response)["runs"]) == len(TRAININGS)
        removed = command(tmp_path, "demo", "--delete", MLFLOW_TRACKING_URI=server.url)
        assert (removed.returncode, removed.stdout) == (0, "Removed the demo.\n")
        assert command(tmp_path, "demo", "--delete", server.url).stdout == "There is no demo.\n"
        assert server.logged_errors() == []


def test_a_server_with_login_needs_one_for_the_demo(tmp_path: Path) -> None:
    environment = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_ADMIN_PASSWORD": "correct horse battery"}
    with railtrack_server(tmp_path / "server", environment=environment) as server:
        denied = command(tmp_path, "demo", server.url)
        assert (denied.returncode, denied.stdout) == (1, "")
        assert denied.stderr.startswith("Error: 401 ")
        assert len(denied.stderr.splitlines()) == 1
        login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "correct horse battery"}
        assert command(tmp_path, "demo", server.url, **login).returncode == 0


def test_a_server_that_is_away_is_reported_in_one_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = command(tmp_path, "demo", url.replace("://", "://me:secret@"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"Error: No response from {url}: Connection refused. Give the URL of a running server.\n")
