"""SQL of roles, their permissions and their assignments to users, and of the grants of single users.

A user's own grants are the permissions of a role `__user_<id>__` that only this user has, as in MLflow, whose UI
recognizes it by that name. Callers check who may change what. Every function that changes something counts the change
(state.bump).
"""

from collections.abc import Iterable

import msgspec

from railtrack.auth.identity import Identity
from railtrack.auth.levels import ANY, EXPERIMENT, PROMPT, REGISTERED_MODEL, check_grant, check_level
from railtrack.auth.state import bump
from railtrack.db import Row, Tx
from railtrack.db.sql import bind
from railtrack.errors import ApiError, bad_request, exists, invalid, not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE

NAME_LIMIT = 255
DESCRIPTION_LIMIT = 1024
RESERVED_PREFIX = "__user_"
LIST_LIMIT = 200_000
"""Rows of one list. The API has no pages for these."""


class RolePermission(msgspec.Struct):
    permission_id: int = msgspec.field(name="id")
    role_id: int
    resource_type: str
    resource_pattern: str
    permission: str


class Role(msgspec.Struct):
    role_id: int = msgspec.field(name="id")
    name: str
    workspace: str
    description: str | None
    permissions: list[RolePermission]


class Assignment(msgspec.Struct):
    assignment_id: int = msgspec.field(name="id")
    user_id: int
    role_id: int


_SELECT_ROLES = "SELECT role_id, name, workspace, description FROM railtrack_roles "
_SELECT_PERMISSIONS = """
    SELECT permission_id, role_id, resource_type, resource_pattern, permission FROM railtrack_role_permissions
"""


async def create_role(tx: Tx, name: str, description: str | None) -> Role:
    check_role_name(name)
    _check_description(description)
    await bump(tx)
    if await _find_role_id(tx, name):
        raise exists(f"Role (name={name}, workspace={DEFAULT_WORKSPACE}) already exists.")
    role_id = await tx.fetch_value(
        "INSERT INTO railtrack_roles (name, workspace, description) VALUES ($1, $2, $3) RETURNING role_id",
        name,
        DEFAULT_WORKSPACE,
        description,
    )
    return Role(role_id, name, DEFAULT_WORKSPACE, description, [])


