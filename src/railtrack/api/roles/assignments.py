"""Which users have which roles."""

import msgspec

from railtrack.api.users.queries import changed, check_administrator
from railtrack.auth import ACCESS, roles
from railtrack.auth.roles import Assignment
from railtrack.auth.users import get_user
from railtrack.context import Context
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class AssignRole(Request):
    username: RequiredStr
    role_id: Int64


class AssignmentResponse(msgspec.Struct):
    assignment: Assignment


@endpoint("POST", "roles/assign", api="3.0", access=ACCESS, only_with_login=True)
async def assign_role(ctx: Context, req: AssignRole) -> AssignmentResponse:
    """Assign a role to a user."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        user = await get_user(tx, req.username)
        assignment = await roles.assign_role(tx, user.user_id, req.role_id)
        await ctx.audit(tx, "role", str(req.role_id), f"to the user {req.username}")
    changed(ctx)
    return AssignmentResponse(assignment)


class UnassignRole(Request):
    QUERY_WITHOUT_BODY = True

    username: RequiredStr
    role_id: Int64


@endpoint("DELETE", "roles/unassign", api="3.0", access=ACCESS, only_with_login=True)
async def unassign_role(ctx: Context, req: UnassignRole) -> EmptyResponse:
    """Take a role away from a user."""
    await check_administrator(ctx)
    async with ctx.db.write() as tx:
        user = await get_user(tx, req.username)
        await roles.unassign_role(tx, user.user_id, req.role_id)
        await ctx.audit(tx, "role", str(req.role_id), f"of the user {req.username}")
    changed(ctx)
    return EMPTY_RESPONSE


class ListRoleUsers(Request):
    role_id: Int64


class ListRoleUsersResponse(msgspec.Struct):
    assignments: list[Assignment]


@endpoint("GET", "roles/users/list", api="3.0", access=ACCESS, only_with_login=True)
async def list_role_users(ctx: Context, req: ListRoleUsers) -> ListRoleUsersResponse:
    """Return the users who have a role, by id."""
    await check_administrator(ctx, changes=False)
    async with ctx.db.read() as tx:
        return ListRoleUsersResponse(await roles.list_assignments(tx, req.role_id))
