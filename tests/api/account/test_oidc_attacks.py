"""Attacks on a login at a provider, and providers that fail. Who gets in, and as whom: test_oidc.py."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.api.account.conftest import FormBrowser
from tests.api.account.oidc_world import (
    ON_SQLITE,
    Serve,
    begin,
    failed,
    log_in,
    oidc_settings,
    path_of,
    provider,
    serve,
    server,
    unthrottled_log,
)
from tests.client import Client
from tests.servers.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    Claims,
    OidcProvider,
    Reply,
    RsaKey,
    signed,
    signed_with_public_key,
    unsigned,
)
from tests.servers.processes import until

from railtrack.auth import users
from railtrack.auth.oidc import attempt
from railtrack.auth.oidc import provider as provider_module
from railtrack.db import Db

__all__ = ["oidc_settings", "provider", "serve", "server", "unthrottled_log"]


# Attacks on state and code


async def test_a_login_of_another_browser_is_rejected(
    browser: FormBrowser, server: Client, provider: OidcProvider
) -> None:
    """Else an attacker could log somebody in as the attacker, and read what they log."""
    url = path_of(provider.authorize(await begin(browser)))
    victim = FormBrowser(server)
    for _ in range(2):  # without cookies, and with those of the login page
        response = await victim.open(url)
        assert (response.status, "Try again" in response.text) == (400, True)
        assert "railtrack" not in victim.cookies
        await victim.open("/login")
    assert provider.requests.count("/token") == 0


@ON_SQLITE
@pytest.mark.parametrize("change", ["", "x", "a.1..b", "{state}x", "{wrong}", "{old}"])
async def test_a_changed_state_is_rejected(
    browser: FormBrowser, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    if change == "{old}":
        monkeypatch.setattr(attempt, "LIFETIME_S", -1)
    parts = urlsplit(provider.authorize(await begin(browser)))
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    state = query["state"]
    wrong = state.replace(".", ".1", 1)
    query["state"] = change.format(state=state, wrong=wrong, old=state)
    response = await browser.open(f"{parts.path}?{urlencode(query)}")
    assert (response.status, "Try again" in response.text) == (400, True)
    assert provider.requests.count("/token") == 0


async def test_a_finished_login_cannot_be_repeated(browser: FormBrowser, provider: OidcProvider) -> None:
    url = path_of(provider.authorize(await begin(browser)))
    kept = dict(browser.cookies)
    assert (await browser.open(url)).status == 303
    assert (await browser.open(url)).status == 400
    assert provider.requests.count("/token") == 1
    browser.cookies = kept  # also not by who has copied the cookie
    response = await browser.open(url)
    assert (response.status, "not valid" in response.text) == (400, True)


async def test_a_code_of_another_login_is_rejected(
    browser: FormBrowser, server: Client, provider: OidcProvider
) -> None:
    """PKCE: a stolen code is useless in the thief's browser."""
    stolen = parse_qs(urlsplit(provider.authorize(await begin(browser))).query)["code"][0]
    thief = FormBrowser(server)
    state = parse_qs(urlsplit(await begin(thief)).query)["state"][0]
    response = await thief.open(f"/login/oidc/callback?{urlencode({'code': stolen, 'state': state})}")
    assert (response.status, "railtrack" in thief.cookies) == (400, False)


@ON_SQLITE
@pytest.mark.parametrize("extra", [{"code": ""}, {"code": "x" * 5000}, {"iss": "https://evil.example"}, {"code": "x"}])
async def test_an_invalid_response_of_the_browser_is_rejected(
    browser: FormBrowser, provider: OidcProvider, extra: dict[str, str]
) -> None:
    state = parse_qs(urlsplit(await begin(browser)).query)["state"][0]
    response = await browser.open(f"/login/oidc/callback?{urlencode({'code': 'a', 'state': state, **extra})}")
    assert response.status == 400
    assert "not valid" in response.text
    repeated = await browser.open(f"/login/oidc/callback?code=a&code=b&state={state}")
    assert repeated.status == 400


