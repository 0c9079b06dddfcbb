"""Import AuthServiceClient where only MLflow's client is installed. Runs with that interpreter.

The module is part of it, but it imports the server (Flask, SQLAlchemy) for the prefixes of its paths. These are here.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow

FOLDER = Path(mlflow.__file__).parent


def auth_service_client(uri: str) -> Any:
    for package in ("server", "server.auth"):
        module = ModuleType(f"mlflow.{package}")
        module.__path__ = [str(FOLDER.joinpath(*package.split(".")))]
        sys.modules[module.__name__] = module
    handlers = ModuleType("mlflow.server.handlers")
    handlers._get_rest_path = lambda path, version=2: f"/api/{version}.0{path}"  # type: ignore[attr-defined]
    handlers._get_ajax_path = lambda path, version=2: f"/ajax-api/{version}.0{path}"  # type: ignore[attr-defined]
    handlers._add_static_prefix = lambda path: path  # type: ignore[attr-defined]
    sys.modules[handlers.__name__] = handlers
    from mlflow.server.auth.client import AuthServiceClient

    return AuthServiceClient(uri)
