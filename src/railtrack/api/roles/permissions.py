"""The permissions of a role: add, list, change and remove."""

import msgspec

from railtrack.api.roles.queries import check_may_read_roles
from railtrack.api.users.queries import changed, check_administrator
from railtrack.auth import ACCESS, roles
from railtrack.auth.roles import RolePermission
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class RolePermissionResponse(msgspec.Struct):
    role_permission: RolePermission


class AddRolePermission(Request):
    role_id: Int64
    resource_type: RequiredStr
    resource_pattern: RequiredStr
    permission: RequiredStr


@endpoint("POST", "roles/permissions/add", api="3.0", access=ACCESS, only_with_login=True)
async def add_role_permission(ctx: Context, req: AddRolePermission) -> RolePermissionResponse:
    """Give a role a permission on a resource, or with the pattern `*` on all of a type."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        permission = await roles.add_permission(
            tx, req.role_id, req.resource_type, req.resource_pattern, req.permission
        )
        await _audit(ctx, tx, permission)
    changed(ctx)
    return RolePermissionResponse(permission)


class ListRolePermissions(Request):
    role_id: Int64


class ListRolePermissionsResponse(msgspec.Struct):
    role_permissions: list[RolePermission]


@endpoint("GET", "roles/permissions/list", api="3.0", access=ACCESS, only_with_login=True)
async def list_role_permissions(ctx: Context, req: ListRolePermissions) -> ListRolePermissionsResponse:
    """Return the permissions of a role."""
    await check_may_read_roles(ctx)
    async with ctx.db.read() as tx:
        role = await roles.get_role(tx, req.role_id)
    return ListRolePermissionsResponse(role.permissions)


class UpdateRolePermission(Request):
    role_permission_id: Int64
    permission: RequiredStr


@endpoint("PATCH", "roles/permissions/update", api="3.0", access=ACCESS, only_with_login=True)
async def update_role_permission(ctx: Context, req: UpdateRolePermission) -> RolePermissionResponse:
    """Change the level of a role's permission."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        permission = await roles.update_permission(tx, req.role_permission_id, req.permission)
        await _audit(ctx, tx, permission)
    changed(ctx)
    return RolePermissionResponse(permission)


class RemoveRolePermission(Request):
    QUERY_WITHOUT_BODY = True

    role_permission_id: Int64


@endpoint("DELETE", "roles/permissions/remove", api="3.0", access=ACCESS, only_with_login=True)
async def remove_role_permission(ctx: Context, req: RemoveRolePermission) -> EmptyResponse:
    """Take a permission away from a role."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        await _audit(ctx, tx, await roles.remove_permission(tx, req.role_permission_id))
    changed(ctx)
    return EMPTY_RESPONSE


async def _audit(ctx: Context, tx: Tx, permission: RolePermission) -> None:
    resource = f"{permission.resource_type} {permission.resource_pattern}"
    await ctx.audit(tx, "role", str(permission.role_id), f"{permission.permission} on {resource}")
