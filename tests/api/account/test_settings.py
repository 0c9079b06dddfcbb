"""The account page: password, tokens and sessions, each only by a form of the session."""

import re

import pytest
from tests.api.account.conftest import FormBrowser, csrf_of
from tests.auth.conftest import PASSWORD, basic, bearer
from tests.client import Client

from railtrack.auth import sessions, tokens, users
from railtrack.auth.users import User
from railtrack.db import Db

SEARCH = "experiments/search?max_results=1"
NEW = "an entirely new one"
TOKEN = {"name": "laptop", "scope": "all", "days": "90", "target": "", "current": PASSWORD}


@pytest.fixture
async def csrf(browser: FormBrowser, admin: User) -> str:
    """Log in as the administrator and return the CSRF token of the session."""
    await browser.log_in("ada", PASSWORD)
    return csrf_of(await browser.open("/account"))


async def test_a_token_is_shown_once_and_works(browser: FormBrowser, csrf: str) -> None:
    page = await browser.submit("/account/tokens", {"csrf": csrf, **TOKEN, "name": "<b>laptop</b>"})
    assert page.status == 200
    [token] = re.findall(r"<code>(rtk_\w+)</code>", page.text)
    assert (await browser.client.get(SEARCH, headers=bearer(token))).status == 200
    page = await browser.open("/account")
    assert token not in page.text
    assert "&lt;b&gt;laptop" in page.text
    [token_id] = re.findall(r'name="token_id" value="(\d+)"', page.text)
    response = await browser.submit("/account/tokens/revoke", {"csrf": csrf, "token_id": token_id})
    assert (response.status, response.headers["location"]) == (303, "/account")
    assert (await browser.client.get(SEARCH, headers=bearer(token))).status == 401
    assert "You have no tokens" in (await browser.open("/account")).text


async def test_a_token_has_a_scope_and_an_end(browser: FormBrowser, csrf: str, db: Db) -> None:
    for changes in ({"scope": "experiment", "target": "0", "days": "0"}, {"scope": "read", "days": "30"}):
        assert (await browser.submit("/account/tokens", {"csrf": csrf, **TOKEN, **changes})).status == 200
    read, experiment = await tokens.list_tokens(db)
    assert (experiment.scope, experiment.expires_ms) == ("experiment:0", None)
    assert read.expires_ms == pytest.approx(read.created_ms + 30 * 24 * 3600 * 1000, abs=60_000)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"current": "wrong"}, 403, "The current password is wrong."),
        ({"current": ""}, 403, "The current password is wrong."),
        ({"name": " "}, 400, "Invalid token name"),
        ({"scope": "everything"}, 400, "Invalid scope"),
        ({"scope": "experiment", "target": "x"}, 400, "Invalid scope"),
        ({"days": "-1"}, 400, "Invalid lifetime"),
    ],
)
async def test_an_unfit_token_is_rejected(
    browser: FormBrowser, csrf: str, db: Db, changes: dict[str, str], status: int, message: str
) -> None:
    page = await browser.submit("/account/tokens", {"csrf": csrf, **TOKEN, **changes})
    assert page.status == status
    assert message in page.text
    assert await tokens.list_tokens(db) == []


async def test_a_new_password_ends_all_other_sessions(
    browser: FormBrowser, server: Client, csrf: str, db: Db, admin: User
) -> None:
    other = FormBrowser(server)
    await other.log_in("ada", PASSWORD)
    fields = {"csrf": csrf, "current": PASSWORD, "new": NEW, "again": NEW}
    response = await browser.submit("/account/password", fields)
    assert (response.status, response.headers["location"]) == (303, "/account")
    assert (await browser.open("/account")).status == 200
    assert (await other.open("/account")).status == 303
    assert len(await sessions.list_sessions(db, admin.user_id)) == 1
    assert (await server.get(SEARCH, headers=basic("ada"))).status == 401
    assert (await server.get(SEARCH, headers=basic("ada", NEW))).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"current": "wrong", "new": NEW, "again": NEW}, 403, "The current password is wrong."),
        ({"current": PASSWORD, "new": NEW, "again": "other"}, 400, "The two new passwords are different."),
        ({"current": PASSWORD, "new": PASSWORD, "again": PASSWORD}, 400, "The new password is the current one."),
        ({"current": PASSWORD, "new": "short", "again": "short"}, 400, "Password must be at least 12 characters."),
        ({"current": PASSWORD, "new": "Password1234", "again": "Password1234"}, 400, "easy to guess"),
        ({}, 403, "The current password is wrong."),
    ],
)
async def test_an_unfit_password_is_rejected(
    browser: FormBrowser, csrf: str, db: Db, admin: User, fields: dict[str, str], status: int, message: str
) -> None:
    page = await browser.submit("/account/password", {"csrf": csrf, **fields})
    assert page.status == status
    assert message in page.text
    assert (await users.get_user(db, "ada")).password_hash == admin.password_hash


