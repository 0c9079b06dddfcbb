"""The page of the audit log, and the entries of the login and account pages."""

import pytest
from tests.api.account.conftest import FormBrowser, csrf_of
from tests.auth.conftest import PASSWORD
from tests.client import Client

from railtrack.auth.audit_entries import AuditEntry, AuditFilter, add_entries, search_entries
from railtrack.auth.users import User
from railtrack.db import Db


@pytest.fixture
async def ada(browser: FormBrowser, admin: User) -> FormBrowser:
    assert (await browser.log_in("ada", PASSWORD)).status == 303
    return browser


async def recorded(db: Db) -> list[tuple[str, str, str]]:
    """Return action, resource and detail of all entries, the oldest first."""
    found = await search_entries(db, AuditFilter(), 1000)
    return [(one.action, f"{one.resource_type} {one.resource_id}", one.detail) for one in reversed(found)]


async def test_what_a_user_changes_on_the_pages_is_recorded(
    ada: FormBrowser, admin: User, db: Db, server: Client
) -> None:
    page = await ada.open("/account")
    csrf = csrf_of(page)
    token = {"csrf": csrf, "name": "laptop", "scope": "read", "days": "30", "current": PASSWORD}
    created = await ada.submit("/account/tokens", token)
    assert created.status == 200
    token_id = await db.fetch_value("SELECT token_id FROM railtrack_tokens")
    await ada.submit("/account/tokens/revoke", {"csrf": csrf, "token_id": token_id})
    other = FormBrowser(server)
    await other.log_in("ada", PASSWORD)
    session = await db.fetch_value("SELECT session_hash FROM railtrack_sessions ORDER BY created_ms DESC LIMIT 1")
    await ada.submit("/account/sessions/end", {"csrf": csrf, "session": session})
    user = {"csrf": csrf, "username": "bob", "password": "correct horse battery", "current": PASSWORD}
    assert "Created the user bob" in (await ada.submit("/api/2.0/mlflow/users/create-ui", user)).text
    new = "another battery horse"
    await ada.submit("/account/password", {"csrf": csrf, "current": PASSWORD, "new": new, "again": new})
    await ada.submit("/logout", {"csrf": csrf_of(await ada.open("/account"))})
    assert await recorded(db) == [
        ("login", "user ada", ""),
        ("POST /account/tokens", f"token {token_id}", "laptop, scope read"),
        ("POST /account/tokens/revoke", f"token {token_id}", ""),
        ("login", "user ada", ""),
        ("POST /account/sessions/end", f"session {session[:8]}", ""),
        ("POST users/create-ui", "user bob", ""),
        ("POST /account/password", "user ada", ""),
        ("logout", "user ada", ""),
    ]
    stored = str([tuple(row) for row in await db.fetch("SELECT * FROM railtrack_audit_log")])
    for secret in (PASSWORD, new, csrf, *ada.cookies.values()):
        assert secret not in stored


async def test_the_logout_of_the_web_interface_is_recorded(ada: FormBrowser, db: Db) -> None:
    headers = {"Authorization": "Basic bWxmbG93LWxvZ2dlZC1vdXQteDp4", "Sec-Fetch-Mode": "cors"}
    assert (await ada._send("GET", "/ajax-api/2.0/mlflow/users/current", **headers)).status == 401
    assert [action for action, *_ in await recorded(db)] == ["login", "logout"]


async def test_administrators_read_the_log_on_its_page(ada: FormBrowser, db: Db) -> None:
    assert "/account/audit" in (await ada.open("/account")).text
    entry = AuditEntry(timestamp=1, username="<b>eve", action="POST runs/delete", is_denied=True, detail="<script>")
    async with db.write() as tx:
        await add_entries(tx, [entry] * 150)
    page = await ada.open("/account/audit?user=%3Cb%3Eeve&outcome=denied&action=RUNS")
    assert page.status == 200
    assert page.text.count("&lt;b&gt;eve</td>") == 100
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    [older] = [part.split('"')[0] for part in page.text.split('href="') if "before=" in part]
    second = await ada.open(older.replace("&amp;", "&"))
    assert second.text.count("&lt;b&gt;eve</td>") == 50
    assert "Older entries" not in second.text
    assert "no such entries" in (await ada.open("/account/audit?outcome=denied&user=nobody")).text


@pytest.mark.parametrize(
    "query", ["before=x", "before=" + "9" * 40, "user=%00", "user=%ff", "outcome=x&outcome=denied"]
)
async def test_any_query_of_the_page_is_answered(ada: FormBrowser, query: str) -> None:
    assert (await ada.open(f"/account/audit?{query}")).status in (200, 400)


async def test_other_users_get_neither_the_page_nor_a_link(browser: FormBrowser, user: User) -> None:
    await browser.log_in("bob", PASSWORD)
    assert "/account/audit" not in (await browser.open("/account")).text
    assert (await browser.open("/account/audit")).status == 403
