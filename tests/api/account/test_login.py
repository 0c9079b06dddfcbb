"""The login page: its form, cookies and redirects, and the end of sessions."""

from dataclasses import replace

import pytest
from tests.api.account.conftest import FormBrowser, csrf_of, next_of
from tests.auth.conftest import PASSWORD, basic
from tests.client import Client, running_app

from railtrack.auth import sessions, users
from railtrack.auth.users import User
from railtrack.clock import now_ms
from railtrack.config.settings import Settings
from railtrack.db import Db

SEARCH = "/ajax-api/2.0/mlflow/experiments/search?max_results=1"


async def test_a_browser_logs_in_and_out(browser: FormBrowser, admin: User) -> None:
    assert (await browser.open("/")).headers["location"] == "/login"
    response = await browser.log_in("ada", PASSWORD)
    assert (response.status, response.headers["location"]) == (303, "/")
    assert (await browser.open(SEARCH)).status == 200
    page = await browser.open("/account")
    assert page.status == 200
    response = await browser.submit("/logout", {"csrf": csrf_of(page)})
    assert (response.status, response.headers["location"]) == (303, "/login")
    assert "railtrack" not in browser.cookies
    assert (await browser.open("/account")).headers["location"] == "/login?next=/account"


async def test_the_session_ends_in_the_database_with_the_logout(browser: FormBrowser, admin: User) -> None:
    await browser.log_in("ada", PASSWORD)
    kept = dict(browser.cookies)
    await browser.submit("/logout", {"csrf": csrf_of(await browser.open("/account"))})
    browser.cookies = kept
    assert (await browser.open("/account")).status == 303


async def test_a_wrong_password_shows_the_form_again(browser: FormBrowser, admin: User) -> None:
    for username in ("ada", "nobody", '"><script>alert(1)</script>'):
        response = await browser.log_in(username, "wrong", "/account")
        assert response.status == 401
        assert "The user name or the password is wrong." in response.text
        assert "<script>alert" not in response.text
        assert next_of(response) == "/account"
        assert "www-authenticate" not in response.headers
    assert (await browser.open("/account")).status == 303


async def test_the_page_has_a_strict_policy_and_is_not_cached(browser: FormBrowser) -> None:
    page = await browser.open("/login")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/account", "/account"),
        ("/get-artifact?path=a%2Fb&run_id=1", "/get-artifact?path=a%2Fb&run_id=1"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("/ä", "/"),
        ("/" + "a" * 10_000, "/"),
        ("", "/"),
    ],
)
async def test_the_login_returns_only_to_this_server(
    browser: FormBrowser, admin: User, path: str, location: str
) -> None:
    page = await browser.open("/login")
    fields = {"csrf": csrf_of(page), "next": path, "username": "ada", "password": PASSWORD}
    assert (await browser.submit("/login", fields)).headers["location"] == location


async def test_a_login_form_of_another_site_is_rejected(browser: FormBrowser, admin: User) -> None:
    fields = {"username": "ada", "password": PASSWORD}
    for csrf in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        response = await browser.submit("/login", {**fields, **csrf})
        assert response.status == 403
        assert "open for too long" in response.text
    page = await browser.open("/login")
    browser.cookies.clear()
    assert (await browser.submit("/login", {**fields, "csrf": csrf_of(page)})).status == 403
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    response = await browser.submit("/login", fields, **foreign)
    assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")


async def test_a_login_begins_a_new_session_and_ends_the_old_one(browser: FormBrowser, db: Db, admin: User) -> None:
    browser.cookies["railtrack"] = planted = "x" * 43
    await browser.log_in("ada", PASSWORD)
    first = browser.cookies["railtrack"]
    assert first != planted
    await browser.log_in("ada", PASSWORD)
    assert browser.cookies["railtrack"] != first
    [session] = await sessions.list_sessions(db, admin.user_id)
    assert session.session_hash == sessions.session_hash(browser.cookies["railtrack"])


async def test_the_cookie_is_of_this_host_only_behind_tls(server: Client, admin: User) -> None:
    browser = FormBrowser(server, **{"X-Forwarded-Proto": "https", "Origin": "https://localhost"})
    await browser.log_in("ada", PASSWORD)
    assert browser.attributes["__Host-railtrack"] == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    assert (await browser.open(SEARCH)).status == 200
    # A cookie that another host may have set is not used over TLS.
    browser.cookies = {"railtrack": browser.cookies["__Host-railtrack"]}
    assert (await browser.open("/account")).status == 303


async def test_without_tls_the_cookie_is_not_secure(browser: FormBrowser, admin: User) -> None:
    await browser.log_in("ada", PASSWORD)
    assert browser.attributes["railtrack"] == {"Path=/", "HttpOnly", "SameSite=Lax"}


