"""What MLflow serves and this server does not: a 501 with the reason, or an empty list where the web interface asks.

docs/genai.md has the list for users.
"""

import re

from railtrack.auth import SIGNED_IN
from railtrack.context import Context
from railtrack.errors import not_implemented
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse
from railtrack.wire.routing import endpoint

EMPTY_LISTS = {
    "gateway/endpoints/list": b"{}",
    "gateway/endpoints/bindings/list": b"{}",
    "gateway/model-definitions/list": b"{}",
    "gateway/secrets/list": b"{}",
    "gateway/secrets/config": b'{"secrets_available":false}',
    "gateway/budgets/list": b"{}",
    "gateway/budgets/windows": b"{}",
    "gateway/guardrails/list": b"{}",
    "gateway/supported-providers": b'{"providers":[]}',
    "gateway/supported-models": b'{"models":[]}',
    "mcp-servers": b'{"mcp_servers":[],"next_page_token":null}',
    "mcp-servers/endpoints": b'{"endpoints":[],"next_page_token":null}',
    "prompt-optimization/jobs/search": b"{}",
}
"""What a page of the web interface requests to show that there is none."""

GATEWAY = "Railtrack has no AI gateway: it stores no keys of model providers and sends no requests to models."
JOBS = (
    "Railtrack runs no jobs: no LLM judges, issue detection or prompt optimization on the server. "
    "Run them in a client, with mlflow.genai."
)
REGISTRIES = "Railtrack has no registry of MCP servers and skills."
ASSISTANT = "Railtrack has no assistant."
WORKSPACES = "Railtrack has no workspaces: everything is in the workspace 'default'."
PROMPT_LAB = "Railtrack has no prompt lab, which needs an AI gateway."

NOT_SERVED: dict[str, tuple[tuple[str, str], ...]] = {
    GATEWAY: (
        *((method, "gateway/{path...}") for method in ("GET", "POST", "PATCH", "DELETE")),
        *((method, "/gateway/{path...}") for method in ("GET", "POST")),
    ),
    JOBS: (
        ("POST", "/ajax-api/3.0/jobs/"),
        *((method, "/ajax-api/3.0/jobs/{path...}") for method in ("GET", "POST", "PATCH")),
        *((method, "jobs/{path...}") for method in ("GET", "PATCH")),
        ("POST", "genai/evaluate/invoke"),
        ("POST", "issues/invoke"),
        ("POST", "issues/schedule/state"),
        ("POST", "scorer/invoke"),
        ("POST", "prompt-optimization/jobs"),
        *((method, "prompt-optimization/jobs/{path...}") for method in ("GET", "POST", "DELETE")),
    ),
    REGISTRIES: tuple(
        (method, path)
        for resource in ("mcp-servers", "skills")
        for method, path in (
            ("POST", resource),
            *((method, f"{resource}/{{path...}}") for method in ("GET", "POST", "PATCH", "DELETE")),
        )
    ),
    ASSISTANT: tuple((method, "assistant/{path...}") for method in ("GET", "POST", "PUT", "PATCH")),
    WORKSPACES: (("POST", "workspaces"), *((method, "workspaces/{path...}") for method in ("GET", "PATCH", "DELETE"))),
}


def _serve_empty(path: str, body: bytes) -> None:
    @endpoint("GET", path, access=SIGNED_IN, api="3.0")
    async def respond(ctx: Context, http: HttpRequest) -> BytesResponse:
        """Return an empty list: Railtrack does not have this part of MLflow."""
        return BytesResponse(body)

    respond.__name__ = _name_of(path)


def _reject(method: str, path: str, reason: str, api: str = "3.0", *, ajax_only: bool = False) -> None:
    @endpoint(method, path, access=SIGNED_IN, api=api, ajax_only=ajax_only)
    async def respond(ctx: Context, http: HttpRequest) -> BytesResponse:
        """Raise NOT_IMPLEMENTED, with the reason why Railtrack does not have this part of MLflow."""
        raise not_implemented(reason)

    respond.__name__ = _name_of(path)


def _name_of(path: str) -> str:
    """Return a name for the handler of a path, unique in the description of the API."""
    return re.sub(r"\W+", "_", path).strip("_")


for _path, _body in EMPTY_LISTS.items():
    _serve_empty(_path, _body)
for _reason, _routes in NOT_SERVED.items():
    for _method, _path in _routes:
        _reject(_method, _path, _reason)
_reject("POST", "gateway-proxy", GATEWAY, "2.0", ajax_only=True)
_reject("POST", "runs/create-promptlab-run", PROMPT_LAB, "2.0", ajax_only=True)
