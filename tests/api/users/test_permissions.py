"""Grants to single users, by both APIs. tests/compat compares the newer one with MLflow's."""

from tests.api.conftest import Callers

from railtrack.auth.roles import delete_grants, grant_creator, rename_grants
from railtrack.db import Db

GRANTS = "/api/3.0/mlflow/users/permissions/"


def on(resource_type: str, resource_id: str, permission: str = "MANAGE", username: str = "bob") -> dict[str, str]:
    return {
        "username": username,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "permission": permission,
    }


async def test_the_older_routes_change_the_same_grants(callers: Callers) -> None:
    root, path = callers.root, "experiments/permissions/"
    key = {"experiment_id": "7", "username": "bob"}
    created = await root.ok("POST", f"{path}create", {**key, "permission": "EDIT"})
    bob = callers.bob.user.user_id
    expected = {"experiment_permission": {"experiment_id": "7", "user_id": bob, "permission": "EDIT"}}
    assert created == expected
    assert await root.ok("GET", f"{path}get", key) == expected
    assert (await root.send("POST", f"{path}create", {**key, "permission": "READ"})).status == 400
    assert await root.ok("GET", f"{GRANTS}get", on("experiment", "7")) == {"allowed": True, "permission": "EDIT"}
    assert await root.ok("PATCH", f"{path}update", {**key, "permission": "NO_PERMISSIONS"}) == {}
    assert await root.ok("GET", f"{GRANTS}get", on("experiment", "7")) == {"allowed": False, "permission": "DENY"}
    assert (await root.ok("GET", f"{path}get", key))["experiment_permission"]["permission"] == "NO_PERMISSIONS"
    assert await root.ok("DELETE", f"{path}delete", key) == {}
    for method, name, body in (
        ("GET", "get", key),
        ("PATCH", "update", {**key, "permission": "READ"}),
        ("DELETE", "delete", key),
    ):
        missing = await root.send(method, f"{path}{name}", body)
        assert missing.status == 404
        assert missing.json["message"] == "Experiment permission with experiment_id=7 and username=bob not found"


async def test_older_clients_read_the_grants_of_a_user(callers: Callers) -> None:
    key = {"name": "a model/1", "username": "bob"}
    created = await callers.root.ok("POST", "registered-models/permissions/create", {**key, "permission": "READ"})
    grant = {
        "workspace": "default",
        "name": "a model/1",
        "user_id": callers.bob.user.user_id,
        "permission": "READ",
    }
    assert created == {"registered_model_permission": grant}
    await callers.root.ok("POST", f"{GRANTS}grant", on("experiment", "0", "USE"))
    user = (await callers.bob.ok("GET", "users/get", {"username": "bob"}))["user"]
    assert user["registered_model_permissions"] == [grant]
    assert [one["permission"] for one in user["experiment_permissions"]] == ["USE"]


async def test_a_manager_shares_what_it_manages_and_nothing_else(callers: Callers) -> None:
    await callers.root.ok("POST", f"{GRANTS}grant", on("experiment", "7"))
    key = {"experiment_id": "7", "username": "ada", "permission": "EDIT"}
    await callers.bob.ok("POST", "experiments/permissions/create", key)
    await callers.ada.denied("PATCH", "experiments/permissions/update", {**key, "permission": "MANAGE"})
    await callers.ada.denied("GET", "experiments/permissions/get", key)
    await callers.bob.denied("POST", "experiments/permissions/create", {**key, "experiment_id": "8"})
    await callers.bob.denied("POST", "registered-models/permissions/create", {**key, "name": "7"})
    reader = await callers.bob.scoped("read")
    await reader.denied("DELETE", "experiments/permissions/delete", key)


async def test_a_denied_manager_no_longer_shares(callers: Callers, db: Db) -> None:
    await callers.root.ok("POST", f"{GRANTS}grant", on("experiment", "7"))
    role = {"name": "none", "workspace": "default"}
    role_id = (await callers.root.ok("POST", "/api/3.0/mlflow/roles/create", role))["role"]["id"]
    deny = {"role_id": role_id, "resource_type": "experiment", "resource_pattern": "*", "permission": "DENY"}
    await callers.root.ok("POST", "/api/3.0/mlflow/roles/permissions/add", deny)
    await callers.root.ok("POST", "/api/3.0/mlflow/roles/assign", {"username": "bob", "role_id": role_id})
    await callers.bob.denied("POST", f"{GRANTS}grant", on("experiment", "7", "READ", "ada"))


async def test_the_role_of_a_single_user_cannot_be_shared_or_renamed(callers: Callers) -> None:
    await callers.root.ok("POST", f"{GRANTS}grant", on("experiment", "7"))
    [role] = (await callers.root.ok("GET", "/api/3.0/mlflow/users/roles/list", {"username": "bob"}))["roles"]
    assert role["name"] == f"__user_{callers.bob.user.user_id}__"
    assign = {"username": "ada", "role_id": role["id"]}
    assert (await callers.root.send("POST", "/api/3.0/mlflow/roles/assign", assign)).status == 400
    rename = {"role_id": role["id"], "name": "bobs"}
    assert (await callers.root.send("PATCH", "/api/3.0/mlflow/roles/update", rename)).status == 400


async def test_the_grants_of_users_follow_a_model_and_end_with_it(callers: Callers, db: Db) -> None:
    async with db.write() as tx:
        await grant_creator(tx, None, "registered_model", "old")  # an open server: nobody needs a grant
    for resource_type in ("registered_model", "prompt"):
        for username in ("ada", "bob"):
            await callers.root.ok("POST", f"{GRANTS}grant", on(resource_type, "old", "EDIT", username))
    await callers.root.ok("POST", f"{GRANTS}grant", on("registered_model", "new", "MANAGE", "ada"))
    role = {"name": "all", "workspace": "default"}
    role_id = (await callers.root.ok("POST", "/api/3.0/mlflow/roles/create", role))["role"]["id"]
    rule = {"role_id": role_id, "resource_type": "registered_model", "resource_pattern": "old", "permission": "READ"}
    await callers.root.ok("POST", "/api/3.0/mlflow/roles/permissions/add", rule)
    async with db.write() as tx:
        await rename_grants(tx, "old", "new")
        await rename_grants(tx, "new", "new")
    listed = await callers.root.ok("GET", f"{GRANTS}list", {"username": "ada"})
    assert sorted(
        (one["resource_type"], one["resource_pattern"], one["permission"]) for one in listed["permissions"]
    ) == [
        ("prompt", "new", "EDIT"),
        ("registered_model", "new", "EDIT"),
    ]
    kept = await callers.root.ok("GET", "/api/3.0/mlflow/roles/permissions/list", {"role_id": role_id})
    assert [one["resource_pattern"] for one in kept["role_permissions"]] == ["old"]
    async with db.write() as tx:
        await delete_grants(tx, "new")
    assert (await callers.root.ok("GET", f"{GRANTS}list", {"username": "ada"}))["permissions"] == []
