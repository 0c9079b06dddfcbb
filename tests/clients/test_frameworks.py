"""An Optuna study, and a copy of an experiment by mlflow-export-import, against a running server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import FOLDER, client_environment
from tests.servers.railtrack import railtrack_server

PROGRAM = Path(__file__).with_name("scenario_frameworks.py")
INTERPRETER = FOLDER / "frameworks" / "bin" / "python"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not INTERPRETER.exists():
        pytest.fail("Optuna is not installed. Run `make .cache/frameworks/.ready`.", pytrace=False)
    folder = tmp_path_factory.mktemp("frameworks")
    with railtrack_server(tmp_path_factory.mktemp("server")) as server:
        done = subprocess.run(
            [str(INTERPRETER), str(PROGRAM), str(folder)],
            env=client_environment(f"{server.url}/", folder),  # people's URIs end in a slash
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert server.logged_errors() == []
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


@pytest.mark.slow
def test_the_trials_of_an_optuna_study_are_runs(report: dict[str, Any]) -> None:
    assert [run["name"] for run in report["parabola"]] == ["0", "1", "2"]
    for run, sampled in zip(report["parabola"], report["trials"], strict=True):
        assert run["history"] == {"loss": [[0, repr(sampled["value"])]]}
        assert run["params"] == {"x": str(sampled["x"])}


@pytest.mark.slow
def test_mlflow_export_import_copies_an_experiment(report: dict[str, Any]) -> None:
    assert [run["name"] for run in report["original"]] == ["child", "parent"]
    assert report["original"][1]["files"] == ["sub/notes.txt"]
    assert report["copied"] == report["original"]
