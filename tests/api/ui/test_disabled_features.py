"""Constant responses for features that this server doesn't have."""

from typing import Any

import pytest
from tests.client import Client


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "2.0/mlflow/gateway-proxy?gateway_path=api%2F2.0%2Fendpoints%2F", {"endpoints": []}),
        (
            "GET",
            "3.0/mlflow/assistant/config",
            {"providers": {}, "projects": {}, "remote_access_allowed": False, "can_edit_server_settings": True},
        ),
        ("GET", "3.0/mlflow/skills", {"skills": [], "next_page_token": None}),
        ("GET", "3.0/mlflow/assistant/providers", {"providers": []}),
        ("POST", "3.0/mlflow/ui-telemetry", {"status": "disabled"}),
    ],
)
async def test_requests_for_disabled_features_return_constant_responses(
    browser: Client, method: str, path: str, answer: dict[str, Any]
) -> None:
    response = await browser.send(method, f"/ajax-api/{path}", json={"records": []} if method == "POST" else None)
    assert (response.status, response.json) == (200, answer)


async def test_telemetry_is_disabled(browser: Client) -> None:
    assert (await browser.get("/ajax-api/3.0/mlflow/ui-telemetry")).json["disable_ui_telemetry"] is True
