"""What lets a browser app on another origin use the server. tests/compat/security compares with MLflow."""

import dataclasses
import json

import pytest
from tests.client import Response, running_app

from railtrack.config.settings import SecuritySettings, Settings, load
from railtrack.errors import StartError

APP = "https://app.example.com"
CREATE = "/api/2.0/mlflow/runs/create"


def allowing(settings: Settings, *origins: str, **security: object) -> Settings:
    return dataclasses.replace(
        settings, security=dataclasses.replace(SecuritySettings(allowed_origins=origins), **security)
    )


async def send(settings: Settings, method: str, path: str, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"experiment_id": "0"}' if method == "POST" else b""
    async with running_app(settings) as client:
        return await client.send(method, path, body=body, headers={"Content-Type": "application/json", **sent})


async def test_an_app_on_an_allowed_origin_can_send_credentials_and_read_every_response(
    sqlite_settings: Settings,
) -> None:
    settings = allowing(sqlite_settings, APP)
    preflight = await send(
        settings,
        "OPTIONS",
        CREATE,
        origin=APP,
        access_control_request_method="POST",
        access_control_request_headers="authorization,content-type",
    )
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == APP
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for method, path, status in (("POST", CREATE, 200), ("GET", "/no/such/path", 404), ("GET", "/health", 200)):
        response = await send(settings, method, path, origin=APP, sec_fetch_site="cross-site")
        assert response.status == status
        assert response.headers["access-control-allow-origin"] == APP
        assert response.headers["access-control-allow-credentials"] == "true"
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        assert response.headers["vary"] == "Origin"


async def test_an_app_on_another_origin_can_neither_change_nor_read(sqlite_settings: Settings) -> None:
    settings = allowing(sqlite_settings, APP)
    evil = "https://evil.example"
    preflight = await send(settings, "OPTIONS", CREATE, origin=evil, access_control_request_method="POST")
    assert (preflight.status, preflight.json["error_code"]) == (400, "BAD_REQUEST")
    blocked = await send(settings, "POST", CREATE, origin=evil)
    assert (blocked.status, blocked.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert f"add {evil} to MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" in blocked.json["message"]
    read = await send(settings, "GET", "/health", origin=evil)
    for response in (preflight, blocked, read):
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["vary"] == "Origin"


async def test_any_origin_is_allowed_without_credentials(sqlite_settings: Settings) -> None:
    settings = allowing(sqlite_settings, "*")
    response = await send(settings, "POST", CREATE, origin="https://any.example", sec_fetch_site="cross-site")
    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    assert "vary" not in response.headers


async def test_an_origin_by_wildcard_may_read_too(sqlite_settings: Settings) -> None:
    settings = allowing(sqlite_settings, "https://*.example.org")
    response = await send(settings, "POST", CREATE, origin="https://a.example.org")
    assert (response.status, response.headers["access-control-allow-origin"]) == (200, "https://a.example.org")
    for origin in ("https://example.org", "http://a.example.org", "https://a.example.org.evil.example"):
        assert (await send(settings, "POST", CREATE, origin=origin)).status == 403


async def test_a_compressed_response_varies_by_both_headers(sqlite_settings: Settings) -> None:
    async with running_app(sqlite_settings) as client:
        tags = [{"key": f"tag{number}", "value": "x" * 1000} for number in range(60)]
        created = await client.ok("POST", "runs/create", {"experiment_id": "0", "tags": tags})
        query = {"run_id": created["run"]["info"]["run_id"]}
        response = await client.get("runs/get", query, headers={"Accept-Encoding": "gzip", "Origin": APP})
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Origin, accept-encoding"


@pytest.mark.parametrize("value", ["app.example.com", "https://", "https://app.example.com/path", "//x"])
def test_an_origin_that_no_browser_sends_is_an_invalid_value(value: str) -> None:
    with pytest.raises(
        StartError, match=r"^Invalid origin in --cors-allowed-origins: .* Replace .* by scheme and host"
    ):
        load({"security.allowed_origins": f"https://a.example,{value}"}, {})


def test_a_slash_after_an_origin_is_ignored() -> None:
    environ = {"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://a.example/, null ,https://*.b.example,*"}
    assert load({}, environ).security.allowed_origins == ("https://a.example", "null", "https://*.b.example", "*")


@pytest.mark.parametrize(
    ("value", "header"), [("", "SAMEORIGIN"), ("sameorigin", "SAMEORIGIN"), ("Deny", "DENY"), ("none", None)]
)
async def test_the_frame_header_is_a_setting(sqlite_settings: Settings, value: str, header: str | None) -> None:
    security = load({}, {"MLFLOW_SERVER_X_FRAME_OPTIONS": value}).security
    settings = dataclasses.replace(sqlite_settings, security=security)
    page = await send(settings, "GET", "/")
    assert page.headers.get("x-frame-options") == header
    assert "frame-ancestors" not in page.headers["content-security-policy"]  # browsers would ignore the header
    renderer = await send(settings, "GET", "/static-files/lib/notebook-trace-renderer/index.html")
    assert renderer.status == 200
    assert "x-frame-options" not in renderer.headers


@pytest.mark.parametrize("value", ["ALLOW-FROM https://a.example", "ALLOWALL"])
def test_a_frame_header_that_browsers_ignore_is_an_invalid_value(value: str) -> None:
    with pytest.raises(
        StartError, match=r"^Invalid value in MLFLOW_SERVER_X_FRAME_OPTIONS: .* Use SAMEORIGIN, DENY, or"
    ):
        load({}, {"MLFLOW_SERVER_X_FRAME_OPTIONS": value})


async def test_disabled_protection_leaves_nothing_but_the_content_type(sqlite_settings: Settings) -> None:
    settings = allowing(sqlite_settings, APP, allowed_hosts=("ml.example.com",), is_disabled=True)
    response = await send(settings, "POST", CREATE, origin="https://evil.example", host="evil.example")
    assert response.status == 200
    assert json.loads(response.body)["run"]["info"]["status"] == "RUNNING"
    names = set(response.headers)
    assert names == {"content-type", "x-content-type-options", "x-request-id", "content-length"}


@pytest.mark.parametrize("value", ["1", "True", "yes"])
def test_only_true_disables_the_protection_and_other_spellings_are_invalid(value: str) -> None:
    assert load({}, {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true"}).security.is_disabled
    with pytest.raises(StartError, match=r"^Invalid value in MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: "):
        load({}, {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": value})
