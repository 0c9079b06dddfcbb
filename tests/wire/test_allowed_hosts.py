"""Which Host headers pass without a setting, and forms of patterns. tests/compat/security compares with MLflow."""

import dataclasses

import pytest
from tests.client import Response, running_app

from railtrack.config.settings import AuthSettings, SecuritySettings, ServerSettings, Settings, load
from railtrack.errors import StartError

PROXY = "10.0.0.5"
PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"


def on_a_network(settings: Settings, **server: object) -> Settings:
    """Return the settings of a server without login that others can reach."""
    of_server = dataclasses.replace(ServerSettings(host="0.0.0.0"), **server)
    return dataclasses.replace(settings, server=of_server, auth=AuthSettings(mode="off"))


async def get(settings: Settings, host: str, peer: str = "203.0.113.9", **headers: str) -> Response:
    sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with running_app(settings) as client:
        return await client.get(PATH, headers=sent, peer=peer)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:5000", "LocalHost", "app.localhost:5000", "127.0.0.1", "[::1]:5000", "10.0.0.5:5000"),
        *("203.0.113.9", "[2001:db8::1]:5000", "mlflow:5000", "railtrack", "my_mlflow:80"),
        *("mlflow-service.railway.internal:5000", "mlflow.ml.svc", "mlflow.ml.svc.cluster.local:5000", "gpu.local"),
    ],
)
async def test_a_host_that_nobody_can_register_passes(sqlite_settings: Settings, host: str) -> None:
    for settings in (sqlite_settings, on_a_network(sqlite_settings)):
        assert (await get(settings, host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:5000", "10.evil.example", "10.0.0.5.evil.example", "localhost.evil.example"),
        *("evil.example.", "notlocal.example", "internal.example", "xlocalhost.co", "localhost:evil.example"),
        *("[::1].evil.example", "[evil.example]", "evil.example:5000@localhost", "localhost/evil.example", ""),
        *("1.2.3", "1.2.3.4.5", "0x7f.0.0.1", "[fd00::1%25evil.example]", "mlflow:123456"),
    ],
)
async def test_any_other_host_is_rejected_with_the_remedy(sqlite_settings: Settings, host: str) -> None:
    for settings in (sqlite_settings, on_a_network(sqlite_settings)):
        response = await get(settings, host)
        assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")
        assert repr(host) in response.json["message"]
        assert "MLFLOW_SERVER_ALLOWED_HOSTS (--allowed-hosts)" in response.json["message"]


async def test_a_name_that_the_client_verified_by_tls_passes(sqlite_settings: Settings) -> None:
    settings = on_a_network(sqlite_settings, trusted_proxies=(PROXY,))
    name = "ml.example.com"
    assert (await get(settings, name, sec_fetch_site="same-origin")).status == 200
    assert (await get(settings, name, peer=PROXY, x_forwarded_proto="https")).status == 200
    # Scripts of a page can send these themselves, so only a proxy's count.
    assert (await get(settings, name, x_forwarded_proto="https")).status == 403
    assert (await get(settings, name, peer=PROXY, x_forwarded_proto="https, http")).status == 403
    assert (await get(settings, name, peer=PROXY, x_forwarded_host="localhost")).status == 403


async def test_with_a_login_every_name_passes_on_a_network(sqlite_settings: Settings) -> None:
    with_login = dataclasses.replace(on_a_network(sqlite_settings), auth=AuthSettings(mode="on"))
    assert (await get(with_login, "ml.example.com")).status == 401
    listed = dataclasses.replace(with_login, security=SecuritySettings(allowed_hosts=("ml.example.com",)))
    assert (await get(listed, "evil.example")).status == 403


async def test_behind_a_platform_every_name_passes_unless_hosts_are_set(sqlite_settings: Settings) -> None:
    behind_edge = on_a_network(sqlite_settings, platform_port=8080)
    for settings in (behind_edge, on_a_network(sqlite_settings, railway_service="1a2b")):
        assert (await get(settings, "ml.example.com")).status == 200
    listed = dataclasses.replace(behind_edge, security=SecuritySettings(allowed_hosts=("ml.example.com",)))
    assert (await get(listed, "ml.example.com")).status == 200
    assert (await get(listed, "evil.example")).status == 403
    on_loopback = dataclasses.replace(sqlite_settings, server=ServerSettings(platform_port=8080))
    assert (await get(on_loopback, "evil.example")).status == 403


async def test_a_list_of_hosts_holds_on_every_address_and_for_tls(sqlite_settings: Settings) -> None:
    for settings in (sqlite_settings, on_a_network(sqlite_settings)):
        listed = dataclasses.replace(settings, security=SecuritySettings(allowed_hosts=("ml.example.com",)))
        assert (await get(listed, "evil.example", sec_fetch_site="same-origin")).status == 403
        assert (await get(listed, "localhost:5000")).status == 403
        assert (await get(listed, "ml.example.com")).status == 200


@pytest.mark.parametrize(
    ("pattern", "allowed", "rejected"),
    [
        ("10.*", "10.1.2.3:5000", "10.1.2.3.evil.example"),
        ("192.168.*:8080", "192.168.1.2:8080", "192.168.1.2:8081"),
        ("10.?.*", "10.1.2.3", "10.12.evil"),
        ("[::1]:*", "[::1]:5000", "[::2]:5000"),
        ("[fd00:*", "[fd00::1]:5000", "fd00:evil.example"),
        ("[[]fd00:*", "[fd00::1]:5000", "d::1"),
        ("*.Example.com", "a.EXAMPLE.com", "example.com"),
        ("*.example.com", "a.example.com", "a.example.com:5000"),
        ("app-[0-9]*:5000", "app-1:5000", "app-x:5000"),
        ("*:5000", "ml.example.com:5000", "ml.example.com"),
    ],
)
async def test_wildcards(sqlite_settings: Settings, pattern: str, allowed: str, rejected: str) -> None:
    settings = dataclasses.replace(sqlite_settings, security=SecuritySettings(allowed_hosts=(pattern,)))
    assert (await get(settings, allowed)).status == 200
    assert (await get(settings, rejected)).status == 403


async def test_probes_reach_their_paths_under_any_host(sqlite_settings: Settings) -> None:
    settings = dataclasses.replace(
        sqlite_settings,
        security=SecuritySettings(allowed_hosts=("ml.example.com",)),
        server=ServerSettings(static_prefix="/ml"),
    )
    async with running_app(settings) as client:
        for path in ("/health", "/ready", "/ml/health", "/ml/ready", "/ml/version"):
            assert (await client.get(path, headers={"Host": "10.0.0.7:5000"})).status == 200
        for path in ("/ml/healthz", "/ml/metrics", "/ml/", "/ml/x/health"):
            assert (await client.get(path, headers={"Host": "10.0.0.7:5000"})).status == 403


@pytest.mark.parametrize("value", ["https://ml.example.com", "ml.example.com/", "me@ml.example.com", "a b"])
def test_a_host_that_no_header_can_have_is_an_invalid_value(value: str) -> None:
    with pytest.raises(StartError, match=r"^Invalid host in MLFLOW_SERVER_ALLOWED_HOSTS: .* Replace .* by a name"):
        load({}, {"MLFLOW_SERVER_ALLOWED_HOSTS": f"localhost,{value}"})


def test_a_list_without_names_keeps_the_default() -> None:
    assert load({}, {"MLFLOW_SERVER_ALLOWED_HOSTS": " , "}).allowed_hosts == ()