async def test_a_one_time_password_leads_to_the_account_page_until_it_is_changed(
    browser: FormBrowser, db: Db, password_hash: str
) -> None:
    async with db.write() as tx:
        await users.create_user(tx, "root", password_hash, is_admin=True, must_change_password=True)
    assert (await browser.log_in("root", PASSWORD)).headers["location"] == "/account"
    page = await browser.open("/account")
    assert "Choose a new password first." in page.text
    assert "New token" not in page.text
    csrf = csrf_of(page)
    for response in (await browser.open("/"), await browser.submit("/account/tokens", {"csrf": csrf, **TOKEN})):
        assert (response.status, response.headers["location"]) == (303, "/account")
    assert await tokens.list_tokens(db) == []
    fields = {"csrf": csrf, "current": PASSWORD, "new": NEW, "again": NEW}
    assert (await browser.submit("/account/password", fields)).headers["location"] == "/"
    assert (await browser.open("/")).status in (200, 404)  # without the web interface in a clone


async def test_a_session_is_ended_from_another_browser(browser: FormBrowser, server: Client, csrf: str) -> None:
    other = FormBrowser(server)
    await other.log_in("ada", PASSWORD)
    hashed = sessions.session_hash(other.cookies["railtrack"])
    assert hashed in (await browser.open("/account")).text
    assert (await browser.submit("/account/sessions/end", {"csrf": csrf, "session": hashed})).status == 303
    assert (await other.open("/account")).status == 303
    assert (await browser.open("/account")).status == 200


async def test_nobody_ends_sessions_or_tokens_of_others(
    browser: FormBrowser, server: Client, csrf: str, db: Db, user: User
) -> None:
    other = FormBrowser(server)
    await other.log_in("bob", PASSWORD)
    async with db.write() as tx:
        await tokens.create_token(tx, user.user_id, "laptop")
    [token] = await tokens.list_tokens(db, user.user_id)
    hashed = sessions.session_hash(other.cookies["railtrack"])
    await browser.submit("/account/sessions/end", {"csrf": csrf, "session": hashed})
    await browser.submit("/account/tokens/revoke", {"csrf": csrf, "token_id": str(token.token_id)})
    assert (await other.open("/account")).status == 200
    assert await tokens.list_tokens(db, user.user_id) == [token]


FORMS = ["/logout", "/account/password", "/account/tokens", "/account/tokens/revoke", "/account/sessions/end"]


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_the_sessions_token_is_rejected(browser: FormBrowser, csrf: str, path: str) -> None:
    for wrong in ({}, {"csrf": ""}, {"csrf": "ä"}, {"csrf": csrf[:-1]}):
        response = await browser.submit(path, wrong)
        assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert (await browser.open("/account")).status == 200


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_of_an_ended_session_leads_to_the_login(browser: FormBrowser, admin: User, path: str) -> None:
    browser.cookies["railtrack"] = "x" * 43
    response = await browser.submit(path, {"csrf": "0"})
    assert (response.status, response.headers["location"]) == (303, "/login")


async def test_the_page_needs_a_session(server: Client, admin: User) -> None:
    response = await server.get("/account", headers=basic("ada"))
    assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("token_id", ["", "x", "-1", "9" * 30, "¹"])
async def test_an_invalid_token_id_is_a_400(browser: FormBrowser, csrf: str, token_id: str) -> None:
    response = await browser.submit("/account/tokens/revoke", {"csrf": csrf, "token_id": token_id})
    assert response.status == 400
