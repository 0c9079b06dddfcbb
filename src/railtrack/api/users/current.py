"""The user who sends the request. The web interface shows its account menu by these."""

from typing import Annotated

import msgspec

from railtrack.api.users.queries import caller
from railtrack.api.users.schemas import PermissionsResponse, UserInfo, permissions_response
from railtrack.auth import ACCOUNT
from railtrack.auth.roles import roles_of_users
from railtrack.auth.users import get_user
from railtrack.context import Context
from railtrack.wire.request import Request
from railtrack.wire.response import EMPTY_RESPONSE, Response
from railtrack.wire.routing import endpoint, no_such_endpoint


class CurrentUser(Request):
    pass


class CurrentUserResponse(msgspec.Struct):
    user: UserInfo
    is_basic_auth: bool


@endpoint("GET", "users/current", access=ACCOUNT)
async def current_user(ctx: Context, req: CurrentUser) -> Annotated[Response, CurrentUserResponse]:
    """Return who sends the request.

    On an open server the interface gets no user, so that it shows no account menu: MLflow without login returns 404,
    an error in the console.
    """
    identity = ctx.identity
    if identity is None:
        if "/ajax-api/" not in ctx.http.path:
            raise no_such_endpoint(ctx.http.path)
        return EMPTY_RESPONSE
    # The interface offers to change the password, and to log out, only for basic auth. A proxy does that itself.
    user = UserInfo(identity.user_id, identity.username, identity.is_admin)
    return CurrentUserResponse(user, is_basic_auth=identity.via != "proxy")


class CurrentUserPermissions(Request):
    pass


@endpoint("GET", "users/current/permissions", api="3.0", access=ACCOUNT, only_with_login=True)
async def current_user_permissions(ctx: Context, req: CurrentUserPermissions) -> PermissionsResponse:
    """Return the caller's permissions, of all its roles and its own."""
    identity = caller(ctx)
    async with ctx.db.read() as tx:
        user = await get_user(tx, identity.username)
        roles = await roles_of_users(tx, [user.user_id])
    return permissions_response(user, roles[user.user_id])
