"""The login by a proxy's header: only from the named proxies, only one value, and with the rules of browsers."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.auth.conftest import PASSWORD, basic
from tests.client import Client, Response, running_app

from railtrack.auth import users
from railtrack.auth.users import User
from railtrack.config.settings import Settings
from railtrack.db import Db

PROXY = "10.1.2.3"
USER = "X-Forwarded-User"
CURRENT = "/ajax-api/2.0/mlflow/users/current"
CREATE = "/api/2.0/mlflow/experiments/create"
OWN = {"Origin": "http://localhost"}


@pytest.fixture
def header_settings(login_settings: Settings) -> Settings:
    header = replace(login_settings.auth_header, name="x-forwarded-user", proxies=("10.1.2.0/28", "::1"))
    return replace(login_settings, auth_header=header)


@pytest.fixture
async def server(db: Db, header_settings: Settings) -> AsyncIterator[Client]:
    async with running_app(header_settings) as client:
        yield client


async def current(server: Client, name: str = "bob", peer: str = PROXY, **headers: str) -> Response:
    return await server.get(CURRENT, headers={USER: name, **headers}, peer=peer)


async def test_the_proxy_names_the_user(server: Client, user: User, admin: User) -> None:
    for _ in range(2):
        assert (await current(server)).json["user"]["username"] == "bob"
        assert (await current(server, "ada", peer="::1")).json["user"]["is_admin"] is True
    assert (await current(server)).json["is_basic_auth"] is False  # the interface offers neither logout nor password


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.16", "203.0.113.9", ""])
async def test_the_header_of_others_is_ignored(server: Client, user: User, peer: str) -> None:
    """Also that of the proxies whose X-Forwarded-For is trusted."""
    assert (await current(server, peer=peer)).status == 401
    forged = await current(
        server, peer=peer, **{"X-Forwarded-For": PROXY, "X-Real-IP": PROXY, "Forwarded": f"for={PROXY}"}
    )
    assert forged.status == 401
    assert (await current(server, peer=peer, **basic("bob"))).json["user"]["username"] == "bob"


async def test_another_spelling_of_the_header_is_ignored(server: Client, user: User) -> None:
    for name in ("X_Forwarded_User", "X-Forwarded-User-", "X-Forwarded-Users", "X-Remote-User"):
        response = await server.get(CURRENT, headers={name: "bob"}, peer=PROXY)
        assert response.status == 401, name


@pytest.mark.parametrize("value", ["bob, ada", "ada,", ",ada", "bob\xff"])
async def test_several_values_are_rejected(server: Client, user: User, admin: User, value: str) -> None:
    """A client sent one, and the proxy added another."""
    assert (await current(server, value)).status == 401


async def test_repeated_headers_are_rejected(header_settings: Settings, db: Db, user: User, admin: User) -> None:
    from railtrack.wire.request import HttpRequest
    from railtrack.wire.trusted_header import TrustedHeader

    headers = [(b"x-forwarded-user", b"ada"), (b"x-forwarded-user", b"bob")]
    http = HttpRequest({"headers": headers, "client": (PROXY, 1)}, None)  # type: ignore[arg-type]
    header = TrustedHeader("X-Forwarded-User", (PROXY,), creates_users=False)
    with pytest.raises(Exception, match="several values"):
        header.username(http)


async def test_without_the_header_the_other_logins_work(server: Client, user: User) -> None:
    assert (await server.get(CURRENT, peer=PROXY)).status == 401
    assert (await server.get(CURRENT, headers={USER: "", **basic("bob")}, peer=PROXY)).status == 200
    assert (await server.get(CURRENT, headers=basic("bob", "wrong"), peer=PROXY)).status == 401


async def test_the_proxys_user_counts_more_than_other_credentials(server: Client, user: User, admin: User) -> None:
    assert (await current(server, "bob", **basic("ada"))).json["user"]["username"] == "bob"
    assert (await current(server, "bob", **basic("ada", "wrong"))).json["user"]["username"] == "bob"


async def test_an_unknown_user_gets_a_clear_403(server: Client, db: Db) -> None:
    response = await current(server, "nobody")
    assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert "railtrack users create NAME --no-password" in response.json["message"]
    assert await users.list_users(db) == []


async def test_a_setting_lets_the_header_create_unknown_users(db: Db, header_settings: Settings) -> None:
    settings = replace(header_settings, auth_header=replace(header_settings.auth_header, creates_users=True))
    async with running_app(settings) as server:
        for _ in range(2):
            assert (await current(server, "Zoë".encode().decode("latin-1"))).json["user"]["username"] == "Zoë"
        for name in ("a:b", "x" * 300, "a\tb"):
            assert (await current(server, name)).status == 400, name
    assert [user.username for user in await users.list_users(db)] == ["Zoë"]


async def test_no_user_is_created_whose_name_differs_in_capitals_only(
    db: Db, header_settings: Settings, user: User
) -> None:
    settings = replace(header_settings, auth_header=replace(header_settings.auth_header, creates_users=True))
    async with running_app(settings) as server:
        response = await current(server, "Bob")
        assert response.status == 403
        assert "but the user is 'bob'" in response.json["message"]
        async with db.write() as tx:
            await users.create_user(tx, "Bob", None)
        assert (await current(server, "Bob")).json["user"]["username"] == "Bob"


async def test_a_disabled_user_is_rejected(server: Client, db: Db, user: User) -> None:
    assert (await current(server)).status == 200
    async with db.write() as tx:
        await users.set_disabled(tx, user, is_disabled=True)
    server._app._authenticator.state.expire()  # type: ignore[union-attr]
    assert (await current(server)).status == 403


async def test_another_site_changes_nothing_through_the_proxy(server: Client, user: User) -> None:
    """The browser sends the proxy's cookie by itself, as it does a session's."""

    async def create(name: str, **headers: str) -> int:
        sent = {USER: "bob", **headers}
        return (await server.send("POST", CREATE, json={"name": name}, headers=sent, peer=PROXY)).status

    assert await create("a") == 403
    assert await create("a", Origin="http://evil.example") == 403
    assert await create("a", **{"Sec-Fetch-Site": "same-site"}) == 403
    assert await create("a", **OWN) == 200
    assert await create("b", **{"Sec-Fetch-Site": "same-origin"}) == 200


async def test_the_account_page_explains_how_to_get_a_token(server: Client, user: User) -> None:
    response = await server.get("/account", headers={USER: "bob"}, peer=PROXY)
    assert response.status == 403
    assert "railtrack tokens create bob NAME" in response.text


async def test_a_one_time_password_does_not_matter_to_the_proxy(server: Client, db: Db, user: User) -> None:
    async with db.write() as tx:
        await users.set_password(tx, user, "a hash", must_change=True)
    assert (
        await server.get(
            "/ajax-api/2.0/mlflow/experiments/search", {"max_results": 1}, headers={USER: "bob"}, peer=PROXY
        )
    ).status == 200


async def test_the_header_does_nothing_unless_it_is_configured(db: Db, login_settings: Settings, user: User) -> None:
    async with running_app(login_settings) as server:
        for peer in (PROXY, "127.0.0.1"):
            assert (await current(server, peer=peer)).status == 401
            assert (await current(server, peer=peer, **basic("bob", PASSWORD))).status == 200
