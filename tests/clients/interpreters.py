"""Find the interpreters of the unmodified clients, and define their environment."""

import os
from pathlib import Path

import pytest

VERSIONS = ("3.18.0", "3.17.2", "3.1.0", "2.22.0", "2.9.2")
FOLDER = Path(os.environ.get("RAILTRACK_TEST_CLIENTS", Path(__file__).parents[2] / ".cache"))
"""Holds a virtual environment for each version: client-<version>/bin/python."""


def client_interpreter(version: str) -> Path:
    """Return the interpreter that imports this version of mlflow. Fail the test if it is not installed."""
    interpreter = FOLDER / f"client-{version}" / "bin" / "python"
    if not interpreter.exists():
        pytest.fail(f"The client {version} is not installed. Run `make .cache/client-{version}/.ready`.", pytrace=False)
    return interpreter


def client_environment(url: str, home: Path) -> dict[str, str]:
    """Return the variables for a client that logs to `url`, without any setting of this machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # The client retries on 5xx by default. Here such an error must fail the test.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
