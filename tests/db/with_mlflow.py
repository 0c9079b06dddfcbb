"""Runs MLflow's own store, in a virtual environment apart, on a database."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("RAILTRACK_TEST_MLFLOW", HERE.parents[1] / ".cache/mlflow"))
"""A virtual environment with MLflow 3.17.2."""

CREATES = "Creating initial MLflow database tables"
"""What MLflow logs when a database is not yet as it should be."""


def mlflow_interpreter() -> Path:
    """Return the interpreter that imports MLflow. Fail the test if it is not installed."""
    interpreter = FOLDER / "bin" / "python"
    if not interpreter.exists():
        pytest.fail("MLflow is not installed. Run `make .cache/mlflow/.ready`.", pytrace=False)
    return interpreter


def mlflow_store(command: str, url: str) -> str:
    """Have MLflow's store do `command` (see mlflow_store.py) with the database; returns what it prints.

    All commands but "create" fail when MLflow finds anything to create or to upgrade.
    """
    done = subprocess.run(
        # SQLAlchemy's own choice is another driver than the one that comes with MLflow.
        [mlflow_interpreter(), HERE / "mlflow_store.py", command, url.replace("postgresql:", "postgresql+psycopg2:")],
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (CREATES in done.stderr) == (command == "create"), done.stderr
    return done.stdout
