"""Runs MLflow's own store, in a virtual environment apart, on a database."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"

REFERENCE = "3.18.0"
"""The MLflow whose behavior Railtrack has."""

FOLDERS = {REFERENCE: CACHE / "mlflow-3.18.0", "3.17.2": CACHE / "mlflow"}
"""Version -> virtual environment with that MLflow. Databases of each are served."""

CREATES = "Creating initial MLflow database tables"
"""What MLflow logs when a database is not yet as it should be."""


def mlflow_interpreter(version: str = REFERENCE) -> Path:
    """Return the interpreter that imports this MLflow. Fail the test if it is not installed."""
    interpreter = FOLDERS[version] / "bin" / "python"
    if not interpreter.exists():
        pytest.fail(f"MLflow is not installed. Run `make .cache/{FOLDERS[version].name}/.ready`.", pytrace=False)
    return interpreter


def mlflow_store(command: str, url: str, version: str = REFERENCE) -> str:
    """Have MLflow's store do `command` (see mlflow_store.py) with the database; returns what it prints.

    All commands but "create" fail when MLflow finds anything to create or to upgrade.
    """
    done = subprocess.run(
        # SQLAlchemy's own choice is another driver than the one that comes with MLflow.
        [
            mlflow_interpreter(version),
            HERE / "mlflow_store.py",
            command,
            url.replace("postgresql:", "postgresql+psycopg2:"),
        ],
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (CREATES in done.stderr) == (command == "create"), done.stderr
    return done.stdout
