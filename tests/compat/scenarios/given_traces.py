"""Shared setup of scenarios with traces: a trace without spans, and requests below /api/3.0/mlflow/."""

import json
from typing import Any

from tests.compat.play import Exchange, Script, get, post

V3 = "/api/3.0/mlflow/"
AJAX_V3 = "/ajax-api/3.0/mlflow/"


def call(name: str, method: str, path: str, body: Any) -> Exchange:
    """Return a request with `body` as JSON and this method."""
    path = path if path.startswith("/") else V3 + path
    typed = {"Content-Type": "application/json"}
    return Exchange(name, method, path, json.dumps(body).encode(), typed, shows=body)


def post3(name: str, path: str, body: Any) -> Exchange:
    return call(name, "POST", path, body)


def patch3(name: str, path: str, body: Any) -> Exchange:
    return call(name, "PATCH", path, body)


def delete3(name: str, path: str, body: Any = None) -> Exchange:
    return call(name, "DELETE", path, {} if body is None else body)


def get3(name: str, path: str, query: dict[str, Any] | None = None) -> Exchange:
    return get(name, V3 + path, query)


def trace(prefix: str, experiment_id: str, name: str) -> Script:
    """Start and end a trace with a chosen id. Return the id."""
    trace_id = f"tr-{prefix}{name}"
    info = {
        "trace_id": trace_id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
        "request_time": "2023-11-14T22:13:20Z",
        "execution_duration": "1.500s",
        "state": "OK",
    }
    yield post(f"given the trace {name}", f"{V3}traces", {"trace": {"trace_info": info}})
    return trace_id
