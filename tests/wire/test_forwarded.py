"""X-Forwarded-For and X-Forwarded-Host: believed when a trusted proxy sends them, and from nobody else."""

import dataclasses

import pytest
from tests.client import Client, running_app

from railtrack.config.settings import AuthSettings, SecuritySettings, ServerSettings, Settings, load
from railtrack.db import Db
from railtrack.errors import ApiError, StartError
from railtrack.wire import forwarded
from railtrack.wire.forwarded import ProxiedClients, TrustedProxies, client_network
from railtrack.wire.request import HttpRequest

NGINX, PROXY, CLIENT = "10.0.0.5", "172.16.3.4", "203.0.113.9"


def request(peer: str, *forwarded: str) -> HttpRequest:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]

    async def receive() -> dict[str, object]:
        return {}

    return HttpRequest({"client": (peer, 1), "headers": headers}, receive)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (CLIENT, (), CLIENT),
        (NGINX, (), NGINX),
        (NGINX, (CLIENT,), CLIENT),
        (NGINX, (f"{CLIENT}, {PROXY}",), CLIENT),
        (NGINX, (CLIENT, PROXY), CLIENT),
        (NGINX, (f"1.1.1.1, {CLIENT}",), CLIENT),  # what the client wrote itself stands left of what the proxy added
        (CLIENT, ("1.1.1.1",), CLIENT),  # not a trusted proxy: it may send anything
        (NGINX, (f"{CLIENT}:4711",), CLIENT),
        (NGINX, ("[2001:db8::1]:443",), "2001:db8::1"),
        (NGINX, ("2001:DB8:0::1",), "2001:db8::1"),
        (NGINX, (f"{CLIENT}, unknown",), NGINX),
        (NGINX, ("a\tb\x1b",), NGINX),
        ("", (CLIENT,), ""),
    ],
)
def test_the_client_is_the_first_from_the_peer_backwards_that_is_no_proxy(
    peer: str, forwarded: tuple[str, ...], client: str
) -> None:
    assert TrustedProxies((NGINX, "172.16.0.0/12")).client(request(peer, *forwarded)) == client


def test_where_everybody_is_trusted_the_first_in_the_list_is_the_client() -> None:
    assert TrustedProxies("*").client(request(CLIENT, "1.1.1.1, 2.2.2.2")) == "1.1.1.1"


def test_a_client_of_render_is_its_cloudflare_address_or_with_cloudflares_networks_its_own() -> None:
    """The client sent 2.2.2.2 itself, and Render's proxies added the others."""
    sent = request("10.19.6.53", "2.2.2.2,1.1.1.1, 172.71.95.118, 10.19.64.237")
    assert TrustedProxies(("10.0.0.0/8",)).client(sent) == "172.71.95.118"
    assert TrustedProxies(("10.0.0.0/8", "172.64.0.0/13")).client(sent) == "1.1.1.1"


@pytest.mark.parametrize(
    ("given", "proxies"),
    [
        ("", ("127.0.0.1", "::1")),
        ("none", ()),
        ("*", ("*",)),
        ("10.0.0.5, 172.16.0.0/12,fd00::/8", ("10.0.0.5", "172.16.0.0/12", "fd00::/8")),
    ],
)
def test_the_setting_takes_addresses_and_networks(given: str, proxies: tuple[str, ...]) -> None:
    assert load({}, {"RAILTRACK_TRUSTED_PROXIES": given}).server.trusted_proxies == proxies
    assert load({}, {"FORWARDED_ALLOW_IPS": given}).server.trusted_proxies == proxies


def test_a_name_is_no_proxy() -> None:
    with pytest.raises(StartError, match=r"RAILTRACK_TRUSTED_PROXIES: .* Replace 'nginx' by an IP address"):
        load({}, {"RAILTRACK_TRUSTED_PROXIES": "10.0.0.5,nginx"})


