"""A scikit-learn model and a models-from-code model are logged, registered, and loaded with equal predictions."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.interpreters import FOLDER, client_environment, client_interpreter
from tests.servers.railtrack import RailtrackServer, railtrack_server

PROGRAM = Path(__file__).with_name("scenario_real_model.py")
FULL_MLFLOW = FOLDER / "mlflow" / "bin" / "python"
"""The full MLflow with scikit-learn, which the clients' virtual environments lack."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with railtrack_server(tmp_path_factory.mktemp("real")) as server:
        yield server
        assert server.logged_errors() == []


@pytest.fixture(scope="module")
def logged(server: RailtrackServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Log both models as `iris` and `iris-code`, and return the report of the program."""
    folder = tmp_path_factory.mktemp("logging")
    return run_program(FULL_MLFLOW, server, folder, "log", "iris", str(folder))


def run_program(interpreter: Path, server: RailtrackServer, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the program in a separate process with an empty home, and return the JSON object that it prints."""
    done = subprocess.run(
        [str(interpreter), str(PROGRAM), *arguments],
        env=client_environment(server.url, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_has_equal_predictions_from_every_uri(
    logged: dict[str, Any], server: RailtrackServer, tmp_path: Path
) -> None:
    iris = [f"models:/{logged['iris']}", "models:/iris/1", "models:/iris@champion", "models:/iris/latest"]
    code = [f"models:/{logged['scaling']}", "models:/iris-code/1"]
    old_style = f"runs:/{logged['run_id']}/iris"
    found = run_program(FULL_MLFLOW, server, tmp_path, "load", *iris, *code, old_style)
    trained = logged["predicted"]["iris"]
    assert len(trained["kinds"]) == 150
    for uri in (*iris, old_style):
        assert found[uri] == {"pyfunc": trained["kinds"], "itself": trained}, uri
    for uri in code:
        assert found[uri] == {"pyfunc": logged["predicted"]["scaling"]}, uri


@pytest.mark.parametrize("version", ["3.1.0", "2.22.0"])
def test_an_older_client_downloads_every_file_of_a_model_by_its_alias(
    version: str, logged: dict[str, Any], server: RailtrackServer, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    uri = "models:/iris@champion"
    now = run_program(client_interpreter("3.17.2"), server, tmp_path, "digests", uri, str(tmp_path / "new"))
    then = run_program(client_interpreter(version), server, tmp_path, "digests", uri, str(tmp_path / "old"))
    assert {"MLmodel", "requirements.txt", "input_example.json"} <= now.keys()
    assert then == now