@ON_SQLITE
@pytest.mark.parametrize("error", ["access_denied", "<script>alert(1)</script>", "A" * 3000])
async def test_the_providers_rejection_is_shown(browser: FormBrowser, error: str) -> None:
    state = parse_qs(urlsplit(await begin(browser)).query)["state"][0]
    query = urlencode({"error": error, "error_description": "<b>", "state": state})
    response = await browser.open(f"/login/oidc/callback?{query}")
    assert response.status == 403
    assert ("log you in: access_denied." in response.text) is (error == "access_denied")
    assert "<script>alert" not in response.text


async def test_failed_logins_of_an_address_are_throttled(browser: FormBrowser, provider: OidcProvider) -> None:
    for _ in range(10):
        state = parse_qs(urlsplit(await begin(browser)).query)["state"][0]
        assert (await browser.open(f"/login/oidc/callback?code=a&state={state}")).status == 400
    response = await log_in(browser, provider)
    assert (response.status, "Too many failed logins" in response.text) == (429, True)
    assert provider.requests.count("/token") == 10


# Attacks on the ID token


@ON_SQLITE
@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "of another login"},
        {"nonce": None},
        {"nonce": 7},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": None},
        {"aud": [CLIENT_ID, "another-client"]},
        {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"iat": None},
        {"iat": 4102444800},
        {"nbf": 4102444800},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 300},
        {"sub": "a\0b"},
    ],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_rejected(
    browser: FormBrowser, provider: OidcProvider, db: Db, changed: Claims
) -> None:
    provider.changed = changed
    await failed(browser, provider, 400, "The login is not valid.")
    assert await users.list_users(db) == []


def _of_other_key(claims: Claims) -> str:
    return signed({"alg": "RS256", "kid": "rsa-1"}, claims, RsaKey("of an attacker").sign)


FORGED: dict[str, Callable[[Claims], Any]] = {
    "alg none": unsigned,
    "alg None": lambda claims: signed({"alg": "None", "kid": "rsa-1"}, claims, lambda _: b""),
    "HS256 with the public key": lambda claims: signed_with_public_key(claims, RsaKey("rsa-1")),
    "another key": _of_other_key,
    "an unknown key": lambda claims: signed({"alg": "RS256", "kid": "x"}, claims, RsaKey("x").sign),
    "another algorithm": lambda claims: signed({"alg": "ES256", "kid": "rsa-1"}, claims, RsaKey("rsa-1").sign),
    "an embedded key": lambda claims: signed(
        {"alg": "RS256", "jwk": RsaKey("x").jwk, "kid": "x"}, claims, RsaKey("x").sign
    ),
    "critical extension": lambda claims: signed(
        {"alg": "RS256", "kid": "rsa-1", "crit": ["b64"], "b64": False}, claims, RsaKey("rsa-1").sign
    ),
    "changed content": lambda claims: ".".join(
        (_of_other_key(claims).split(".")[0], _of_other_key({**claims, "sub": "ada"}).split(".")[1], "AAAA")
    ),
    "no token": lambda claims: "",
    "garbage": lambda claims: "a.b.c",
    "text": lambda claims: "ä" * 10,
    "encrypted": lambda claims: "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..a.b.c",
    "too long": lambda claims: "a" * 70_000,
}


@ON_SQLITE
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_forged_token_is_rejected(
    browser: FormBrowser, provider: OidcProvider, forge: Callable[[Claims], str], caplog: pytest.LogCaptureFixture
) -> None:
    provider.make_token = forge
    await failed(browser, provider, 400, "The login is not valid.")
    assert "the ID token is invalid" in caplog.text


async def test_an_unknown_key_is_looked_for_once(browser: FormBrowser, provider: OidcProvider) -> None:
    await log_in(browser, provider)
    browser.cookies.clear()
    provider.make_token = FORGED["an unknown key"]
    await failed(browser, provider, 400, "not valid")
    assert provider.requests.count("/jwks") == 2