CREATE = {"experiment_id": "0"}


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        # TLS ends at the proxy, which keeps the Host: nothing has to be trusted.
        (CLIENT, {"Host": "ml.example.com", "Origin": "https://ml.example.com"}, 200),
        (CLIENT, {"Host": "ml.example.com:443", "Origin": "https://ml.example.com"}, 200),
        (CLIENT, {"Host": "ml.example.com:8443", "Origin": "https://ml.example.com:8443"}, 200),
        (CLIENT, {"Host": "ml.example.com:8443", "Origin": "https://ml.example.com"}, 403),
        # The proxy puts its own into Host, and the browser's into X-Forwarded-Host.
        (
            NGINX,
            {"Host": "railtrack:5000", "X-Forwarded-Host": "ml.example.com", "Origin": "https://ml.example.com"},
            200,
        ),
        (
            NGINX,
            {"Host": "railtrack:5000", "X-Forwarded-Host": "ml.example.com", "Origin": "https://evil.example"},
            403,
        ),
        (
            CLIENT,
            {"Host": "railtrack:5000", "X-Forwarded-Host": "ml.example.com", "Origin": "https://ml.example.com"},
            403,
        ),
        (CLIENT, {"Host": "ml.example.com", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}, 403),
        # The proxy keeps the name and drops the port, as `$host` of nginx: any page of that name passes.
        (NGINX, {"Host": "ml.example.com", "Origin": "http://ml.example.com:8080"}, 200),
        (NGINX, {"Host": "[fd00::5]", "Origin": "http://[fd00::5]:8080"}, 200),
        (NGINX, {"Host": "ml.example.com", "Origin": "http://evil.example:8080"}, 403),
        (NGINX, {"Host": "ml.example.com:9000", "Origin": "http://ml.example.com:8080"}, 403),
        (NGINX, {"Host": "up:5000", "X-Forwarded-Host": "ml.example", "Origin": "http://ml.example:8080"}, 200),
        # A header that no page of another origin can send shows a proxy that is not trusted.
        (CLIENT, {"Host": "ml.example.com", "X-Real-IP": "192.0.2.7", "Origin": "http://ml.example.com:8080"}, 200),
        (CLIENT, {"Host": "ml.example.com", "Origin": "http://ml.example.com:8080"}, 403),
        # Sec-Fetch-Site of a browser takes precedence.
        (NGINX, {"Host": "a.example", "Sec-Fetch-Site": "same-site", "Origin": "http://a.example:8080"}, 403),
        (CLIENT, {"Host": "railtrack:5000", "Sec-Fetch-Site": "same-origin", "Origin": "https://ml.example.com"}, 200),
        (NGINX, {"Host": "ml.example.com", "Sec-Fetch-Site": "cross-site", "Origin": "https://ml.example.com"}, 403),
    ],
)
async def test_behind_a_proxy_our_own_pages_pass_the_guard_and_others_do_not(
    db: Db, settings: Settings, peer: str, headers: dict[str, str], status: int
) -> None:
    server = ServerSettings(host="0.0.0.0", trusted_proxies=(NGINX,))
    security = SecuritySettings(allowed_hosts=("*",))
    public = dataclasses.replace(settings, server=server, security=security, auth=AuthSettings(mode="off"))
    async with running_app(public) as client:
        answer = await client.send("POST", "runs/create", json=CREATE, headers=headers, peer=peer)
    assert answer.status == status, answer.text


@pytest.mark.parametrize(
    ("peer", "headers", "remedy"),
    [
        (NGINX, {"Host": "127.0.0.1:5000"}, "proxy_set_header Host $http_host"),
        (CLIENT, {"Host": "railtrack:5000"}, "proxy_set_header Host $http_host"),
        (CLIENT, {"Host": "railtrack:5000", "X-Forwarded-Host": "ml.example.com"}, "RAILTRACK_TRUSTED_PROXIES"),
        (NGINX, {"Host": "ml.example.com", "Sec-Fetch-Site": "cross-site"}, "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"),
    ],
)
async def test_a_blocked_page_is_reported_with_the_remedy(
    db: Db, settings: Settings, caplog: pytest.LogCaptureFixture, peer: str, headers: dict[str, str], remedy: str
) -> None:
    server = ServerSettings(host="0.0.0.0", trusted_proxies=(NGINX,))
    public = dataclasses.replace(settings, server=server, security=SecuritySettings(allowed_hosts=("*",)))
    async with running_app(public) as client:
        sent = {"Origin": "http://ml.example.com", **headers}
        answer = await client.send("POST", "runs/create", json=CREATE, headers=sent, peer=peer)
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer.json["message"].startswith("Cross-origin request blocked. If ")
    assert remedy in answer.json["message"]
    assert peer not in answer.json["message"]
    assert f"its Host header is {headers['Host']!r}, and it came from {peer}" in caplog.text


async def test_a_forwarded_host_does_not_open_a_server_of_this_machine_to_rebound_names(client: Client) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost", "Origin": "http://evil.example"}
    answer = await client.send("POST", "runs/create", json=CREATE, headers=headers)
    assert answer.status == 403
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in answer.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/socket", ""),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_network_of_ipv6(address: str, network: str) -> None:
    assert client_network(address) == network


def test_a_client_behind_a_proxy_has_a_limit_of_requests_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarded, "REQUESTS_LIMIT", 2)
    clients = ProxiedClients(TrustedProxies([NGINX]))

    entered = [request(NGINX, "2001:db8::1"), request(NGINX, "2001:db8::2"), *[request(CLIENT, "2001:db8::1")] * 3]
    for http in entered:
        clients.enter(http)
    with pytest.raises(ApiError) as caught:
        clients.enter(request(NGINX, "2001:db8::3"))
    assert (caught.value.status, caught.value.code) == (429, "REQUEST_LIMIT_EXCEEDED")
    clients.enter(request(NGINX, "2001:db8:0:1::1"))
    assert [http.counted_client for http in entered] == ["2001:db8::/64", "2001:db8::/64", "", "", ""]
    clients.leave(entered[0])
    clients.enter(request(NGINX, "2001:db8::3"))


async def test_a_proxy_in_front_of_an_open_server_is_logged_once(
    db: Db, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert not settings.needs_login
    for auth, warnings in ((AuthSettings(), 1), (AuthSettings(mode="off"), 0)):
        caplog.clear()
        async with running_app(dataclasses.replace(settings, auth=auth)) as client:
            for client_address in ("127.0.0.1", CLIENT, CLIENT):
                headers = {"X-Forwarded-For": client_address, "Host": "127.0.0.1"}
                assert (await client.get(path, headers=headers, peer="127.0.0.1")).status == 200
        found = [line for line in caplog.messages if "Set RAILTRACK_AUTH=on" in line]
        assert len(found) == warnings
        assert all(f"such as {CLIENT}, to this server" in line for line in found)
