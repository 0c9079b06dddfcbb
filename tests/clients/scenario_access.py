"""All calls of AuthServiceClient, by a user with the variables of a login. Runs with MLflow, or `client` alone."""

import sys

from mlflow import MlflowException

if sys.argv[2:] == ["client"]:
    from auth_client import auth_service_client

    client = auth_service_client(sys.argv[1])
else:
    from mlflow.server import get_app_client

    client = get_app_client("basic-auth", sys.argv[1])
PASSWORD = "a password of bob's"


def fails(code: str, call, *arguments, **named) -> None:  # type: ignore[no-untyped-def]
    error_code = None
    try:
        call(*arguments, **named)
    except MlflowException as error:
        error_code = error.error_code
    assert error_code == code, call.__name__


user = client.create_user("bob", PASSWORD)
assert (user.username, user.is_admin) == ("bob", False)
fails("RESOURCE_ALREADY_EXISTS", client.create_user, "bob", PASSWORD)
assert client.get_user("bob").id == user.id
client.update_user_password("bob", "another password of bob's")
client.update_user_admin("bob", True)
assert client.get_user("bob").is_admin
client.update_user_admin("bob", False)

role = client.create_role("default", "readers", "read all")
assert client.get_role(role.id).description == "read all"
assert [one.name for one in client.list_roles("default")] == ["readers"]
assert client.update_role(role.id, name="all readers").name == "all readers"
permission = client.add_role_permission(role.id, "experiment", "*", "READ")
assert client.update_role_permission(permission.id, "DENY").permission == "DENY"
assert [one.id for one in client.list_role_permissions(role.id)] == [permission.id]
assert client.assign_role("bob", role.id).user_id == user.id
assert [one.id for one in client.list_user_roles("bob")] == [role.id]
assert [one.user_id for one in client.list_role_users(role.id)] == [user.id]
assert client.get_user_permission("bob", "experiment", "0").permission == "DENY"
client.remove_role_permission(permission.id)
client.unassign_role("bob", role.id)
fails("RESOURCE_DOES_NOT_EXIST", client.unassign_role, "bob", role.id)
assert [one.name for one in client.list_all_roles()] == ["all readers"]
client.delete_role(role.id)

client.grant_user_permission("bob", "experiment", "0", "EDIT")
granted = client.get_user_permission("bob", "experiment", "0")
assert (granted.allowed, granted.permission) == (True, "EDIT")
client.revoke_user_permission("bob", "experiment", "0")
client.delete_user("bob")
fails("RESOURCE_DOES_NOT_EXIST", client.get_user, "bob")
print("passed")
