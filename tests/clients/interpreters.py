"""Where the unmodified clients are, and the bare environment that they run in."""

import os
from pathlib import Path

VERSIONS = ("3.18.0", "3.17.2", "3.1.0", "2.22.0", "2.9.2")
FOLDER = Path(os.environ.get("RAILTRACK_TEST_CLIENTS", Path(__file__).parents[2] / ".cache"))
"""Holds an environment for each version, made by `make test`: client-<version>/bin/python."""


def client_interpreter(version: str) -> Path:
    interpreter = FOLDER / f"client-{version}" / "bin" / "python"
    assert interpreter.exists(), f"no client {version} in {FOLDER}: `make test` prepares it"
    return interpreter


def client_environment(url: str, home: Path) -> dict[str, str]:
    """Variables for a client that logs to `url`; nothing of the machine's own settings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # A client repeats what fails with 5xx; here it is to tell of it.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