def check_role_name(name: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a name that a role cannot have."""
    if not name.strip():
        raise invalid("Role name cannot be empty.")
    if len(name) > NAME_LIMIT or not name.isprintable():
        raise invalid(f"Invalid role name: use up to {NAME_LIMIT} printable characters.")
    if name.startswith(RESERVED_PREFIX):
        raise invalid(
            f"Role name {name!r} uses the reserved '{RESERVED_PREFIX}' prefix, which is held for the per-user "
            "permission representation. Choose a different name."
        )


def _check_description(description: str | None) -> None:
    if description is not None and len(description) > DESCRIPTION_LIMIT:
        raise invalid(f"Invalid role description: use up to {DESCRIPTION_LIMIT} characters.")


async def update_role(tx: Tx, role_id: int, name: str | None, description: str | None) -> Role:
    """Change what is not None."""
    if name is not None:
        check_role_name(name)
    _check_description(description)
    await bump(tx)
    role = await get_role(tx, role_id)
    if role.name.startswith(RESERVED_PREFIX):
        raise bad_request(f"{role.name} is the role of a single user, which cannot be changed.")
    if name is not None:
        if await _find_role_id(tx, name) not in (None, role_id):
            raise exists(f"Role with name={name} already exists in workspace={DEFAULT_WORKSPACE}")
        role.name = name
    if description is not None:
        role.description = description
    await tx.execute(
        "UPDATE railtrack_roles SET name = $2, description = $3 WHERE role_id = $1",
        role_id,
        role.name,
        role.description,
    )
    return role


async def delete_role(tx: Tx, role_id: int) -> Role:
    """Delete a role with its permissions and assignments. Return it."""
    await bump(tx)
    role = await get_role(tx, role_id)
    await tx.execute("DELETE FROM railtrack_roles WHERE role_id = $1", role_id)
    return role


def no_such_role(role_id: int) -> ApiError:
    return not_found(f"Role with id={role_id} not found")


async def get_role(tx: Tx, role_id: int) -> Role:
    """Return a role with its permissions. Raise RESOURCE_DOES_NOT_EXIST if there is none of this id."""
    rows = await tx.fetch(_SELECT_ROLES + "WHERE role_id = $1", role_id)
    if not rows:
        raise no_such_role(role_id)
    [role] = await _with_permissions(tx, rows)
    return role


async def find_role(tx: Tx, name: str) -> Role | None:
    role_id = await _find_role_id(tx, name)
    return None if role_id is None else await get_role(tx, role_id)


async def _find_role_id(tx: Tx, name: str) -> int | None:
    role_id: int | None = await tx.fetch_value(
        "SELECT role_id FROM railtrack_roles WHERE workspace = $1 AND name = $2", DEFAULT_WORKSPACE, name
    )
    return role_id


async def list_roles(tx: Tx) -> list[Role]:
    """Return all roles by id, those of single users included."""
    rows = await tx.fetch(_SELECT_ROLES + "ORDER BY role_id LIMIT $1", LIST_LIMIT)
    return await _with_permissions(tx, rows)


async def roles_of_users(tx: Tx, user_ids: Iterable[int]) -> dict[int, list[Role]]:
    """Return the roles of each user by id. Users who have the same role share it."""
    roles: dict[int, list[Role]] = {user_id: [] for user_id in user_ids}
    rows = await tx.fetch(
        """
        SELECT a.user_id, a.role_id FROM railtrack_role_assignments a WHERE a.user_id = ANY($1)
        ORDER BY a.assignment_id
        """,
        list(roles),
    )
    found = await tx.fetch(
        _SELECT_ROLES + "WHERE role_id = ANY($1) ORDER BY role_id", list({role_id for _, role_id in rows})
    )
    by_id = {role.role_id: role for role in await _with_permissions(tx, found)}
    for user_id, role_id in rows:
        roles[user_id].append(by_id[role_id])
    return roles


async def _with_permissions(tx: Tx, rows: list[Row]) -> list[Role]:
    roles = {role_id: Role(role_id, name, workspace, text, []) for role_id, name, workspace, text in rows}
    permissions = await tx.fetch(
        _SELECT_PERMISSIONS + "WHERE role_id = ANY($1) ORDER BY permission_id LIMIT $2", list(roles), LIST_LIMIT + 1
    )
    if len(permissions) > LIST_LIMIT:
        raise bad_request(f"More than {LIST_LIMIT} permissions. Ask for those of a single role or user.")
    for row in permissions:
        permission = RolePermission(*row)
        roles[permission.role_id].permissions.append(permission)
    return list(roles.values())


async def has_role(tx: Tx, user_id: int) -> bool:
    """Return whether any role is assigned to the user."""
    found = await tx.fetch_value("SELECT 1 FROM railtrack_role_assignments WHERE user_id = $1 LIMIT 1", user_id)
    return found is not None


# Permissions of a role


async def add_permission(tx: Tx, role_id: int, resource_type: str, pattern: str, permission: str) -> RolePermission:
    check_grant(resource_type, pattern, permission)
    await bump(tx)
    await _check_role_exists(tx, role_id)
    if await _find_permission(tx, role_id, resource_type, pattern):
        raise exists(
            f"Role permission (role_id={role_id}, resource_type={resource_type}, resource_pattern={pattern}) already "
            "exists."
        )
    return await _insert_permission(tx, role_id, resource_type, pattern, permission)


async def get_permission(tx: Tx, permission_id: int) -> RolePermission:
    """Raise RESOURCE_DOES_NOT_EXIST if there is no permission of this id."""
    row = await tx.fetch_row(_SELECT_PERMISSIONS + "WHERE permission_id = $1", permission_id)
    if row is None:
        raise not_found(f"Role permission with id={permission_id} not found")
    return RolePermission(*row)


async def update_permission(tx: Tx, permission_id: int, permission: str) -> RolePermission:
    await bump(tx)
    found = await get_permission(tx, permission_id)
    check_level(found.resource_type, permission)
    await _set_permission(tx, permission_id, permission)
    found.permission = permission
    return found


async def remove_permission(tx: Tx, permission_id: int) -> RolePermission:
    """Take a permission away from its role. Return it."""
    await bump(tx)
    permission = await get_permission(tx, permission_id)
    await tx.execute("DELETE FROM railtrack_role_permissions WHERE permission_id = $1", permission_id)
    return permission


async def _check_role_exists(tx: Tx, role_id: int) -> None:
    if not await tx.fetch_value("SELECT 1 FROM railtrack_roles WHERE role_id = $1", role_id):
        raise no_such_role(role_id)


async def _find_permission(tx: Tx, role_id: int, resource_type: str, pattern: str) -> RolePermission | None:
    row = await tx.fetch_row(
        _SELECT_PERMISSIONS + "WHERE role_id = $1 AND resource_type = $2 AND resource_pattern = $3",
        role_id,
        resource_type,
        pattern,
    )
    return None if row is None else RolePermission(*row)


async def _insert_permission(tx: Tx, role_id: int, resource_type: str, pattern: str, permission: str) -> RolePermission:
    permission_id = await tx.fetch_value(
        """
        INSERT INTO railtrack_role_permissions (role_id, resource_type, resource_pattern, permission)
        VALUES ($1, $2, $3, $4) RETURNING permission_id
        """,
        role_id,
        resource_type,
        pattern,
        permission,
    )
    return RolePermission(permission_id, role_id, resource_type, pattern, permission)


async def _set_permission(tx: Tx, permission_id: int, permission: str) -> None:
    await tx.execute(
        "UPDATE railtrack_role_permissions SET permission = $2 WHERE permission_id = $1", permission_id, permission
    )


# Assignments


async def assign_role(tx: Tx, user_id: int, role_id: int) -> Assignment:
    await bump(tx)
    role = await get_role(tx, role_id)
    if role.name.startswith(RESERVED_PREFIX) and role.name != own_role_name(user_id):
        raise bad_request(f"{role.name} is the role of a single user, which cannot be assigned to another.")
    if await tx.fetch_value(
        "SELECT 1 FROM railtrack_role_assignments WHERE user_id = $1 AND role_id = $2", user_id, role_id
    ):
        raise exists(f"User role assignment (user_id={user_id}, role_id={role_id}) already exists")
    return await _insert_assignment(tx, user_id, role_id)


async def _insert_assignment(tx: Tx, user_id: int, role_id: int) -> Assignment:
    assignment_id = await tx.fetch_value(
        "INSERT INTO railtrack_role_assignments (user_id, role_id) VALUES ($1, $2) RETURNING assignment_id",
        user_id,
        role_id,
    )
    return Assignment(assignment_id, user_id, role_id)


async def unassign_role(tx: Tx, user_id: int, role_id: int) -> None:
    await bump(tx)
    if not await tx.execute(
        "DELETE FROM railtrack_role_assignments WHERE user_id = $1 AND role_id = $2", user_id, role_id
    ):
        raise not_found(f"User role assignment (user_id={user_id}, role_id={role_id}) not found")


async def list_assignments(tx: Tx, role_id: int) -> list[Assignment]:
    """Return the assignments of a role. Raise RESOURCE_DOES_NOT_EXIST if there is none of this id."""
    await _check_role_exists(tx, role_id)
    rows = await tx.fetch(
        """
        SELECT assignment_id, user_id, role_id FROM railtrack_role_assignments WHERE role_id = $1
        ORDER BY assignment_id LIMIT $2
        """,
        role_id,
        LIST_LIMIT,
    )
    return [Assignment(*row) for row in rows]


# Grants of single users


def own_role_name(user_id: int) -> str:
    return f"{RESERVED_PREFIX}{user_id}__"


async def find_grant(tx: Tx, user_id: int, resource_type: str, resource_id: str) -> RolePermission | None:
    """Return a user's own grant, not that of a role."""
    role_id = await _find_role_id(tx, own_role_name(user_id))
    return None if role_id is None else await _find_permission(tx, role_id, resource_type, resource_id)


async def add_grant(tx: Tx, user_id: int, resource_type: str, resource_id: str, permission: str) -> bool:
    """Grant a permission to a user. Return False, and change nothing, if it has a grant on that resource."""
    check_grant(resource_type, resource_id, permission)
    await bump(tx)
    role_id = await _own_role(tx, user_id)
    if await _find_permission(tx, role_id, resource_type, resource_id):
        return False
    await _insert_permission(tx, role_id, resource_type, resource_id, permission)
    return True


async def set_grant(tx: Tx, user_id: int, resource_type: str, resource_id: str, permission: str) -> None:
    """Grant a permission to a user, in exchange for the one that it has on that resource."""
    check_grant(resource_type, resource_id, permission)
    await bump(tx)
    role_id = await _own_role(tx, user_id)
    if found := await _find_permission(tx, role_id, resource_type, resource_id):
        await _set_permission(tx, found.permission_id, permission)
    else:
        await _insert_permission(tx, role_id, resource_type, resource_id, permission)


async def remove_grant(tx: Tx, user_id: int, resource_type: str, resource_id: str) -> bool:
    """Take a user's own grant away. Return whether it had one."""
    await bump(tx)
    found = await find_grant(tx, user_id, resource_type, resource_id)
    if found is None:
        return False
    await tx.execute("DELETE FROM railtrack_role_permissions WHERE permission_id = $1", found.permission_id)
    return True


async def _own_role(tx: Tx, user_id: int) -> int:
    """Return the id of the role for a user's own grants. Create it if it is missing."""
    name = own_role_name(user_id)
    role_id = await _find_role_id(tx, name)
    if role_id is None:
        role_id = await tx.fetch_value(
            "INSERT INTO railtrack_roles (name, workspace) VALUES ($1, $2) RETURNING role_id", name, DEFAULT_WORKSPACE
        )
        await _insert_assignment(tx, user_id, role_id)
    return role_id


async def delete_own_role(tx: Tx, user_id: int) -> None:
    """Delete a user's own grants, when the user is deleted."""
    await bump(tx)
    await tx.execute(
        "DELETE FROM railtrack_roles WHERE workspace = $1 AND name = $2", DEFAULT_WORKSPACE, own_role_name(user_id)
    )


# Changes of resources


async def grant_creator(tx: Tx, identity: Identity | None, resource_type: str, resource_id: str) -> None:
    """Let the user who creates a resource manage it. On an open server (`identity` is None) nobody needs a grant."""
    if identity is not None:
        _check_names_one(resource_id)
        if resource_type == EXPERIMENT:
            # SQLite uses the id of the last experiment again after `mlflow gc` deleted it.
            await _delete_own_grants(tx, [EXPERIMENT], resource_id)
        await set_grant(tx, identity.user_id, resource_type, resource_id, "MANAGE")


async def rename_grants(tx: Tx, name: str, new_name: str) -> None:
    """Move users' own grants to the new name of a registered model or prompt. Roles keep theirs, as in MLflow.

    Of a user who has grants on both names, the moved one remains, unless the other one is DENY.
    """
    if name == new_name:
        return
    _check_names_one(new_name)
    await bump(tx)
    if name == ANY:
        return
    of_same_resource = """
        other.role_id = p.role_id AND other.resource_type = p.resource_type AND p.resource_type = ANY(:types)
        AND p.role_id IN (SELECT role_id FROM railtrack_roles WHERE name LIKE '~_~_user~_%' ESCAPE '~')
    """
    names = {"name": name, "new_name": new_name, "types": [REGISTERED_MODEL, PROMPT]}
    for statement in (
        f"""
        DELETE FROM railtrack_role_permissions AS p WHERE p.resource_pattern = :name AND EXISTS (
            SELECT 1 FROM railtrack_role_permissions other
            WHERE other.resource_pattern = :new_name AND other.permission = 'DENY' AND {of_same_resource}
        )
        """,  # noqa: S608 (constants)
        f"""
        DELETE FROM railtrack_role_permissions AS p WHERE p.resource_pattern = :new_name AND EXISTS (
            SELECT 1 FROM railtrack_role_permissions other
            WHERE other.resource_pattern = :name AND {of_same_resource}
        )
        """,  # noqa: S608 (constants)
        """
        UPDATE railtrack_role_permissions SET resource_pattern = :new_name
        WHERE resource_pattern = :name AND resource_type = ANY(:types)
            AND role_id IN (SELECT role_id FROM railtrack_roles WHERE name LIKE '~_~_user~_%' ESCAPE '~')
        """,
    ):
        await tx.execute(*bind(statement, **names))


async def delete_grants(tx: Tx, name: str) -> None:
    """Delete users' own grants on a registered model or prompt. A later one of this name must not be open to them."""
    if name == ANY:  # from an open server; these grants are on all of the type
        return
    await _delete_own_grants(tx, [REGISTERED_MODEL, PROMPT], name)


async def _delete_own_grants(tx: Tx, types: list[str], resource_id: str) -> None:
    """Delete the grants of single users on the resource."""
    await bump(tx)
    await tx.execute(
        *bind(
            """
            DELETE FROM railtrack_role_permissions
            WHERE resource_pattern = :resource_id AND resource_type = ANY(:types)
                AND role_id IN (SELECT role_id FROM railtrack_roles WHERE name LIKE '~_~_user~_%' ESCAPE '~')
            """,
            resource_id=resource_id,
            types=types,
        )
    )


def _check_names_one(name: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for `*`: a grant on a resource of this name would be one on all of its type."""
    if name == ANY:
        raise invalid(f"Invalid name '{ANY}': in grants it means all resources of a type. Choose another name.")
