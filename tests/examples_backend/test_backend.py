"""The example of a backend starts, follows, compares and stops trainings on the platform of the deployment guide."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.example_backend import BUCKET, PASSWORD, Backend, Platform, backend, login, platform
from tests.servers.processes import wait_until

IMAGE = [0.0] * 64


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Run the platform with artifacts that go directly to the bucket."""
    with platform(tmp_path_factory.mktemp("platform")) as one:
        yield one


@pytest.fixture(scope="module")
def one(direct: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with backend(tmp_path_factory.mktemp("backend"), direct) as one:
        yield one
        assert "Traceback" not in one.log()


@pytest.fixture(scope="module")
def processes(direct: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Run a backend whose trainings only wait, but fail with three epochs. It does not retry."""
    folder = tmp_path_factory.mktemp("processes")
    program = folder / "python"
    program.write_text('#!/bin/sh\n[ "$3" = 3 ] && exit 3\nexec sleep 600\n')
    program.chmod(0o755)
    environ = {"TRAINING_PYTHON": str(program), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "STREAMS_LIMIT": "2"}
    environ["MODEL_NAME"] = "elsewhere"
    with backend(folder, direct, **environ) as one:
        yield one


def steps(events: list[tuple[str, Any]], key: str) -> list[int]:
    return [point["step"] for name, points in events if name == "metrics" for point in points if point["key"] == key]


def test_a_training_is_followed_and_its_model_predicts(one: Backend) -> None:
    run_id = one.start_training(epochs=60, learning_rate=0.0005)
    events = list(one.follow(run_id))
    assert steps(events, "val_accuracy") == list(range(60))
    assert len([name for name, _ in events if name == "metrics"]) > 1, "not live"
    assert ("end", {"status": "FINISHED"}) in events
    run = one.wait_for_end(run_id)
    assert (run["params"]["epochs"], run["training"], run["exit_code"]) == ("60", "digits", None)
    assert run["metrics"]["val_accuracy"] > 0.9

    champion = one.get("/api/champion")
    assert champion["model"] == "detector"
    files = {file["path"]: file for file in champion["files"]}
    link = files["MLmodel"]["url"]
    assert link.startswith(f"{one.platform.s3.url}/{BUCKET}/mlflow-artifacts/"), "directly from the bucket"
    with urllib.request.urlopen(link, timeout=60) as response:
        assert b"sklearn" in response.read()
    status, found = one.ask("POST", "/api/champion/predict", {"images": [IMAGE, IMAGE]})
    assert (status, found["version"], len(found["predictions"])) == (200, champion["version"], 2)
    assert found["predictions"][0] in range(10)

    shorter = one.wait_for_end(one.start_training(epochs=1, learning_rate=0.0005))
    ids = [shorter["run_id"], run_id]
    compared = one.get(f"/api/runs/compare?run_id={ids[0]}&run_id={ids[1]}")
    assert compared["params"] == {"epochs": {ids[0]: "1", ids[1]: "60"}}
    assert compared["metrics"]["val_loss"][ids[0]] == shorter["metrics"]["val_loss"]
    assert [listed["run_id"] for listed in one.get("/api/runs?limit=2")] == ids
    assert one.get("/api/runs/best")["run_id"] == run_id
    assert one.get("/api/runs/best?metric=val_accuracy&mode=min")["run_id"] == ids[0]
    assert one.ask("GET", "/api/runs/best?metric=nothing")[0] == 404
    assert one.get("/api/champion")["version"] == champion["version"], "the second one is not better"


def test_a_training_that_is_stopped_or_dies_leaves_no_running_run(processes: Backend) -> None:
    stopped, killed = processes.start_training(), processes.start_training()
    assert processes.ask("POST", "/api/trainings", {})[0] == 429
    assert processes.ask("POST", f"/api/runs/{stopped}/stop")[0] == 202
    os.kill(process_of(killed), signal.SIGKILL)
    ended = processes.wait_for_end(stopped), processes.wait_for_end(killed)
    assert [(run["status"], run["exit_code"]) for run in ended] == [("KILLED", "-15"), ("KILLED", "-9")]
    assert processes.ask("POST", f"/api/runs/{stopped}/stop")[0] == 404
    failed = processes.wait_for_end(processes.start_training(epochs=3))
    assert (failed["status"], failed["exit_code"]) == ("FAILED", "3")


def test_a_run_is_closed_when_the_tracking_server_is_back(processes: Backend) -> None:
    run_id = processes.start_training()
    server = processes.platform.server
    server.stop()
    assert processes.ask("GET", "/api/runs")[0] == 502
    assert processes.ask("POST", "/api/trainings", {})[0] == 502
    os.kill(process_of(run_id), signal.SIGKILL)
    wait_until(lambda: f"Run {run_id} is not closed yet" in processes.log(), processes.log)
    server.start()
    assert processes.wait_for_end(run_id)["exit_code"] == "-9"


def test_a_backend_that_ends_closes_its_runs_and_one_that_died_when_it_is_back(processes: Backend) -> None:
    ended = processes.start_training()
    processes.end()
    assert processes_of(ended) == []
    processes.start()
    assert processes.run(ended)["status"] == "KILLED", "closed before the backend ended"

    orphan, lives = processes.start_training(), processes.start_training()
    processes.end(signal.SIGKILL)
    os.kill(process_of(orphan), signal.SIGKILL)
    processes.start()
    wait_until(lambda: f"Run {orphan} has no process" in processes.log(), processes.log)
    assert processes.wait_for_end(orphan)["status"] == "KILLED"
    assert processes.run(lives)["status"] == "RUNNING"
    os.kill(process_of(lives), signal.SIGKILL)


def test_a_model_that_cannot_be_loaded_here_is_reported(processes: Backend) -> None:
    """As one of a framework that only the trainings have."""
    platform, name = processes.platform, "elsewhere"
    platform.post("registered-models/create", {"name": name})
    platform.post("model-versions/create", {"name": name, "source": f"s3://{BUCKET}/mlflow-artifacts/nothing"})
    platform.post("registered-models/alias", {"name": name, "alias": "champion", "version": "1"})
    status, found = processes.ask("POST", "/api/champion/predict", {"images": [IMAGE]})
    assert (status, found["detail"].partition(": ")[0]) == (422, "Version 1 does not predict here")


def process_of(run_id: str) -> int:
    [pid] = processes_of(run_id)
    return pid


def processes_of(run_id: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MLFLOW_RUN_ID={run_id}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_the_number_of_followers_is_bounded_and_a_closed_page_frees_one(processes: Backend) -> None:
    run_id = processes.start_training()
    followers = [processes.follow(run_id) for _ in range(2)]
    for follower in followers:
        next(follower)
    assert next(processes.follow(run_id)) == ("rejected", 503)
    followers[0].close()
    wait_until(lambda: next(processes.follow(run_id))[0] != "rejected", processes.log)
    followers[1].close()
    processes.ask("POST", f"/api/runs/{run_id}/stop")


def test_requests_are_bounded_and_name_no_command(one: Backend) -> None:
    unknown = "0" * 32
    for method, path, body, expected in [
        ("POST", "/api/trainings", {"training": "../../bin/sh"}, 404),
        ("POST", "/api/trainings", {"training": "timm"}, 404),  # not enabled
        ("POST", "/api/trainings", {"epochs": 501}, 422),
        ("POST", "/api/trainings", {"epochs": "30; true"}, 422),
        ("POST", "/api/trainings", {"learning_rate": "nan"}, 422),
        ("POST", "/api/trainings", b"[" * 2_000_000, 413),
        ("POST", "/api/champion/predict", {"images": [[0.0] * 63]}, 422),
        ("POST", "/api/champion/predict", {"images": [IMAGE] * 101}, 422),
        ("GET", "/api/runs?limit=51", None, 422),
        ("GET", f"/api/runs/{unknown}/events", None, 404),
        ("GET", "/api/runs/no-id/events", None, 422),
        ("GET", "/api/runs/best?metric=x%60%20OR%20", None, 422),
        ("GET", f"/api/runs/compare?run_id={unknown}", None, 422),
        ("GET", f"/api/runs/compare?run_id={unknown}&run_id={unknown}", None, 404),
        ("GET", "/api/champion/files/../../etc/passwd", None, 404),
    ]:
        status, found = one.ask(method, path, body)
        assert status == expected, (path, found)
        assert found["detail"]


def test_the_password_is_required_and_pages_of_other_sites_change_nothing(one: Backend) -> None:
    assert one.ask("GET", "/health", password="") == (200, {"status": "ok"})
    for password in ("", f"{PASSWORD}?"):
        assert one.ask("GET", "/api/runs", password=password)[0] == 401
        assert one.ask("POST", "/api/trainings", {}, password=password)[0] == 401
    assert one.ask("POST", "/api/trainings", {}, sec_fetch_site="cross-site")[0] == 403


def test_through_the_server_the_model_is_downloaded_with_the_token_of_the_backend(
    direct: Platform, tmp_path: Path
) -> None:
    environ = {name: "" for name in direct.environment if name.startswith("AWS_")}
    environ |= {"MLFLOW_EXPERIMENT_NAME": "proxied", "MODEL_NAME": "proxied"}
    with backend(tmp_path, direct, **environ) as one:
        assert one.ask("GET", "/api/champion")[0] == 404
        assert one.ask("POST", "/api/champion/predict", {"images": [IMAGE]})[0] == 404
        assert one.wait_for_end(one.start_training(epochs=2))["status"] == "FINISHED"
        links = {file["path"]: file["url"] for file in one.get("/api/champion")["files"]}
        assert links["MLmodel"] == "/api/champion/files/MLmodel"
        assert b"sklearn" in download(one, links["MLmodel"])
        assert one.ask("GET", "/api/champion/files/nothing")[0] == 404
        assert one.ask("POST", "/api/champion/predict", {"images": [IMAGE]})[0] == 200


def download(one: Backend, path: str) -> bytes:
    request = urllib.request.Request(f"{one.url}{path}", headers=login(PASSWORD))
    with urllib.request.urlopen(request, timeout=60) as response:
        return bytes(response.read())
