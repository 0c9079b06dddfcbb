"""Feedback, datasets, an evaluation with scorers, and stored scorers, by unmodified clients."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.railtrack import railtrack_server

PROGRAM = Path(__file__).with_name("scenario_genai.py")


@pytest.mark.parametrize("version", ["3.18.0", "3.17.2"])
def test_a_client_assesses_evaluates_and_stores_scorers(version: str, tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server") as server:
        done = subprocess.run(
            [str(client_interpreter(version)), str(PROGRAM)],
            env=client_environment(server.url, tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert server.logged_errors() == []
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report == {
        "assessments": [["good", False], ["good", True]],
        "error": "no answer",
        "left": 3,
        "records": 3,
        "tags": {"kind": "unit", "team": "vision"},
        "found": ["golden"],
        "after": ["golden"],
        "metrics": {"is_expected/mean": 1.0, "is_upper/mean": 1.0},
        "evaluated": [3, 3, 3],
        "scorers": ["tone"],
        "judge": "Is {{ outputs }} polite?",
        "no scorers": [],
    }
