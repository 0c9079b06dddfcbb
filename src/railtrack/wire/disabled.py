"""Endpoints that a setting turns off: they still exist, and report why they do nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from railtrack.errors import not_implemented
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import Response
from railtrack.wire.routing import Route

Endpoints = dict[tuple[str, str], Route]

TRACKING_PATHS = ("/get-artifact", "/graphql", "/model-versions/get-artifact")
ALWAYS_SERVED = ("/mlflow/server-info", "/mlflow/users/", "/mlflow/roles/")


def without_artifact_proxy(endpoints: Endpoints) -> Endpoints:
    """Disable what stores and reads artifacts of the destination (`--no-serve-artifacts`)."""
    return _disabled(endpoints, "with `--no-serve-artifacts`", lambda path: "/mlflow-artifacts/" in path)


def without_tracking(endpoints: Endpoints) -> Endpoints:
    """Disable what needs the database (`--artifacts-only`)."""
    return _disabled(endpoints, "in `--artifacts-only` mode", _is_tracking)


def _is_tracking(path: str) -> bool:
    if any(part in path for part in ALWAYS_SERVED):
        return False
    return "/mlflow/" in path or path.endswith(TRACKING_PATHS)


def _disabled(endpoints: Endpoints, mode: str, is_disabled: Callable[[str], bool]) -> Endpoints:
    return {key: _reporting(route, mode) if is_disabled(route.path) else route for key, route in endpoints.items()}


def _reporting(route: Route, mode: str) -> Route:
    """Return a route that responds with 501. Clients repeat a request for minutes after 503, MLflow's status."""

    async def respond(_: Any, http: HttpRequest) -> Response:
        raise not_implemented(f"Endpoint: {route.path} disabled due to the mlflow server running {mode}.")

    return replace(route, handler=respond, decoder=None, struct=None)
