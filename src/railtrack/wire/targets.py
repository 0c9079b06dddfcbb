"""The resource that a request names, for the audit log. What access it needs is decided in auth/targets.py."""

from typing import NamedTuple

from railtrack.wire.request import HttpRequest, Request
from railtrack.wire.routing import Route

FIELDS = {
    "username": "user",
    "role_id": "role",
    "role_permission_id": "role permission",
    "webhook_id": "webhook",
    "trace_id": "trace",
    "issue_id": "issue",
    "schema_id": "label schema",
    "queue_id": "review queue",
    "dataset_id": "evaluation dataset",
    "run_id": "run",
    "run_ids": "run",
    "model_id": "logged_model",
    "trace_ids": "trace",
    "experiment_id": "experiment",
    "experiment_name": "experiment",
    "experiment_ids": "experiment",
    "path": "artifact",
}
"""The type of resource, by the field of a request. The first field that a request has counts."""
IDS = 10
"""Of a list, so many are named."""
MODEL_PATHS = ("registered-models/", "model-versions/")
"""What `name` is a model's name in."""


class NamedResource(NamedTuple):
    """ "" for what the request does not name."""

    resource_type: str
    resource_id: str


def named_resource(route: Route, request: Request | HttpRequest) -> NamedResource:
    """Return what a request is about, as far as it is easy to see."""
    if isinstance(request, HttpRequest):
        path = request.params.get("path") or request.params.get("folder", "")
        return NamedResource("artifact" if path else "", path)
    if route.name.partition(" ")[2].startswith(MODEL_PATHS):
        return NamedResource("registered_model", str(getattr(request, "name", "")))
    if hasattr(request, "resource_type") and hasattr(request, "resource_id"):
        return NamedResource(request.resource_type, request.resource_id)
    for field, resource_type in FIELDS.items():
        if value := getattr(request, field, None):
            return NamedResource(resource_type, ", ".join(value[:IDS]) if isinstance(value, list) else str(value))
    return NamedResource("", "")
