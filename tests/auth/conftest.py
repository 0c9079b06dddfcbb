"""A server with login, in this process, and a user of each kind."""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.auth.world import World, create_world
from tests.client import Client, running_app

from railtrack.auth import password_login, passwords, tokens
from railtrack.auth.roles import set_grant
from railtrack.auth.users import User, create_user
from railtrack.config.settings import Settings
from railtrack.db import Db

PASSWORD = "correct horse battery"
Grant = tuple[str, str, str]
Login = Callable[..., Awaitable[dict[str, str]]]
"""Create a user with these grants, and return its credentials."""


def basic(username: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{username}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(autouse=True)
def low_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a hash, and a wrong password, take a millisecond. tests/auth/test_passwords.py checks the real cost."""
    monkeypatch.setattr(passwords, "N", 2**4)
    monkeypatch.setattr(password_login, "FAILURE_S", 0)
    monkeypatch.setattr(passwords, "NO_MATCH", passwords.NO_MATCH.replace(f":{2**13}:", f":{2**4}:"))


@pytest.fixture
def password_hash() -> str:
    return passwords.hash_password(PASSWORD)


@pytest.fixture
def login_settings(settings: Settings) -> Settings:
    return replace(settings, auth=replace(settings.auth, mode="on"))


@pytest.fixture
async def server(db: Db, login_settings: Settings) -> AsyncIterator[Client]:
    """Yield a client of a server with login. Requests carry no credential unless the test gives one."""
    async with running_app(login_settings) as client:
        yield client


@pytest.fixture
async def admin(db: Db, password_hash: str) -> User:
    async with db.write() as tx:
        return await create_user(tx, "ada", password_hash, is_admin=True)


@pytest.fixture
async def user(db: Db, password_hash: str) -> User:
    async with db.write() as tx:
        return await create_user(tx, "bob", password_hash)


@pytest.fixture
async def ada(db: Db, admin: User) -> dict[str, str]:
    async with db.write() as tx:
        return bearer(await tokens.create_token(tx, admin.user_id, "test"))


@pytest.fixture
async def world(server: Client, db: Db, ada: dict[str, str]) -> World:
    return await create_world(server, db, ada)


@pytest.fixture
def login(db: Db) -> Login:
    """Return a function that creates a user with these grants and returns its credentials."""

    async def login(name: str, *grants: Grant, scope: str = "all") -> dict[str, str]:
        async with db.write() as tx:
            user = await create_user(tx, name, None)
            for resource_type, resource_id, permission in grants:
                await set_grant(tx, user.user_id, resource_type, resource_id, permission)
            return bearer(await tokens.create_token(tx, user.user_id, "test", scope=scope))

    return login


async def status(server: Client, method: str, path: str, headers: dict[str, str], json: Any = None) -> int:
    return (await server.send(method, path, json=json, headers=headers)).status