@pytest.mark.parametrize("column", ["expires_ms", "last_seen_ms"])
async def test_a_session_ends_after_its_time(browser: FormBrowser, db: Db, admin: User, column: str) -> None:
    """The absolute lifetime, and the one without requests."""
    await browser.log_in("ada", PASSWORD)
    ended = now_ms() - (0 if column == "expires_ms" else sessions.IDLE_MS)
    await db.execute(f"UPDATE railtrack_sessions SET {column} = $1", ended)
    assert (await browser.open("/account")).status == 303
    await browser.log_in("ada", PASSWORD)
    assert len(await sessions.list_sessions(db, admin.user_id)) == 1


async def test_a_session_in_use_goes_on(browser: FormBrowser, db: Db, admin: User) -> None:
    await browser.log_in("ada", PASSWORD)
    await db.execute("UPDATE railtrack_sessions SET last_seen_ms = $1", now_ms() - sessions.IDLE_MS + 60_000)
    assert (await browser.open("/account")).status == 200


async def test_disabling_a_user_ends_its_sessions(browser: FormBrowser, db: Db, admin: User, user: User) -> None:
    await browser.log_in("bob", PASSWORD)
    async with db.write() as tx:
        await users.set_disabled(tx, user, is_disabled=True)
    authenticator = browser.client._app._authenticator
    assert authenticator is not None
    authenticator.state.expire()
    assert (await browser.open("/account")).status == 303
    assert (await browser.log_in("bob", PASSWORD)).status == 401


async def test_a_user_has_a_limited_number_of_sessions(db: Db, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_LIMIT", 3)
    async with db.write() as tx:
        for number in range(5):
            await sessions.create_session(tx, user.user_id, address="", user_agent=str(number))
            await tx.execute("UPDATE railtrack_sessions SET last_seen_ms = last_seen_ms - 1000")
        assert [one.user_agent for one in await sessions.list_sessions(tx, user.user_id)] == ["4", "3", "2"]


async def test_the_logout_of_the_web_interface_ends_the_session(browser: FormBrowser, db: Db, admin: User) -> None:
    await browser.log_in("ada", PASSWORD)
    headers = basic("mlflow-logged-out-abc", "mlflow-logged-out-abc")
    cookie = {"Cookie": f"railtrack={browser.cookies['railtrack']}"}
    response = await browser.client.get("/ajax-api/2.0/mlflow/users/current", headers={**headers, **cookie})
    assert response.status == 401
    assert response.headers["set-cookie"].startswith("railtrack=; ")
    assert await sessions.list_sessions(db, admin.user_id) == []
    version = await db.fetch_value("SELECT version FROM railtrack_auth_state")
    for _ in range(3):  # cheap for who has no session
        await browser.client.get(SEARCH, headers={**headers, **cookie})
    assert await db.fetch_value("SELECT version FROM railtrack_auth_state") == version


async def test_a_session_changes_nothing_without_a_header_of_browsers(browser: FormBrowser, admin: User) -> None:
    await browser.log_in("ada", PASSWORD)
    cookie = {"Cookie": f"railtrack={browser.cookies['railtrack']}"}
    create = "/ajax-api/2.0/mlflow/experiments/create"
    assert (await browser.client.post(create, {"name": "a"}, headers=cookie)).status == 403
    own = {**cookie, "Origin": "http://localhost"}
    assert (await browser.client.post(create, {"name": "a"}, headers=own)).status == 200
    other = {**cookie, "Origin": "http://evil.example"}
    assert (await browser.client.post(create, {"name": "b"}, headers=other)).status == 403


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"&".join([b"a=1"] * 30), "application/x-www-form-urlencoded"),
        (b"username=a%00", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_form_is_a_400(server: Client, body: bytes, content_type: str) -> None:
    response = await server.send("POST", "/login", body=body, headers={"Content-Type": content_type})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_a_giant_form_is_a_413(server: Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await server.send("POST", "/login", body=b"a" * 20_000, headers=headers)).status == 413


async def test_all_paths_have_the_prefix(db: Db, login_settings: Settings, admin: User) -> None:
    settings = replace(login_settings, server=replace(login_settings.server, static_prefix="/mlflow"))
    async with running_app(settings) as client:
        browser = FormBrowser(client)
        assert (await browser.open("/mlflow/")).headers["location"] == "/mlflow/login"
        page = await browser.open("/mlflow/login")
        fields = {"csrf": csrf_of(page), "next": "/other", "username": "ada", "password": PASSWORD}
        response = await browser.submit("/mlflow/login", fields)
        assert response.headers["location"] == "/mlflow/"
        assert "railtrack-mlflow" in browser.cookies
        page = await browser.open("/mlflow/account")
        assert 'action="/mlflow/account/password"' in page.text
        assert (await browser.open("/mlflow/account/nothing")).status == 404


async def test_an_open_server_has_no_login(client: Client) -> None:
    response = await client.get("/login")
    assert (response.status, response.headers["location"]) == (303, "/")
    for method, path in (("POST", "/login"), ("GET", "/account"), ("POST", "/logout")):
        assert (await client.send(method, path)).status == 404
