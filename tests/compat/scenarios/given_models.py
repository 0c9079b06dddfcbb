"""Shared setup of model scenarios: logged models, registered models and versions. Contains no scenario."""

import json
from typing import Any

from tests.compat.play import Exchange, Script, post

NO_MODEL = "m-0123456789abcdef0123456789abcdef"
"""A logged model's id that no server generates."""
SOURCE = "s3://bucket/model"


def call(name: str, method: str, path: str, body: Any, *, only: tuple[str, ...] = ()) -> Exchange:
    """Return a request with `body` as JSON and this method."""
    typed = {"Content-Type": "application/json"}
    return Exchange(name, method, f"/api/2.0/mlflow/{path}", json.dumps(body).encode(), typed, shows=body, only=only)


def patch(name: str, path: str, body: Any) -> Exchange:
    return call(name, "PATCH", path, body)


def delete(name: str, path: str, body: Any = None) -> Exchange:
    return call(name, "DELETE", path, {} if body is None else body)


def pairs(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def logged_model(experiment_id: str, name: str, **fields: Any) -> Script:
    """Create a logged model. Return its id and artifact URI."""
    body = {"experiment_id": experiment_id, "name": name, **fields}
    created = yield post(f"given the logged model {name}", "logged-models", body)
    return created.at("model", "info", "model_id"), created.at("model", "info", "artifact_uri")


def registered_model(prefix: str, name: str, **fields: Any) -> Script:
    """Create a registered model. Return its name."""
    yield post(f"given the registered model {name}", "registered-models/create", {"name": prefix + name, **fields})
    return prefix + name


def version(name: str, label: str, **fields: Any) -> Script:
    """Create a version with its label as description, which searches record."""
    body = {"name": name, "source": SOURCE, "description": label, **fields}
    yield post(f"given the version {label}", "model-versions/create", body)
