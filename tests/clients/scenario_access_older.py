"""All calls of AuthServiceClient of MLflow before 3, by a user with the variables of a login."""

import sys

from auth_client import auth_service_client
from mlflow import MlflowClient, MlflowException

client = auth_service_client(sys.argv[1])
PASSWORD = "a password of bob's"
NAME = sys.argv[2]
"""Of the user: the clients of several versions use one server."""


def fails(code: str, call, *arguments, **named) -> None:  # type: ignore[no-untyped-def]
    error_code = None
    try:
        call(*arguments, **named)
    except MlflowException as error:
        error_code = error.error_code
    assert error_code == code, (call.__name__, error_code)


user = client.create_user(NAME, PASSWORD)
assert (user.username, user.is_admin, user.experiment_permissions) == (NAME, False, [])
fails("RESOURCE_ALREADY_EXISTS", client.create_user, NAME, PASSWORD)
client.update_user_password(NAME, "another password of bob's")
client.update_user_admin(NAME, True)
assert client.get_user(NAME).is_admin
client.update_user_admin(NAME, False)

granted = client.create_experiment_permission("0", NAME, "READ")
assert (granted.experiment_id, granted.user_id, granted.permission) == ("0", user.id, "READ")
fails("RESOURCE_ALREADY_EXISTS", client.create_experiment_permission, "0", NAME, "READ")
client.update_experiment_permission("0", NAME, "NO_PERMISSIONS")
assert client.get_experiment_permission("0", NAME).permission == "NO_PERMISSIONS"
[listed] = client.get_user(NAME).experiment_permissions
assert (listed.experiment_id, listed.permission) == ("0", "NO_PERMISSIONS")
client.delete_experiment_permission("0", NAME)
fails("RESOURCE_DOES_NOT_EXIST", client.get_experiment_permission, "0", NAME)

model = f"model of {NAME}"
MlflowClient(sys.argv[1]).create_registered_model(model)
granted = client.create_registered_model_permission(model, NAME, "EDIT")
assert (granted.name, granted.user_id, granted.permission) == (model, user.id, "EDIT")
client.update_registered_model_permission(model, NAME, "MANAGE")
assert client.get_registered_model_permission(model, NAME).permission == "MANAGE"
assert [one.name for one in client.get_user(NAME).registered_model_permissions] == [model]
client.delete_registered_model_permission(model, NAME)
fails("RESOURCE_DOES_NOT_EXIST", client.get_registered_model_permission, model, NAME)

client.delete_user(NAME)
fails("RESOURCE_DOES_NOT_EXIST", client.get_user, NAME)
print("passed")
