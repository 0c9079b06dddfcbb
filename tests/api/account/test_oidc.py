"""Login at an OpenID Connect provider: who gets in, as whom, with which roles. Attacks: test_oidc_attacks.py."""

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import pytest
from tests.api.account.conftest import FormBrowser, csrf_of
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
    username_of,
)
from tests.auth.conftest import PASSWORD
from tests.client import Client, running_app
from tests.servers.oidc_provider import (
    CLIENT_ID,
    Claims,
    EcKey,
    OidcProvider,
    RsaKey,
)

from railtrack.auth import roles, users
from railtrack.auth.oidc.accounts import ProviderUser, link_user, log_in_provider_user
from railtrack.auth.sessions import list_sessions
from railtrack.auth.users import User, find_user
from railtrack.config.settings import Settings
from railtrack.db import Db

__all__ = ["oidc_settings", "provider", "serve", "server", "unthrottled_log"]


# The login


async def test_a_login_creates_the_user_and_returns_to_the_page(
    browser: FormBrowser, provider: OidcProvider, db: Db
) -> None:
    page = await browser.open("/login?next=/account")
    assert "Log in as Eve" in page.text
    assert 'href="/login/oidc?next=%2Faccount"' in page.text
    assert 'name="password"' in page.text
    response = await log_in(browser, provider, "?next=/account")
    assert (response.status, response.headers["location"]) == (303, "/account")
    assert await username_of(browser) == "eve@example.com"
    user = await find_user(db, "eve@example.com")
    assert user is not None
    assert (user.password_hash, user.is_admin) == (None, False)
    [sent] = provider.authorizations
    assert sent["scope"] == "openid email profile"
    assert sent["redirect_uri"] == "http://localhost/login/oidc/callback"
    assert len({sent["state"], sent["nonce"], sent["code_challenge"]}) == 3


async def test_the_next_login_finds_the_user_by_its_subject(
    browser: FormBrowser, provider: OidcProvider, db: Db
) -> None:
    await log_in(browser, provider)
    first = browser.cookies["railtrack"]
    provider.user["email"] = "eve.married@example.com"
    await log_in(browser, provider)
    assert browser.cookies["railtrack"] != first
    assert await username_of(browser) == "eve@example.com"
    assert [user.username for user in await users.list_users(db)] == ["eve@example.com"]
    user = await users.get_user(db, "eve@example.com")
    assert len(await list_sessions(db, user.user_id)) == 1  # the old one of this browser has ended
    provider.user["sub"] = "subject-2"
    await log_in(browser, provider)
    assert await username_of(browser) == "eve.married@example.com"


async def test_the_route_of_the_web_interface_survives(browser: FormBrowser, provider: OidcProvider) -> None:
    fragment = "#/experiments/0/runs?searchFilter=metrics.m%20%3E%201"
    response = await log_in(browser, provider, f"?{urlencode({'next': '/', 'fragment': fragment})}")
    assert response.headers["location"] == f"/{fragment}"


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "next=//evil.example/",
        "next=https://evil.example",
        "next=/%5cevil.example",
        "next=/%0d%0aa:b",
        "next=%",
        f"next=/{'a' * 5000}",
        "next=/&fragment=@evil.example",
        "next=/&fragment=%23%0d%0aset-cookie:a",
    ],
)
async def test_a_login_returns_only_to_this_server(browser: FormBrowser, provider: OidcProvider, query: str) -> None:
    assert (await log_in(browser, provider, f"?{query}")).headers["location"] == "/"


async def test_two_tabs_log_in_at_the_same_time(browser: FormBrowser, provider: OidcProvider) -> None:
    one, other = await begin(browser, "?next=/account"), await begin(browser)
    assert one != other
    url = provider.authorize(one)
    assert (await browser.open(path_of(url))).headers["location"] == "/account"


async def test_another_worker_finishes_the_login(
    browser: FormBrowser, provider: OidcProvider, oidc_settings: Settings
) -> None:
    url = provider.authorize(await begin(browser))
    async with running_app(oidc_settings) as other:
        browser.client = other
        assert (await browser.open(path_of(url))).headers["location"] == "/"
        assert await username_of(browser) == "eve@example.com"


async def test_keys_on_elliptic_curves_work(browser: FormBrowser, provider: OidcProvider) -> None:
    provider.keys = [EcKey("ec-1"), RsaKey("rsa-1")]
    assert (await log_in(browser, provider)).status == 303


