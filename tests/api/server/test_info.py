"""Feature flags and the version."""

from tests.client import Client


async def test_server_info_has_the_feature_flags(client: Client) -> None:
    for prefix in ("/api", "/ajax-api"):
        info = await client.ok("GET", f"{prefix}/3.0/mlflow/server-info")
        assert info["store_type"] == "SqlStore"
        assert info["features_enabled"] == {"gateway": False, "scheduled_issue_detection": False}
        assert [name for name, value in info.items() if value is True] == ["artifact_serving_enabled"]
        assert info["tracking_auth"] == ""


async def test_the_version_is_the_supported_mlflow(client: Client) -> None:
    answer = await client.get("/version")
    assert (answer.status, answer.body) == (200, b"3.18.0")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_there_are_no_workspaces(client: Client) -> None:
    assert await client.ok("GET", "/ajax-api/3.0/mlflow/workspaces") == {"workspaces": []}
