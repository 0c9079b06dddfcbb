"""Requests to a server with login: which credentials it accepts, and when it stops to."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
from tests.auth.conftest import PASSWORD, basic, bearer
from tests.client import Client, Response, running_app

from railtrack.auth import passwords, tokens, users
from railtrack.auth.state import MAX_AGE_S
from railtrack.auth.users import User
from railtrack.clock import now_ms
from railtrack.config.settings import Settings
from railtrack.db import Db

SEARCH = "experiments/search?max_results=1"


async def token_of(db: Db, user: User, scope: str = "all", expires_ms: int | None = None) -> str:
    async with db.write() as tx:
        return await tokens.create_token(tx, user.user_id, "laptop", scope=scope, expires_ms=expires_ms)


async def within(seconds: float, send: Callable[[], Awaitable[Response]], status: int) -> None:
    """Repeat a request until it gets `status`. Fail if it does not within `seconds`, and some for a loaded machine."""
    deadline = time.monotonic() + seconds + 20
    while (response := await send()).status != status:
        assert time.monotonic() < deadline, response.text
        await asyncio.sleep(0.05)


async def test_a_token_is_accepted_as_bearer_and_as_the_basic_password(server: Client, db: Db, admin: User) -> None:
    token = await token_of(db, admin)
    for headers in (bearer(token), basic("ada", token), basic("", token), {"Authorization": f"bearer  {token} "}):
        assert (await server.get(SEARCH, headers=headers)).status == 200


async def test_user_name_and_password_are_accepted(server: Client, admin: User) -> None:
    assert (await server.get(SEARCH, headers=basic("ada"))).status == 200


async def test_a_password_may_have_colons_and_any_letters(server: Client, db: Db) -> None:
    password = "zwölf: Boxkämpfer"
    async with db.write() as tx:
        await users.create_user(tx, "cleo", passwords.hash_password(password), is_admin=True)
    assert (await server.get(SEARCH, headers=basic("cleo", password))).status == 200
    latin = "Basic " + b64encode(f"cleo:{password}".encode("latin-1")).decode()
    assert (await server.get(SEARCH, headers={"Authorization": latin})).status == 200


async def test_a_request_without_login_learns_what_to_set(server: Client, user: User) -> None:
    response = await server.get(SEARCH)
    assert (response.status, response.json["error_code"]) == (401, "UNAUTHENTICATED")
    for variable in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        assert variable in response.json["message"]
    assert response.headers["www-authenticate"] == 'Basic realm="mlflow"'


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Mode": "cors"}, {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}]
)
async def test_a_browsers_fetch_gets_no_challenge(server: Client, headers: dict[str, str]) -> None:
    response = await server.get(SEARCH, headers=headers)
    assert response.status == 401
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/login"),
        ("/?a=b", "/login?next=/%3Fa%3Db"),
        ("/get-artifact?path=a%2Fb", "/login?next=/get-artifact%3Fpath%3Da%252Fb"),
        ("/unknown", "/login?next=/unknown"),
    ],
)
async def test_a_page_that_a_browser_opens_redirects_to_the_login(server: Client, path: str, location: str) -> None:
    headers = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "navigate"}
    response = await server.get(path, headers=headers)
    assert (response.status, response.headers["location"]) == (303, location)
    assert (await server.post(path, {}, headers={**headers, "Sec-Fetch-Site": "same-origin"})).status == 401


WRONG = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer abc",
    "Bearer rtk_" + "a" * 49,
    "Basic",
    "Basic !!!",
    "Basic " + b64encode(b"no colon").decode(),
    "Basic " + b64encode(b":").decode(),
    "Basic " + b64encode(b"bob\0:x").decode(),
    "Basic " + b64encode(b"bob:\xff\xfe").decode(),
    "Basic " + "QUJD" * 5000,
    "Digest username=bob",
    "\xe4\xf6",
    "session abc",
]


@pytest.mark.parametrize("authorization", WRONG)
async def test_a_wrong_credential_is_a_401(server: Client, user: User, authorization: str) -> None:
    response = await server.get(SEARCH, headers={"Authorization": authorization})
    assert (response.status, response.json["error_code"]) == (401, "UNAUTHENTICATED")


async def test_a_token_that_nobody_has_is_a_401(server: Client, user: User) -> None:
    response = await server.get(SEARCH, headers=bearer(tokens.generate_token()))
    assert (response.status, response.json["error_code"]) == (401, "UNAUTHENTICATED")


async def test_a_wrong_password_is_a_401(server: Client, user: User) -> None:
    for headers in (basic("bob", "wrong"), basic("Bob"), basic("nobody"), basic("bob", "")):
        assert (await server.get(SEARCH, headers=headers)).status == 401


async def test_an_unknown_path_is_a_401_first(server: Client, db: Db, admin: User) -> None:
    for method, path in (("GET", "/api/2.0/mlflow/nothing"), ("DELETE", SEARCH), ("GET", "/api/2.0/mlflow/RUNS/get")):
        assert (await server.send(method, path)).status == 401
        response = await server.send(method, path, headers=bearer(await token_of(db, admin)))
        assert response.status in (404, 405)


PUBLIC = ["/health", "/ready", "/version", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"]


@pytest.mark.parametrize("path", PUBLIC)
async def test_public_paths_need_no_login(server: Client, path: str) -> None:
    assert (await server.get(path)).status == 200
    assert (await server.get(path, headers={"Authorization": "Bearer wrong"})).status == 200


async def test_a_user_who_is_no_administrator_gets_403(server: Client, db: Db, user: User) -> None:
    response = await server.get("webhooks", headers=bearer(await token_of(db, user)))
    assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")


async def test_a_password_that_must_be_changed_gives_no_access(server: Client, db: Db, password_hash: str) -> None:
    async with db.write() as tx:
        await users.create_user(tx, "root", password_hash, is_admin=True, must_change_password=True)
    response = await server.get(SEARCH, headers=basic("root"))
    assert (response.status, response.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert "has to be changed" in response.json["message"]


async def test_an_expired_token_is_a_401(server: Client, db: Db, admin: User) -> None:
    token = await token_of(db, admin, expires_ms=now_ms() + 1000)
    assert (await server.get(SEARCH, headers=bearer(token))).status == 200
    await within(1, lambda: server.get(SEARCH, headers=bearer(token)), 401)


async def test_the_use_of_a_token_is_recorded(server: Client, db: Db, admin: User) -> None:
    token = await token_of(db, admin)
    began = now_ms()
    assert (await server.get(SEARCH, headers=bearer(token))).status == 200
    deadline = time.monotonic() + 20
    while (used := (await tokens.list_tokens(db, admin.user_id))[0].last_used_ms) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert began <= used <= now_ms()


async def test_a_change_is_effective_in_every_worker_within_two_seconds(
    server: Client, login_settings: Settings, db: Db, admin: User, user: User
) -> None:
    """The cached token of an administrator, in two workers, none of which makes the changes."""
    async with running_app(login_settings) as other:
        token = await token_of(db, user)
        for worker in (server, other):
            assert (await worker.get("webhooks", headers=bearer(token))).status == 403
        async with db.write() as tx:
            await users.set_admin(tx, user, is_admin=True)
        for worker in (server, other):
            await within(MAX_AGE_S, lambda worker=worker: worker.get("webhooks", headers=bearer(token)), 200)
        async with db.write() as tx:
            await users.set_disabled(tx, user, is_disabled=True)
        for worker in (server, other):
            await within(MAX_AGE_S, lambda worker=worker: worker.get("webhooks", headers=bearer(token)), 401)


async def test_a_revoked_token_and_a_changed_password_end_their_use(server: Client, db: Db, admin: User) -> None:
    token = await token_of(db, admin)
    for headers in (bearer(token), basic("ada")):
        assert (await server.get(SEARCH, headers=headers)).status == 200
    async with db.write() as tx:
        assert await tokens.revoke_token(tx, 0, admin.user_id) is False
        [stored] = await tokens.list_tokens(tx, admin.user_id)
        assert await tokens.revoke_token(tx, stored.token_id, admin.user_id) is True
        await users.set_password(tx, admin, passwords.hash_password("another good one"))
    for headers in (bearer(token), basic("ada")):
        await within(MAX_AGE_S, lambda headers=headers: server.get(SEARCH, headers=headers), 401)
    assert (await server.get(SEARCH, headers=basic("ada", "another good one"))).status == 200


async def test_after_another_change_a_password_is_not_hashed_again(
    server: Client, db: Db, admin: User, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    monkeypatch.setattr(passwords, "_scrypt", record(hashed, passwords._scrypt))
    assert (await server.get(SEARCH, headers=basic("ada"))).status == 200
    async with db.write() as tx:
        await users.set_disabled(tx, user, is_disabled=True)
    version = await db.fetch_value("SELECT version FROM railtrack_auth_state")
    authenticator = server._app._authenticator
    assert authenticator is not None
    authenticator.state.expire()
    assert (await server.get(SEARCH, headers=basic("ada"))).status == 200
    assert authenticator.state.version == version
    assert len(hashed) == 1


def record(calls: list[str], call: Callable[..., bytes]) -> Callable[..., bytes]:
    def recorded(password: str, *args: object) -> bytes:
        calls.append(password)
        return call(password, *args)

    return recorded


@pytest.mark.parametrize(
    "stored",
    [
        # Made by werkzeug 3: generate_password_hash("correct horse battery", method)
        pytest.param("scrypt", id="scrypt"),
        pytest.param("pbkdf2", id="pbkdf2"),
    ],
)
async def test_a_hash_of_mlflow_is_verified_and_replaced(server: Client, db: Db, stored: str) -> None:
    from werkzeug.security import generate_password_hash

    method = {"scrypt": "scrypt", "pbkdf2": "pbkdf2:sha256:600000"}[stored]
    async with db.write() as tx:
        await users.create_user(tx, "old", generate_password_hash(PASSWORD, method), is_admin=True)
    assert (await server.get(SEARCH, headers=basic("old", "wrong"))).status == 401
    assert (await server.get(SEARCH, headers=basic("old"))).status == 200
    user = await users.get_user(db, "old")
    assert user.password_hash is not None
    assert not passwords.needs_rehash(user.password_hash)
    assert passwords.verify_password(PASSWORD, user.password_hash)


async def test_a_user_without_password_logs_in_by_token_only(server: Client, db: Db) -> None:
    async with db.write() as tx:
        service = await users.create_user(tx, "ci", None, is_admin=True)
    for password in ("", "None", "x"):
        assert (await server.get(SEARCH, headers=basic("ci", password))).status == 401
    assert (await server.get(SEARCH, headers=bearer(await token_of(db, service)))).status == 200


async def test_an_open_server_ignores_credentials(client: Client) -> None:
    assert (await client.get(SEARCH, headers={"Authorization": "Bearer wrong"})).status == 200