async def test_a_rotated_key_is_fetched_once(browser: FormBrowser, provider: OidcProvider) -> None:
    await log_in(browser, provider)
    await log_in(browser, provider)
    assert provider.requests.count("/jwks") == 1
    provider.keys = [RsaKey("rsa-2")]
    assert (await log_in(browser, provider)).status == 303
    assert provider.requests.count("/jwks") == 2
    assert provider.requests.count("/.well-known/openid-configuration") == 1


async def test_the_secret_may_be_sent_in_the_body(browser: FormBrowser, provider: OidcProvider) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await log_in(browser, provider)).status == 303


async def test_missing_claims_come_from_the_user_information(browser: FormBrowser, provider: OidcProvider) -> None:
    provider.more = {"email": "eve@example.com", "email_verified": True}
    provider.user = {"sub": "subject-1"}
    await log_in(browser, provider)
    assert await username_of(browser) == "eve@example.com"
    assert provider.requests.count("/userinfo") == 1


async def test_user_information_of_another_user_is_not_used(browser: FormBrowser, provider: OidcProvider) -> None:
    provider.user = {"sub": "subject-1"}
    provider.more = {"sub": "subject-2", "email": "ada@example.com", "email_verified": True}
    await failed(browser, provider, 400, "not valid")


async def test_the_cookies_are_of_this_host_only_behind_tls(server: Client, provider: OidcProvider) -> None:
    browser = FormBrowser(server, **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ml.example.com"})
    await log_in(browser, provider)
    assert provider.authorizations[0]["redirect_uri"] == "https://ml.example.com/login/oidc/callback"
    assert browser.attributes["__Host-railtrack"] == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    assert {"HttpOnly", "SameSite=Lax", "Secure"} <= browser.attributes["__Host-railtrack-login"]


async def test_the_redirect_uri_of_the_setting_is_sent(serve: Serve, provider: OidcProvider) -> None:
    browser = await serve(redirect_uri="https://ml.example.com/login/oidc/callback")
    await log_in(browser, provider)
    assert provider.authorizations[0]["redirect_uri"] == "https://ml.example.com/login/oidc/callback"
    assert await username_of(browser) == "eve@example.com"


# Who may log in


@ON_SQLITE
@pytest.mark.parametrize("verified", [False, None, "false", 1, "yes"])
async def test_an_unverified_address_names_nobody(
    browser: FormBrowser, provider: OidcProvider, db: Db, verified: Any
) -> None:
    provider.user["email_verified"] = verified
    await failed(browser, provider, 403, "has not verified the address")
    assert await users.list_users(db) == []


@ON_SQLITE
@pytest.mark.parametrize("name", ["", 7, None, ["eve"], "a:b", "a\nb", " eve", "x" * 300])
async def test_an_unusable_name_creates_no_user(serve: Serve, provider: OidcProvider, db: Db, name: Any) -> None:
    browser = await serve(username_claim="preferred_username")
    provider.user["preferred_username"] = name
    await failed(browser, provider, 403, "no usable name for you in the claim preferred_username")
    assert await users.list_users(db) == []


@pytest.mark.parametrize("name", ["ada", "ADA"])
async def test_a_name_gives_no_access_to_an_existing_user(
    serve: Serve, provider: OidcProvider, db: Db, admin: User, name: str
) -> None:
    browser = await serve(username_claim="preferred_username")
    provider.user["preferred_username"] = name
    await failed(browser, provider, 403, "belongs to another user of this server")
    async with db.write() as tx:
        await link_user(tx, admin, provider.url, "subject-1")
    await log_in(browser, provider)
    assert await username_of(browser) == "ada"


async def test_only_linked_users_log_in_without_creation(serve: Serve, provider: OidcProvider, db: Db) -> None:
    browser = await serve(creates_users=False)
    await failed(browser, provider, 403, "railtrack users link NAME subject-1")
    async with db.write() as tx:
        user = await users.create_user(tx, "eve", "a hash", must_change_password=True)
        await link_user(tx, user, provider.url, "subject-1")
    await log_in(browser, provider)
    assert await username_of(browser) == "eve"
    found = await users.get_user(db, "eve")
    assert (found.password_hash, found.must_change_password) == (None, False)


async def test_a_disabled_user_does_not_get_in(browser: FormBrowser, provider: OidcProvider, db: Db) -> None:
    await log_in(browser, provider)
    async with db.write() as tx:
        await users.set_disabled(tx, await users.get_user(tx, "eve@example.com"), is_disabled=True)
    browser.client._app._authenticator.state.expire()  # type: ignore[union-attr]
    assert await username_of(browser) == "303"
    browser.cookies.clear()
    await failed(browser, provider, 403, "is disabled")


@ON_SQLITE
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 303),
        ({"email": "Eve@EXAMPLE.com"}, 303),
        ({"email": "eve@evil.example"}, 403),
        ({"email": "eve@example.com.evil.example"}, 403),
        ({"email": "eve@evil.example@example.com"}, 303),
        ({"email": "example.com"}, 403),
        ({"email": None}, 403),
        ({"email_verified": False}, 403),
    ],
    ids=str,
)
async def test_only_verified_addresses_of_the_domains_get_in(
    serve: Serve, provider: OidcProvider, claims: Claims, status: int
) -> None:
    browser = await serve(allowed_domains=("example.com",))
    provider.user.update(claims)
    assert (await log_in(browser, provider)).status == status


