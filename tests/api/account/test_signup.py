"""The page on which an administrator creates a user."""

import pytest
from tests.api.account.conftest import FormBrowser, csrf_of
from tests.auth.conftest import PASSWORD, basic
from tests.client import Client

from railtrack.auth.users import User, find_user
from railtrack.db import Db

CREATE = "/api/2.0/mlflow/users/create-ui"


async def test_an_administrator_creates_a_user_with_its_own_password(browser: FormBrowser, db: Db, admin: User) -> None:
    await browser.log_in(admin.username, PASSWORD)
    page = await browser.open("/signup")
    assert page.status == 200
    assert "content-security-policy" in page.headers
    fields = {"csrf": csrf_of(page), "username": "cleo <b>", "password": "a good long one", "current": PASSWORD}
    created = await browser.submit(CREATE, fields)
    assert created.status == 200
    assert "Created the user cleo &lt;b&gt;." in created.text
    assert await find_user(db, "cleo <b>")
    again = await browser.submit(CREATE, fields)
    assert again.status == 400
    assert "already exists" in again.text


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"csrf": "forged"}, 403, "PERMISSION_DENIED"),
        ({"csrf": ""}, 403, "PERMISSION_DENIED"),
        ({"current": "another one"}, 400, "Your own password is wrong."),
        ({"current": ""}, 400, "Your own password is wrong."),
        ({"password": "short"}, 400, "at least 12 characters"),
        ({"username": "a:b"}, 400, "Invalid user name"),
        ({"username": ""}, 400, "Invalid user name"),
    ],
)
async def test_an_invalid_form_creates_no_user(
    browser: FormBrowser, db: Db, admin: User, changes: dict[str, str], status: int, reason: str
) -> None:
    await browser.log_in(admin.username, PASSWORD)
    page = await browser.open("/signup")
    fields = {"csrf": csrf_of(page), "username": "cleo", "password": "a good long one", "current": PASSWORD}
    answer = await browser.submit(CREATE, fields | changes)
    assert answer.status == status
    assert reason in answer.text
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_users") == 1


async def test_others_get_no_page_to_create_users(browser: FormBrowser, server: Client, db: Db, user: User) -> None:
    await browser.log_in(user.username, PASSWORD)
    fields = {"username": "cleo", "password": "a good long one"}
    assert (await browser.open("/signup")).status == 403
    assert (await browser.submit(CREATE, fields)).status == 403
    assert (await server.get("/signup", headers=basic(user.username))).status == 403
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_users") == 1
