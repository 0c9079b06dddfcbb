"""Create, get, list, change and delete users. Their roles and grants are in permissions.py."""

import msgspec

from railtrack.api.users.queries import (
    caller,
    changed,
    check_administrator,
    check_server_administrator,
    is_administrator,
    new_user,
)
from railtrack.api.users.schemas import ListedUser, UserResponse, user_response
from railtrack.auth import ACCESS, ACCOUNT, users
from railtrack.auth.passwords import check_new_password
from railtrack.auth.roles import roles_of_users
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.auth.users import get_user
from railtrack.context import Context
from railtrack.errors import bad_request, invalid, permission_denied
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse
from railtrack.wire.routing import endpoint


class CreateUser(Request):
    username: RequiredStr
    password: RequiredStr


@endpoint("POST", "users/create", access=ACCESS, only_with_login=True)
async def create_user(ctx: Context, req: CreateUser) -> UserResponse:
    """Create a user, who has no permissions yet beyond the default."""
    await check_administrator(ctx)
    return user_response(await new_user(ctx, req.username, req.password), [])


class GetUser(Request):
    username: str


@endpoint("GET", "users/get", access=ACCESS, only_with_login=True)
async def get_user_by_name(ctx: Context, req: GetUser) -> UserResponse:
    """Return a user: its own account, or any one for an administrator."""
    identity = caller(ctx)
    if not identity.is_admin and identity.username != req.username:
        raise permission_denied()
    async with ctx.db.read() as tx:
        user = await get_user(tx, req.username)
        roles = await roles_of_users(tx, [user.user_id])
    return user_response(user, roles[user.user_id])


class ListUsers(Request):
    pass


class ListUsersResponse(msgspec.Struct):
    users: list[ListedUser]


@endpoint("GET", "users/list", access=ACCESS, only_with_login=True)
async def list_users(ctx: Context, req: ListUsers) -> ListUsersResponse:
    """Return all users. Who is no administrator sees only its own roles."""
    identity = caller(ctx)
    sees_all = await is_administrator(ctx, identity)
    async with ctx.db.read() as tx:
        everyone = sorted(await users.list_users(tx), key=lambda user: user.user_id)
        roles = await roles_of_users(
            tx, [user.user_id for user in everyone if sees_all or user.user_id == identity.user_id]
        )
    return ListUsersResponse(
        [ListedUser(user.user_id, user.username, user.is_admin, roles.get(user.user_id, [])) for user in everyone]
    )


class UpdatePassword(Request):
    username: RequiredStr
    password: RequiredStr
    current_password: str = ""


@endpoint("PATCH", "users/update-password", access=ACCOUNT, only_with_login=True)
async def update_password(ctx: Context, req: UpdatePassword) -> EmptyResponse:
    """Change a password: one's own with the current one, or as an administrator that of another user.

    All sessions of the user end.
    """
    identity = caller(ctx, changes=True)
    is_own = identity.username == req.username
    if not is_own and (not identity.is_admin or identity.must_change_password):
        raise permission_denied()
    assert ctx.authenticator is not None, "a server with login has an authenticator"
    user = await get_user(ctx.db, req.username)
    if is_own:
        if not req.current_password:
            raise invalid("Current password is required when changing your own password.")
        address = ctx.authenticator.address(ctx.http)
        try:
            await ctx.authenticator.passwords.check(req.username, req.current_password, address=address)
        except WrongPassword:
            raise invalid("Current password does not match.") from None
        if req.password == req.current_password:
            raise invalid("New password must differ from the current password.")
    check_new_password(req.username, req.password)
    password_hash = await ctx.authenticator.passwords.hash(req.password)
    async with ctx.db.write() as tx:
        await users.set_password(tx, user, password_hash)
        await ctx.audit(tx, "user", user.username)
    changed(ctx)
    return EMPTY_RESPONSE


class UpdateAdmin(Request):
    username: RequiredStr
    is_admin: bool


@endpoint("PATCH", "users/update-admin", access=ACCESS, only_with_login=True)
async def update_admin(ctx: Context, req: UpdateAdmin) -> EmptyResponse:
    """Make a user an administrator, or no longer one. The last one remains."""
    check_server_administrator(ctx)
    async with ctx.db.write() as tx:
        await users.set_admin(tx, await get_user(tx, req.username), is_admin=req.is_admin)
        await ctx.audit(tx, "user", req.username, f"is_admin: {str(req.is_admin).lower()}")
    changed(ctx)
    return EMPTY_RESPONSE


class DeleteUser(Request):
    QUERY_WITHOUT_BODY = True

    username: RequiredStr


@endpoint("DELETE", "users/delete", access=ACCESS, only_with_login=True)
async def delete_user(ctx: Context, req: DeleteUser) -> EmptyResponse:
    """Delete a user with its tokens, sessions and grants."""
    identity = check_server_administrator(ctx)
    if req.username == identity.username:
        raise bad_request("Users cannot delete their own account. Ask another admin to delete this user instead.")
    async with ctx.db.write() as tx:
        await users.delete_user(tx, await get_user(tx, req.username))
        await ctx.audit(tx, "user", req.username)
    changed(ctx)
    return EMPTY_RESPONSE
