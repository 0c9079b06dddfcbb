"""The first administrator, which the start creates."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from railtrack.auth import passwords, users
from railtrack.auth.first_admin import create_first_administrator
from railtrack.config.settings import AuthSettings
from railtrack.db import Db
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import StartError


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("railtrack.start"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


async def test_the_password_of_the_setting_is_used_and_not_logged(db: Db, lines: pytest.LogCaptureFixture) -> None:
    settings = AuthSettings(admin_username="root", admin_password="chosen by the operator")
    await create_first_administrator(db, settings)
    user = await users.get_user(db, "root")
    assert (user.is_admin, user.must_change_password) == (True, False)
    assert passwords.verify_password("chosen by the operator", user.password_hash or "")
    await create_first_administrator(db, replace(settings, admin_password="a later password"))
    assert await users.get_user(db, "root") == user
    assert "chosen" not in lines.text
    assert "later" not in lines.text


async def test_of_many_starters_one_creates_it_and_logs_its_password(db: Db, lines: pytest.LogCaptureFixture) -> None:
    starts = [retry_on_conflict(create_first_administrator, db, AuthSettings()) for _ in range(4)]
    await asyncio.gather(*starts)
    [user] = await users.list_users(db)
    assert (user.username, user.is_admin, user.must_change_password) == ("admin", True, True)
    [line] = [line for line in lines.messages if "one-time password" in line]
    assert passwords.verify_password(line.split()[-1], user.password_hash or "")


async def test_the_password_is_written_to_a_file_that_only_this_user_reads(
    db: Db, lines: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "password"
    await create_first_administrator(db, AuthSettings(password_file=str(path)))
    [user] = await users.list_users(db)
    password = path.read_text().strip()
    assert passwords.verify_password(password, user.password_hash or "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert password not in lines.text
    assert [one.name for one in path.parent.iterdir()] == ["password"]


async def test_without_the_file_no_user_is_created(db: Db, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="RAILTRACK_AUTH_PASSWORD_FILE: cannot write"):
        await create_first_administrator(db, AuthSettings(password_file=str(tmp_path / "file" / "password")))
    assert await users.list_users(db) == []


@pytest.mark.parametrize("password", ["short", "password1234", "administrator-x" * 100, "aaaaaaaaaaaaaa"])
async def test_a_weak_password_prevents_the_start(db: Db, password: str) -> None:
    with pytest.raises(StartError, match=r"Invalid password|Password must be at least") as raised:
        await create_first_administrator(db, AuthSettings(admin_password=password))
    assert password not in str(raised.value)
    assert await users.list_users(db) == []


async def test_a_user_of_that_name_is_not_made_an_administrator(db: Db, lines: pytest.LogCaptureFixture) -> None:
    async with db.write() as tx:
        await users.create_user(tx, "admin", None)
    await create_first_administrator(db, AuthSettings())
    [user] = await users.list_users(db)
    assert not user.is_admin
    assert "railtrack users reset admin --admin" in lines.text
