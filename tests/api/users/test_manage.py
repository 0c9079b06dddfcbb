"""Users: what tests/compat does not compare with MLflow."""

import asyncio

import pytest
from tests.api.conftest import Callers
from tests.auth.conftest import basic
from tests.client import Client

from railtrack.auth import users
from railtrack.auth.passwords import hash_password, verify_password
from railtrack.db import Db

PASSWORD = "correct horse battery"
V3 = "/api/3.0/mlflow/"


@pytest.mark.parametrize(
    "password",
    ["password1234", "PassWord1234", "newcomer-name", "aaaaaaaaaaaa", "abababababab", "x" * 1001, "has a \x00 in it"],
)
async def test_an_easy_password_is_rejected(callers: Callers, password: str) -> None:
    response = await callers.root.send("POST", "users/create", {"username": "newcomer-name", "password": password})
    assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert (await callers.root.send("GET", "users/get", {"username": "newcomer-name"})).status == 404


async def test_a_created_user_can_log_in_with_the_password(callers: Callers, db: Db) -> None:
    await callers.root.ok("POST", "users/create", {"username": "cleo", "password": PASSWORD})
    created = await users.get_user(db, "cleo")
    assert verify_password(PASSWORD, created.password_hash or "")
    assert not created.is_admin


async def test_an_administrator_is_always_left(callers: Callers) -> None:
    last = await callers.root.send("PATCH", "users/update-admin", {"username": "root", "is_admin": False})
    assert (last.status, last.json["error_code"]) == (400, "BAD_REQUEST")
    await callers.root.ok("PATCH", "users/update-admin", {"username": "ada", "is_admin": True})
    await callers.root.ok("PATCH", "users/update-admin", {"username": "root", "is_admin": False})
    await callers.root.denied("POST", "users/create", {"username": "cleo", "password": PASSWORD})
    await callers.ada.ok("DELETE", "users/delete", {"username": "root"})
    assert (await callers.ada.send("PATCH", "users/update-admin", {"username": "ada", "is_admin": False})).status == 400


async def test_two_administrators_who_demote_each_other_leave_one(callers: Callers, db: Db) -> None:
    await callers.root.ok("PATCH", "users/update-admin", {"username": "ada", "is_admin": True})
    answers = await asyncio.gather(
        callers.root.send("PATCH", "users/update-admin", {"username": "ada", "is_admin": False}),
        callers.ada.send("PATCH", "users/update-admin", {"username": "root", "is_admin": False}),
    )
    assert sorted(answer.status for answer in answers) in ([200, 400], [200, 403])
    assert await users.has_administrator(db)


async def test_a_deleted_user_loses_tokens_and_grants(callers: Callers, db: Db) -> None:
    grant = {"username": "bob", "resource_type": "experiment", "resource_id": "0", "permission": "MANAGE"}
    await callers.root.ok("POST", f"{V3}users/permissions/grant", grant)
    await callers.root.ok("DELETE", "users/delete", {"username": "bob"})
    assert (await callers.bob.send("GET", "users/current")).status == 401
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_role_permissions") == 0
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_role_assignments") == 0
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_roles") == 0


async def test_a_changed_password_ends_sessions_and_the_old_password(callers: Callers, db: Db) -> None:
    await set_password(db, "bob", PASSWORD)
    await db.execute(
        """
        INSERT INTO railtrack_sessions
            (session_hash, user_id, created_ms, last_seen_ms, expires_ms, address, user_agent)
        VALUES ('x', $1, 0, 0, 0, '', '')
        """,
        callers.bob.user.user_id,
    )
    change = {"username": "bob", "password": "another horse", "current_password": PASSWORD}
    await callers.bob.ok("PATCH", "users/update-password", change)
    assert await db.fetch_value("SELECT COUNT(*) FROM railtrack_sessions") == 0
    assert verify_password("another horse", (await users.get_user(db, "bob")).password_hash or "")


async def test_who_must_change_the_password_can_do_only_that(callers: Callers, db: Db) -> None:
    async with db.write() as tx:
        ada = await users.get_user(tx, "ada")
        await users.set_admin(tx, ada, is_admin=True)
        await users.set_password(tx, ada, hash_password(PASSWORD), must_change=True)
    headers = basic("ada", PASSWORD)
    client = callers.root.client
    assert (await client.get("users/current", headers=headers)).json["user"]["username"] == "ada"
    assert (await client.get("users/list", headers=headers)).status == 403
    other = {"username": "bob", "password": "another horse"}
    assert (await client.send("PATCH", "users/update-password", json=other, headers=headers)).status == 403
    own = {"username": "ada", "password": "another horse", "current_password": PASSWORD}
    assert (await client.send("PATCH", "users/update-password", json=own, headers=headers)).status == 200
    headers = basic("ada", "another horse")
    assert (await client.get("users/list", headers=headers)).status == 200


async def test_a_limited_token_cannot_administer(callers: Callers) -> None:
    reader = await callers.root.scoped("read")
    await reader.ok("GET", "users/list")
    await reader.ok("GET", f"{V3}roles/list")
    await reader.denied("POST", "users/create", {"username": "cleo", "password": PASSWORD})
    await reader.denied("POST", f"{V3}roles/create", {"name": "one", "workspace": "default"})
    on_experiment = await callers.root.scoped("experiment:0")
    await on_experiment.denied("GET", "users/list")
    await on_experiment.denied("DELETE", "users/delete", {"username": "bob"})


async def test_on_an_open_server_these_routes_do_not_exist(client: Client) -> None:
    for method, path in (
        ("GET", "users/list"),
        ("POST", "users/create"),
        ("GET", "users/create"),
        ("GET", f"{V3}roles/list"),
        ("POST", "experiments/permissions/create"),
        ("GET", "/api/2.0/mlflow/users/current"),
        ("GET", "/signup"),
    ):
        response = await client.send(method, path)
        assert (response.status, response.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), path
    assert (await client.get("/ajax-api/2.0/mlflow/users/current")).json == {}


async def set_password(db: Db, username: str, password: str) -> None:
    async with db.write() as tx:
        await users.set_password(tx, await users.get_user(tx, username), hash_password(password))
