"""Create, get, list, change and delete roles."""

import msgspec

from railtrack.api.roles.queries import check_may_read_roles
from railtrack.api.users.queries import caller, changed, check_administrator
from railtrack.api.users.schemas import RolesResponse
from railtrack.auth import ACCESS, roles
from railtrack.auth.roles import Role, has_role
from railtrack.context import Context
from railtrack.errors import invalid, permission_denied
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class RoleResponse(msgspec.Struct):
    role: Role


class CreateRole(Request):
    name: RequiredStr
    workspace: RequiredStr
    description: str | None = None


@endpoint("POST", "roles/create", api="3.0", access=ACCESS, only_with_login=True)
async def create_role(ctx: Context, req: CreateRole) -> RoleResponse:
    """Create a role without permissions."""
    await check_administrator(ctx)
    if req.workspace != DEFAULT_WORKSPACE:
        raise invalid(
            f"Workspace {req.workspace[:100]!r} does not exist: this server has only the workspace "
            f"{DEFAULT_WORKSPACE!r}."
        )
    async with ctx.db.write() as tx:
        role = await roles.create_role(tx, req.name, req.description)
        await ctx.audit(tx, "role", str(role.role_id), role.name)
    changed(ctx)
    return RoleResponse(role)


class GetRole(Request):
    role_id: Int64


@endpoint("GET", "roles/get", api="3.0", access=ACCESS, only_with_login=True)
async def get_role(ctx: Context, req: GetRole) -> RoleResponse:
    """Return a role with its permissions."""
    await check_may_read_roles(ctx)
    async with ctx.db.read() as tx:
        return RoleResponse(await roles.get_role(tx, req.role_id))


class ListRoles(Request):
    workspace: list[str] = []


@endpoint("GET", "roles/list", api="3.0", access=ACCESS, only_with_login=True)
async def list_roles(ctx: Context, req: ListRoles) -> RolesResponse:
    """Return the roles of some workspaces. Only administrators may name none, and get all roles."""
    identity = caller(ctx)
    if not identity.is_admin:
        is_own = set(req.workspace) == {DEFAULT_WORKSPACE}
        if not is_own or not await has_role(ctx.db, identity.user_id):
            raise permission_denied()
    if not all(name.strip() for name in req.workspace):
        raise invalid("Parameter 'workspace' must be a non-empty string when provided.")
    if req.workspace and DEFAULT_WORKSPACE not in req.workspace:
        return RolesResponse([])
    async with ctx.db.read() as tx:
        return RolesResponse(await roles.list_roles(tx))


class UpdateRole(Request):
    role_id: Int64
    name: str | None = None
    description: str | None = None


@endpoint("PATCH", "roles/update", api="3.0", access=ACCESS, only_with_login=True)
async def update_role(ctx: Context, req: UpdateRole) -> RoleResponse:
    """Change the name or the description of a role."""
    await check_administrator(ctx)
    if req.name is None and req.description is None:
        raise invalid("At least one of 'name' or 'description' must be provided to update a role.")
    async with ctx.db.write() as tx:
        role = await roles.update_role(tx, req.role_id, req.name, req.description)
        await ctx.audit(tx, "role", str(role.role_id), role.name)
    changed(ctx)
    return RoleResponse(role)


class DeleteRole(Request):
    QUERY_WITHOUT_BODY = True

    role_id: Int64


@endpoint("DELETE", "roles/delete", api="3.0", access=ACCESS, only_with_login=True)
async def delete_role(ctx: Context, req: DeleteRole) -> EmptyResponse:
    """Delete a role. Its users lose its permissions."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        role = await roles.delete_role(tx, req.role_id)
        await ctx.audit(tx, "role", str(req.role_id), role.name)
    changed(ctx)
    return EMPTY_RESPONSE
