"""Starts MLflow's own store, in an environment of its own, on a database."""

import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
INTERPRETER = Path(os.environ.get("RAILTRACK_TEST_MLFLOW", HERE.parents[1] / ".cache/mlflow")) / "bin/python"
"""Of an environment with MLflow 3.17.2, which `make test` makes."""

CREATES = "Creating initial MLflow database tables"
"""What MLflow logs when a database is not yet as it should be."""


def mlflow_store(command: str, url: str) -> str:
    """Have MLflow's store do `command` (see mlflow_store.py) with the database; returns what it prints.

    All commands but "create" fail when MLflow finds anything to create or to upgrade.
    """
    assert INTERPRETER.exists(), f"there is no {INTERPRETER}: `make test` prepares it"
    done = subprocess.run(
        # SQLAlchemy's own choice is another driver than the one that comes with MLflow.
        [INTERPRETER, HERE / "mlflow_store.py", command, url.replace("postgresql:", "postgresql+psycopg2:")],
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (CREATES in done.stderr) == (command == "create"), done.stderr
    return done.stdout
