"""A server with login, and users who call it with tokens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.client import Client, Response, running_app

from railtrack.auth import tokens, users
from railtrack.auth.users import User
from railtrack.config.settings import Settings
from railtrack.db import Db


@dataclass(frozen=True)
class Caller:
    """A user who sends requests."""

    client: Client
    db: Db
    user: User
    token: str

    @property
    def name(self) -> str:
        return self.user.username

    async def send(self, method: str, path: str, values: Any = None) -> Response:
        """`values`: the query of a GET, the JSON body of others."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if method == "GET":
            return await self.client.get(path, values, headers=headers)
        return await self.client.send(method, path, json=values, headers=headers)

    async def ok(self, method: str, path: str, values: Any = None) -> Any:
        response = await self.send(method, path, values)
        assert response.status == 200, response.text
        return response.json

    async def denied(self, method: str, path: str, values: Any = None) -> None:
        response = await self.send(method, path, values)
        assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED"), response.text

    async def scoped(self, scope: str) -> "Caller":
        """Return the same user with a token of this scope."""
        async with self.db.write() as tx:
            token = await tokens.create_token(tx, self.user.user_id, scope, scope=scope)
        return replace(self, token=token)


@dataclass(frozen=True)
class Callers:
    root: Caller
    """An administrator."""
    ada: Caller
    bob: Caller


@pytest.fixture
async def callers(db: Db, settings: Settings) -> AsyncIterator[Callers]:
    """Yield users of a server with login: an administrator, and two without any permission but the default."""
    async with running_app(replace(settings, auth=replace(settings.auth, mode="on"))) as client:
        made = {}
        for name in ("root", "ada", "bob"):
            async with db.write() as tx:
                user = await users.create_user(tx, name, None, is_admin=name == "root")
                made[name] = Caller(client, db, user, await tokens.create_token(tx, user.user_id, "test"))
        yield Callers(**made)