async def test_only_members_of_the_groups_get_in(serve: Serve, provider: OidcProvider) -> None:
    browser = await serve(allowed_groups=("ml", "ops"))
    for groups in ([], ["mlx"], None, {"ml": 1}, 7):
        provider.user["groups"] = groups
        await failed(browser, provider, 403, "none of the groups")
    for allowed in (["x", "ml"], "ops"):
        provider.user["groups"] = allowed
        assert (await log_in(browser, provider)).status == 303


# Groups


async def role_names(db: Db, username: str) -> set[str]:
    user = await users.get_user(db, username)
    return {role.name for role in (await roles.roles_of_users(db, [user.user_id]))[user.user_id]}


async def test_groups_give_and_take_roles_at_each_login(
    serve: Serve, provider: OidcProvider, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    mapping = (("ml", "trainer"), ("ops", "operator"), ("mlops", "trainer"), ("new", "missing"))
    browser = await serve(group_roles=mapping)
    async with db.write() as tx:
        created = {name: (await roles.create_role(tx, name, None)).role_id for name in ("trainer", "operator", "own")}
    provider.user["groups"] = ["ml", "new", "unrelated"]
    await log_in(browser, provider)
    assert await role_names(db, "eve@example.com") == {"trainer"}
    assert "there is no role 'missing'" in caplog.text
    user = await users.get_user(db, "eve@example.com")
    async with db.write() as tx:
        await roles.assign_role(tx, user.user_id, created["own"])  # by an administrator
    provider.user["groups"] = ["ops", "mlops"]
    await log_in(browser, provider)
    assert await role_names(db, "eve@example.com") == {"trainer", "operator", "own"}
    version = await db.fetch_value("SELECT version FROM railtrack_auth_state")
    browser.cookies.clear()
    await log_in(browser, provider)
    assert await db.fetch_value("SELECT version FROM railtrack_auth_state") == version  # nothing has changed
    del provider.user["groups"]
    await log_in(browser, provider)
    assert await role_names(db, "eve@example.com") == {"own"}


async def test_two_logins_at_the_same_time_change_the_roles_once(
    db: Db, oidc_settings: Settings, provider: OidcProvider
) -> None:
    settings = replace(oidc_settings.oidc, group_roles=(("ml", "trainer"),))
    login = ProviderUser(provider.url, "subject-1", "eve@example.com", frozenset())
    async with db.write() as tx:
        await roles.create_role(tx, "trainer", None)
        await log_in_provider_user(tx, login, settings)

    async def log_in_again(groups: frozenset[str]) -> list[str]:
        async with db.write() as tx:
            return (await log_in_provider_user(tx, msgspec.structs.replace(login, groups=groups), settings)).changes

    for groups, change in ((frozenset({"ml"}), "got"), (frozenset[str](), "lost")):
        async with db.write() as tx:
            await log_in_provider_user(tx, msgspec.structs.replace(login, groups=groups), settings)
            other = asyncio.create_task(log_in_again(groups))
            await asyncio.wait([other], timeout=0.2)  # it reads the roles, and waits for this transaction
        assert await other == [], change
    assert await role_names(db, "eve@example.com") == set()


async def test_groups_make_administrators_and_end_that(
    serve: Serve, provider: OidcProvider, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await serve(admin_groups=("admins",), groups_claim="realm_access.roles")
    provider.user["realm_access"] = {"roles": ["admins"]}
    await log_in(browser, provider)
    assert (await users.get_user(db, "eve@example.com")).is_admin
    provider.user["realm_access"] = {"roles": []}
    await log_in(browser, provider)
    assert (await users.get_user(db, "eve@example.com")).is_admin
    assert "remains administrator" in caplog.text
    async with db.write() as tx:
        await users.create_user(tx, "ada", None, is_admin=True)
    await log_in(browser, provider)
    assert not (await users.get_user(db, "eve@example.com")).is_admin


# After the login


async def test_the_logout_goes_on_to_the_provider(browser: FormBrowser, provider: OidcProvider) -> None:
    await log_in(browser, provider)
    response = await browser.submit("/logout", {"csrf": csrf_of(await browser.open("/account"))})
    assert response.status == 200
    target = response.headers["refresh"].removeprefix("0;url=")
    assert target.startswith(f"{provider.url}/logout?")
    query = parse_qs(urlsplit(target).query)
    assert query["client_id"] == [CLIENT_ID]
    assert query["post_logout_redirect_uri"] == ["http://localhost/login/oidc/callback"]
    assert query["id_token_hint"][0].count(".") == 2
    assert await username_of(browser) == "303"
    assert (await browser.open("/login/oidc/callback")).headers["location"] == "/login"


@pytest.mark.parametrize("case", ["not offered", "switched off", "a session by password"])
async def test_a_logout_without_the_provider_leads_to_the_login_page(
    serve: Serve, provider: OidcProvider, admin: User, case: str
) -> None:
    browser = await serve(logs_out=case != "switched off")
    provider.metadata = {"end_session_endpoint": None} if case == "not offered" else {}
    if case == "a session by password":
        await browser.log_in("ada", PASSWORD)
    else:
        await log_in(browser, provider)
    response = await browser.submit("/logout", {"csrf": csrf_of(await browser.open("/account"))})
    assert (response.status, response.headers["location"]) == (303, "/login")


async def test_a_user_without_password_creates_tokens_after_a_fresh_login(
    browser: FormBrowser, provider: OidcProvider, db: Db
) -> None:
    await log_in(browser, provider)
    page = await browser.open("/account")
    assert 'name="current"' not in page.text
    fields = {"csrf": csrf_of(page), "name": "laptop", "scope": "all", "days": "30"}
    response = await browser.submit("/account/tokens", fields)
    assert "Copy your new token now" in response.text
    await db.execute("UPDATE railtrack_sessions SET created_ms = created_ms - 1000 * 60 * 11")
    page = await browser.open("/account")
    assert 'href="/login/oidc?next=%2Faccount&amp;fresh=1"' in page.text
    response = await browser.submit("/account/tokens", fields)
    assert (response.status, "Log in again first" in response.text) == (400, True)
    await log_in(browser, provider, "?next=/account&fresh=1")
    assert provider.authorizations[-1]["prompt"] == "login"
    fields["csrf"] = csrf_of(await browser.open("/account"))
    assert "Copy your new token now" in (await browser.submit("/account/tokens", fields)).text


async def test_an_administrator_of_the_provider_creates_users(serve: Serve, provider: OidcProvider, db: Db) -> None:
    browser = await serve(admin_groups=("admins",))
    provider.user["groups"] = "admins"
    await log_in(browser, provider)
    fields = {"csrf": csrf_of(await browser.open("/signup")), "username": "bob", "password": PASSWORD}
    response = await browser.submit("/api/2.0/mlflow/users/create-ui", fields)
    assert "Created the user bob" in response.text
    await db.execute("UPDATE railtrack_sessions SET created_ms = 0")
    response = await browser.submit("/api/2.0/mlflow/users/create-ui", {**fields, "username": "eva"})
    assert (response.status, "Log in again first" in response.text) == (400, True)


async def test_the_password_form_can_be_left_out(
    db: Db, oidc_settings: Settings, provider: OidcProvider, admin: User
) -> None:
    settings = replace(oidc_settings, auth=replace(oidc_settings.auth, password_form=False))
    async with running_app(settings) as client:
        browser = FormBrowser(client)
        assert (await browser.open("/")).headers["location"] == "/login"
        page = await browser.open("/login")
        assert 'name="password"' not in page.text
        assert "Log in as Eve" in page.text
        page = await browser.open("/login?form=password")
        fields = {"csrf": csrf_of(page), "username": "ada", "password": "wrong"}
        wrong = await browser.submit("/login", fields)
        assert (wrong.status, 'name="password"' in wrong.text) == (401, True)
        assert (await browser.submit("/login", {**fields, "password": PASSWORD})).status == 303
        assert await username_of(browser) == "ada"


async def test_a_server_without_provider_has_no_such_pages(db: Db, login_settings: Settings, client: Client) -> None:
    async with running_app(login_settings) as other:
        for one in (client, other):
            for path in ("/login/oidc", "/login/oidc/callback"):
                assert (await one.get(path)).status == 404
