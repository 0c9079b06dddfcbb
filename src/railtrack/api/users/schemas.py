"""Users and permissions in responses, with MLflow's names."""

import msgspec

from railtrack.auth.levels import EXPERIMENT, REGISTERED_MODEL
from railtrack.auth.roles import Role, RolePermission, own_role_name
from railtrack.auth.users import User
from railtrack.mlflow.ids import DEFAULT_WORKSPACE


class UserInfo(msgspec.Struct):
    id: int
    username: str
    is_admin: bool


class ListedUser(msgspec.Struct):
    id: int
    username: str
    is_admin: bool
    roles: list[Role]


class ExperimentPermission(msgspec.Struct):
    experiment_id: str
    user_id: int
    permission: str


class RegisteredModelPermission(msgspec.Struct):
    workspace: str
    name: str
    user_id: int
    permission: str


class UserWithPermissions(msgspec.Struct):
    """MLflow's clients before 3.0 require the two lists. Later ones ignore them."""

    id: int
    username: str
    is_admin: bool
    experiment_permissions: list[ExperimentPermission] = []
    registered_model_permissions: list[RegisteredModelPermission] = []


class UserResponse(msgspec.Struct):
    user: UserWithPermissions


class ListedPermission(msgspec.Struct):
    role_id: int
    role_name: str
    workspace: str
    resource_type: str
    resource_pattern: str
    permission: str


class PermissionsResponse(msgspec.Struct):
    is_admin: bool
    permissions: list[ListedPermission]


class RolesResponse(msgspec.Struct):
    roles: list[Role]


def user_response(user: User, roles: list[Role]) -> UserResponse:
    """Return a user with the grants that no ordinary role gives it."""
    own = own_role_name(user.user_id)
    grants = [permission for role in roles if role.name == own for permission in role.permissions]
    return UserResponse(
        UserWithPermissions(
            user.user_id,
            user.username,
            user.is_admin,
            [experiment_permission(user, grant) for grant in grants if grant.resource_type == EXPERIMENT],
            [registered_model_permission(user, grant) for grant in grants if grant.resource_type == REGISTERED_MODEL],
        )
    )


def permissions_response(user: User, roles: list[Role]) -> PermissionsResponse:
    return PermissionsResponse(
        user.is_admin,
        [
            ListedPermission(
                role.role_id, role.name, role.workspace, one.resource_type, one.resource_pattern, one.permission
            )
            for role in roles
            for one in role.permissions
        ],
    )


def experiment_permission(user: User, grant: RolePermission) -> ExperimentPermission:
    return ExperimentPermission(grant.resource_pattern, user.user_id, _older_level(grant.permission))


def registered_model_permission(user: User, grant: RolePermission) -> RegisteredModelPermission:
    permission = _older_level(grant.permission)
    return RegisteredModelPermission(DEFAULT_WORKSPACE, grant.resource_pattern, user.user_id, permission)


def _older_level(permission: str) -> str:
    """Return the name that older clients know for a level: they deny with NO_PERMISSIONS."""
    return "NO_PERMISSIONS" if permission == "DENY" else permission