async def test_symmetric_keys_of_the_provider_are_not_used(browser: FormBrowser, provider: OidcProvider) -> None:
    class Symmetric(RsaKey):
        jwk = {"kty": "oct", "kid": "rsa-1", "k": "AAAA"}  # type: ignore[assignment]

    provider.keys = [Symmetric("rsa-1")]
    await failed(browser, provider, 400, "not valid")


# A provider that fails


@ON_SQLITE
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>", 200),
        Reply(b"", 200),
        Reply(b"[]", 200),
        Reply(b"{}", 200),
        Reply(b"[" * 100_000, 200),
        Reply(b'{"keys": [{"kty": "RSA", "kid": "rsa-1"}], "id_token": 7}', 200),
        Reply(b"\xff\x00", 200),
        Reply(b"x" * 300_000, 200),
        Reply(b"error", 500),
        Reply(b'{"error": "<script>"}', 400),
        Reply(b"", 302),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:20]!r}",
)
async def test_a_response_that_is_not_usable_shows_a_clear_page(
    browser: FormBrowser,
    provider: OidcProvider,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    reply: Reply,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(provider_module, "RETRY_AFTER_S", 0)
    caplog.set_level(logging.DEBUG)
    provider.replies[path] = reply
    response = await browser.open("/login/oidc")
    if response.status == 303:
        response = await browser.open(path_of(provider.authorize(response.headers["location"])))
    assert response.status in (400, 502, 503), response.text
    assert "Log in as Eve" in response.text
    assert "railtrack" not in browser.cookies
    assert CLIENT_SECRET not in caplog.text
    assert "Traceback" not in caplog.text
    provider.replies.clear()
    assert (await log_in(browser, provider)).status == 303


async def test_a_provider_that_is_down_is_a_503(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    browser = await serve(issuer="http://127.0.0.1:1")
    response = await browser.open("/login/oidc")
    assert (response.status, "cannot log you in now" in response.text) == (503, True)
    assert "provider at http://127.0.0.1:1 failed" in caplog.text
    assert 'name="password"' in response.text  # the other way in


async def test_a_slow_provider_is_a_503(
    browser: FormBrowser, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "TIMEOUT_S", 0.3)
    url = await begin(browser)
    provider.replies["/token"] = Reply(held=threading.Event())
    response = await browser.open(path_of(provider.authorize(url)))
    assert (response.status, "cannot log you in now" in response.text) == (503, True)


async def test_logins_that_wait_for_the_provider_are_limited(
    browser: FormBrowser, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "LOGINS_WAITING_LIMIT", 2)
    urls = [path_of(provider.authorize(await begin(browser))) for _ in range(3)]
    held = threading.Event()
    provider.replies["/token"] = Reply(b'{"error": "invalid_grant"}', 400, held)
    waiting = [asyncio.create_task(browser.open(url)) for url in urls[:2]]
    await until(lambda: provider.requests.count("/token") == 2)
    assert (await browser.open(urls[2])).status == 503
    held.set()
    assert [response.status for response in await asyncio.gather(*waiting)] == [400, 400]


async def test_a_failure_is_remembered_for_a_moment(browser: FormBrowser, provider: OidcProvider) -> None:
    provider.replies["/.well-known/openid-configuration"] = Reply(b"", 500)
    for _ in range(5):
        assert (await browser.open("/login/oidc")).status == 502
    assert provider.requests.count("/.well-known/openid-configuration") == 1


@ON_SQLITE
@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "https://host:99999/"},
        {"authorization_endpoint": "https://host/\r\nset-cookie: a"},
        {"jwks_uri": None},
    ],
    ids=str,
)
async def test_metadata_that_leads_elsewhere_is_not_used(
    browser: FormBrowser, provider: OidcProvider, changed: dict[str, Any]
) -> None:
    provider.metadata = changed
    assert (await browser.open("/login/oidc")).status == 502


async def test_a_wrong_client_secret_is_named_in_the_log(
    serve: Serve, provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = await serve(client_secret="another-secret")
    await failed(browser, provider, 502, "cannot log you in now")
    assert "responded with 401 invalid_client" in caplog.text
    assert "another-secret" not in caplog.text
