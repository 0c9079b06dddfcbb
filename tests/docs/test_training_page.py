"""The programs of docs/training.md, run against a server with login, do what the page describes."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import FOLDER, client_environment
from tests.docs.pages import DOCS, Page
from tests.docs.test_guides import CLIENTS, OURS, variables
from tests.servers.railtrack import RailtrackServer, command, railtrack_server

PAGES = {"english": Page(DOCS / "training.md"), "korean": Page(DOCS / "ko" / "training.md")}
BOTO3 = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def programs() -> dict[str, str]:
    """Return the Python block of each section of the page, by the heading."""
    sections = re.split(r"^## (.+)$", PAGES["english"].text, flags=re.M)[1:]
    found = {title: re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) for title, text in batched(sections)}
    return {title: blocks[0] for title, blocks in found.items() if blocks}


def batched(parts: list[str]) -> list[tuple[str, str]]:
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_both_pages_have_the_same_parts_and_the_same_code() -> None:
    english, korean = PAGES.values()
    assert [level for level, _ in english.headings] == [level for level, _ in korean.headings]
    assert [(one.language, one.code) for one in english.blocks] == [(one.language, one.code) for one in korean.blocks]
    assert set(re.findall(r"`[^`\n]+`", english.prose)) == set(re.findall(r"`[^`\n]+`", korean.prose))


def test_every_variable_is_read_by_a_client() -> None:
    named = [variables(block.text).keys() for block in PAGES["english"].blocks if block.language == "env"]
    assert set().union(*named) <= CLIENTS | BOTO3
    assert not set().union(*named) & (OURS - BOTO3), "a setting of the server does not help a training"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RailtrackServer]:
    environ = {"RAILTRACK_AUTH": "on", "MLFLOW_AUTH_DEFAULT_PERMISSION": "EDIT"}
    with railtrack_server(tmp_path_factory.mktemp("server"), environment=environ, workers=1) as server:
        yield server
        assert server.logged_errors() == []


@pytest.fixture(scope="module")
def token(server: RailtrackServer) -> str:
    arguments = ("users", "create", "services", "--no-password")
    assert command(server.folder, *arguments, **server.environment).returncode == 0
    done = command(server.folder, "tokens", "create", "services", "training", **server.environment)
    return done.stdout.strip()


@pytest.fixture
def training(server: RailtrackServer, token: str, tmp_path: Path) -> "Training":
    return Training(server.url, token, tmp_path)


@pytest.mark.mlflow
def test_a_program_without_autologging_logs_each_epoch(training: "Training") -> None:
    training.run("Log")
    [run] = training.runs("by-hand")
    assert (run["info"]["status"], params(run)) == ("FINISHED", {"learning_rate": "0.1", "epochs": "3"})
    assert [point["value"] for point in training.history(run, "loss")] == [1.0, 0.5, 1 / 3]
    assert training.files(run) == ["classes.txt"]


@pytest.mark.mlflow
def test_autologging_records_params_and_metrics_and_the_model_is_registered(training: "Training") -> None:
    training.run("Autologging")
    [run] = training.runs("autologged")
    assert params(run)["C"] == "0.5"
    assert "training_accuracy_score" in {one["key"] for one in run["data"]["metrics"]}
    model = training.get("registered-models/get?name=classifier")["registered_model"]
    assert model["latest_versions"][0]["status"] == "READY"


@pytest.mark.mlflow
def test_every_value_that_was_queued_arrives(training: "Training") -> None:
    training.run("Asynchronous")
    [run] = training.runs("asynchronous")
    assert [int(point.get("step", 0)) for point in training.history(run, "loss")] == list(range(500))


@pytest.mark.mlflow
def test_offline_runs_are_copied_once(training: "Training") -> None:
    environment = {"MLFLOW_TRACKING_URI": "sqlite:///offline.db"}
    offline = programs()["Log"].replace("by-hand", "offline")
    training.execute(offline, **environment)
    training.execute(offline.replace("0.1", "0.2") + "\nraise SystemExit(3)", expected=3, **environment)
    unfinished = 'import mlflow, os\nmlflow.set_experiment("offline")\nmlflow.start_run()\nos._exit(9)'
    training.execute(unfinished, expected=9, **environment)
    training.run("Offline")
    copies = training.runs("offline")
    assert sorted(run["info"]["status"] for run in copies) == ["FAILED", "FINISHED", "FINISHED"]
    [first] = [run for run in copies if params(run).get("learning_rate") == "0.1"]
    assert [point["value"] for point in training.history(first, "loss")] == [1.0, 0.5, 1 / 3]
    assert training.files(first) == ["classes.txt"]
    assert int(first["info"]["start_time"]) < int(first["info"]["end_time"])

    training.run("Offline")
    assert training.runs("offline") == copies


@pytest.mark.mlflow
def test_only_rank_0_makes_a_run(training: "Training") -> None:
    for rank in ("1", "0", "2"):
        training.run("More than one process (DDP)", RANK=rank)
    [run] = training.runs("distributed")
    assert len(training.history(run, "loss")) == 3


@pytest.mark.mlflow
def test_a_notebook_logs_with_the_token_of_its_user(training: "Training") -> None:
    training.run("A notebook")
    [run] = training.runs("notebook")
    assert run["info"]["status"] == "FINISHED"
    assert all("rtk_" not in block.text.replace("rtk_...", "") for block in PAGES["english"].blocks)


@pytest.mark.mlflow
def test_the_trials_of_a_study_are_runs_below_it(training: "Training") -> None:
    training.run("Sweeps")
    runs = training.runs("sweep")
    [study] = [run for run in runs if run["info"]["run_name"] == "study"]
    trials = [run for run in runs if run is not study]
    assert {tags(run)["mlflow.parentRunId"] for run in trials} == {study["info"]["run_id"]}
    assert len(trials) == 10
    lowest = min(one["value"] for run in trials for one in run["data"]["metrics"])
    assert [one["value"] for one in study["data"]["metrics"]] == [lowest]


@pytest.mark.mlflow
def test_the_run_of_a_training_that_dies_is_closed(training: "Training") -> None:
    program = programs()["The backend"]
    training.execute(program)
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    training.execute(program.replace("raise SystemExit(3)", killed))
    runs = training.runs("started-by-the-backend")
    assert sorted((run["info"]["status"], tags(run).get("exit_code")) for run in runs) == [
        ("FAILED", "3"),
        ("KILLED", "-9"),
    ]
    assert all(len(training.history(run, "loss")) == 1 for run in runs)


class Training:
    """The folder and the environment of a training, and reads of what it logged."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self._url = url
        self._token = token
        self._folder = folder

    def run(self, section: str, **environ: str) -> None:
        self.execute(programs()[section], **environ)

    def execute(self, program: str, *, expected: int = 0, **environ: str) -> None:
        interpreter = FOLDER / "frameworks" / "bin" / "python"
        if not interpreter.exists():
            pytest.fail("Optuna is not installed. Run `make .cache/frameworks/.ready`.", pytrace=False)
        done = subprocess.run(
            [str(interpreter), "-c", program],
            env=client_environment(self._url, self._folder) | {"MLFLOW_TRACKING_TOKEN": self._token} | environ,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == expected, done.stderr

    def get(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._url}/api/2.0/mlflow/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self._token}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        found = self.get(f"experiments/get-by-name?experiment_name={experiment}")["experiment"]["experiment_id"]
        runs: list[dict[str, Any]] = self.get("runs/search", {"experiment_ids": [found]})["runs"]
        return runs

    def history(self, run: dict[str, Any], key: str) -> list[dict[str, Any]]:
        query = f"metrics/get-history?run_id={run['info']['run_id']}&metric_key={key}&max_results=1000"
        points: list[dict[str, Any]] = self.get(query)["metrics"]
        return points

    def files(self, run: dict[str, Any]) -> list[str]:
        return [one["path"] for one in self.get(f"artifacts/list?run_id={run['info']['run_id']}")["files"]]


def params(run: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in run["data"].get("params", ())}


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in run["data"].get("tags", ())}
