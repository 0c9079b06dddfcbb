"""Which pages may change something by a login that the browser sends by itself. Settings cannot switch this off."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from tests.auth.conftest import bearer
from tests.client import Client, running_app

from railtrack.auth import tokens
from railtrack.auth.sessions import create_session
from railtrack.auth.users import User
from railtrack.config.settings import Settings
from railtrack.db import Db

CREATE = "/api/2.0/mlflow/experiments/create"
EVIL = "https://evil.example"
Serve = Callable[..., Any]


@pytest.fixture
async def cookie(db: Db, user: User) -> dict[str, str]:
    async with db.write() as tx:
        session = await create_session(tx, user.user_id, address="", user_agent="")
    return {"Cookie": f"railtrack={session}"}


@pytest.fixture
async def serve(db: Db, login_settings: Settings) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def serve(**security: Any) -> Client:
            settings = replace(login_settings, security=replace(login_settings.security, **security))
            return await stack.enter_async_context(running_app(settings))

        yield serve


async def create(server: Client, name: str, login: dict[str, str], **headers: str) -> int:
    sent = {**login, **{key.replace("_", "-"): value for key, value in headers.items()}}
    return (await server.send("POST", CREATE, json={"name": name}, headers=sent)).status


@pytest.mark.parametrize("security", [{"is_disabled": True}, {"allowed_origins": ("*",)}, {}], ids=str)
async def test_only_the_servers_own_pages_use_a_session(
    serve: Serve, cookie: dict[str, str], db: Db, user: User, security: dict[str, Any]
) -> None:
    server = await serve(**security)
    for foreign in ({}, {"origin": EVIL}, {"origin": "null"}, {"sec_fetch_site": "cross-site", "origin": EVIL}):
        assert await create(server, "a", cookie, **foreign) == 403, foreign
    # A page of another name below the same domain gets the cookie, although it is SameSite.
    assert await create(server, "a", cookie, sec_fetch_site="same-site", origin="https://other.example") == 403
    assert await create(server, "a", cookie, origin="http://localhost") == 200
    assert await create(server, "b", cookie, sec_fetch_site="same-origin") == 200
    async with db.write() as tx:
        token = bearer(await tokens.create_token(tx, user.user_id, "test"))
    assert await create(server, "c", token) == 200
    status = await create(server, "d", token, origin=EVIL)
    assert status == (200 if security else 403)  # no browser sends a token by itself


async def test_a_named_origin_uses_a_session(serve: Serve, cookie: dict[str, str]) -> None:
    server = await serve(allowed_origins=("*", "https://app.example.com"))
    assert await create(server, "a", cookie, origin="https://app.example.com") == 200
    assert await create(server, "b", cookie, origin=EVIL) == 403


async def test_a_page_cannot_send_the_header_that_would_make_its_origin_the_servers(
    serve: Serve, cookie: dict[str, str]
) -> None:
    """X-Forwarded-Host counts from loopback, where proxies run. A browser asks before it sends the header."""
    server = await serve()
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-forwarded-host"}
    response = await server.send("OPTIONS", CREATE, headers={"Origin": EVIL, **asked})
    assert response.status == 400
    assert "access-control-allow-origin" not in response.headers
    # What browsers do send decides before that header does.
    sent = {"x_forwarded_host": "evil.example", "origin": EVIL, "sec_fetch_site": "cross-site"}
    assert await create(server, "a", cookie, **sent) == 403
    # From elsewhere the header does not count at all.
    headers = {**cookie, "Origin": EVIL, "X-Forwarded-Host": "evil.example"}
    response = await server.send("POST", CREATE, json={"name": "a"}, headers=headers, peer="203.0.113.9")
    assert response.status == 403
