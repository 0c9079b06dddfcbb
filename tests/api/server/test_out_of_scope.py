"""Parts of MLflow that this server does not have: 501 with a reason, or an empty list."""

import pytest
from tests.client import Client

from railtrack.api.server.out_of_scope import EMPTY_LISTS

V3 = "/ajax-api/3.0/mlflow/"


@pytest.mark.parametrize("path", EMPTY_LISTS)
async def test_a_list_that_a_page_requests_is_empty(client: Client, path: str) -> None:
    answer = await client.ok("GET", V3 + path)
    assert not [value for value in answer.values() if value]


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("POST", "gateway/endpoints/create", "AI gateway"),
        ("GET", "gateway/secrets/get", "AI gateway"),
        ("DELETE", "gateway/endpoints/models/detach", "AI gateway"),
        ("POST", "/gateway/mlflow/v1/chat/completions", "AI gateway"),
        ("POST", "/gateway/my-endpoint/mlflow/invocations", "AI gateway"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy", "AI gateway"),
        ("POST", "/ajax-api/3.0/jobs/", "jobs"),
        ("GET", "/ajax-api/3.0/jobs/1", "jobs"),
        ("PATCH", "jobs/cancel/1", "jobs"),
        ("POST", "scorer/invoke", "jobs"),
        ("POST", "issues/invoke", "jobs"),
        ("POST", "genai/evaluate/invoke", "jobs"),
        ("POST", "prompt-optimization/jobs/1/cancel", "jobs"),
        ("POST", "mcp-servers", "registry"),
        ("GET", "mcp-servers/a/b/versions", "registry"),
        ("DELETE", "skills/@org/name/tags/a", "registry"),
        ("POST", "assistant/message", "assistant"),
        ("DELETE", "workspaces/a", "workspaces"),
        ("POST", "/ajax-api/2.0/mlflow/runs/create-promptlab-run", "prompt lab"),
    ],
)
async def test_a_request_of_a_part_that_is_not_there_gets_501_and_one_sentence(
    client: Client, method: str, path: str, reason: str
) -> None:
    response = await client.send(method, path if path.startswith("/") else V3 + path, json={"any": "body"})
    assert (response.status, response.json["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert reason in response.json["message"]
    assert "\n" not in response.json["message"]


async def test_an_issue_is_not_taken_for_such_a_part(client: Client) -> None:
    response = await client.get(f"{V3}issues/iss-1")
    assert (response.status, response.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
