"""The roles and permissions of a user, and grants to single users."""

import msgspec

from railtrack.api.users.queries import (
    caller,
    changed,
    check_grantable,
    check_may_grant,
    check_single,
    is_administrator,
    visible_user,
)
from railtrack.api.users.schemas import PermissionsResponse, RolesResponse, permissions_response
from railtrack.auth import ACCESS
from railtrack.auth.levels import ANY, WORKSPACE, Level, check_resource_type
from railtrack.auth.roles import add_grant, remove_grant, roles_of_users
from railtrack.auth.users import get_user
from railtrack.context import Context
from railtrack.errors import exists, not_found, permission_denied
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class ListUserRoles(Request):
    username: RequiredStr


@endpoint("GET", "users/roles/list", api="3.0", access=ACCESS, only_with_login=True)
async def list_user_roles(ctx: Context, req: ListUserRoles) -> RolesResponse:
    """Return the roles of a user, with that for its own grants."""
    user = await visible_user(ctx, req.username)
    async with ctx.db.read() as tx:
        roles = await roles_of_users(tx, [user.user_id])
    return RolesResponse(roles[user.user_id])


class ListUserPermissions(Request):
    username: RequiredStr


@endpoint("GET", "users/permissions/list", api="3.0", access=ACCESS, only_with_login=True)
async def list_user_permissions(ctx: Context, req: ListUserPermissions) -> PermissionsResponse:
    """Return the permissions of a user, of all its roles and its own."""
    user = await visible_user(ctx, req.username)
    async with ctx.db.read() as tx:
        roles = await roles_of_users(tx, [user.user_id])
    return permissions_response(user, roles[user.user_id])


class GrantUserPermission(Request):
    username: RequiredStr
    resource_type: RequiredStr
    resource_id: RequiredStr
    permission: RequiredStr


@endpoint("POST", "users/permissions/grant", api="3.0", access=ACCESS, only_with_login=True)
async def grant_user_permission(ctx: Context, req: GrantUserPermission) -> EmptyResponse:
    """Grant a permission on a resource to a user who has none on it. This needs MANAGE on the resource."""
    await check_may_grant(ctx, req.resource_type, req.resource_id)
    async with ctx.db.write() as tx:
        user = await get_user(tx, req.username)
        if not await add_grant(tx, user.user_id, req.resource_type, req.resource_id, req.permission):
            raise exists(f"{_permission_for(req)} already exists.")
        await ctx.audit(tx, req.resource_type, req.resource_id, f"{req.permission} for the user {req.username}")
    changed(ctx)
    return EMPTY_RESPONSE


class RevokeUserPermission(Request):
    username: RequiredStr
    resource_type: RequiredStr
    resource_id: RequiredStr


@endpoint("POST", "users/permissions/revoke", api="3.0", access=ACCESS, only_with_login=True)
async def revoke_user_permission(ctx: Context, req: RevokeUserPermission) -> EmptyResponse:
    """Take a user's own permission on a resource away. This needs MANAGE on the resource."""
    await check_may_grant(ctx, req.resource_type, req.resource_id)
    async with ctx.db.write() as tx:
        user = await get_user(tx, req.username)
        if not await remove_grant(tx, user.user_id, req.resource_type, req.resource_id):
            raise not_found(f"{_permission_for(req)} not found.")
        await ctx.audit(tx, req.resource_type, req.resource_id, f"of the user {req.username}")
    changed(ctx)
    return EMPTY_RESPONSE


def _permission_for(req: GrantUserPermission | RevokeUserPermission) -> str:
    return (
        f"Permission for user={req.username} on resource_type={req.resource_type[:100]}, "
        f"resource_id={req.resource_id[:500]}"
    )


class GetUserPermission(Request):
    username: RequiredStr
    resource_type: RequiredStr
    resource_id: RequiredStr


class GetUserPermissionResponse(msgspec.Struct):
    allowed: bool
    permission: str


@endpoint("GET", "users/permissions/get", api="3.0", access=ACCESS, only_with_login=True)
async def get_user_permission(ctx: Context, req: GetUserPermission) -> GetUserPermissionResponse:
    """Return what a user may do with a resource by its roles and grants. `allowed`: it may use the resource.

    As in MLflow, the answer for an administrator of the server does not consider that it may do everything.
    """
    identity = caller(ctx)
    if req.resource_type == WORKSPACE:
        check_grantable(req.resource_type)
    if identity.username != req.username and not await is_administrator(ctx, identity):
        raise permission_denied()
    assert ctx.grants is not None, "a server with login has grants"
    user = await get_user(ctx.db, req.username)
    check_resource_type(req.resource_type)
    if req.resource_id != ANY:
        check_single(req.resource_type, req.resource_id)
    level = (await ctx.grants.load(user.user_id)).permission(req.resource_type, req.resource_id)
    return GetUserPermissionResponse(level >= Level.USE, level.name)
