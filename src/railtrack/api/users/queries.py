"""Who may administer users, roles and grants, and the creation of a user, for several resources' handlers."""

from railtrack.auth import roles, users
from railtrack.auth.grants import Grants
from railtrack.auth.identity import Identity
from railtrack.auth.levels import ANY, PROMPT, SCORER, TYPES_WITH_IDS, WORKSPACE, Level, check_resource_type
from railtrack.auth.passwords import check_new_password
from railtrack.auth.users import User, check_username, find_user, get_user
from railtrack.context import Context
from railtrack.errors import endpoint_not_found, invalid, permission_denied


def caller(ctx: Context, *, changes: bool = False) -> Identity:
    """Return who sends the request. Raise PERMISSION_DENIED for a token whose scope does not include this."""
    identity = ctx.identity
    if identity is None:  # the server is open, and has no users
        raise endpoint_not_found("This server has no login.")
    if identity.scope is not None and (changes or identity.scope.kind != "read"):
        raise permission_denied("This token is limited, so it cannot be used for users, roles and grants.")
    return identity


async def grants_of(ctx: Context, identity: Identity) -> Grants:
    """Return the caller's grants, up to date."""
    assert ctx.grants is not None, "a server with login has grants"
    return await ctx.grants.fresh(identity.user_id)


async def is_administrator(ctx: Context, identity: Identity) -> bool:
    """Return whether the user may administer roles: as an administrator of the server, or of the workspace."""
    return identity.is_admin or (await grants_of(ctx, identity)).is_workspace_admin


async def check_administrator(ctx: Context, *, changes: bool = True) -> Identity:
    """Return who sends the request. Raise PERMISSION_DENIED unless it may administer roles."""
    identity = caller(ctx, changes=changes)
    if not await is_administrator(ctx, identity):
        raise permission_denied()
    return identity


def check_server_administrator(ctx: Context) -> Identity:
    """Return who sends the request. Raise PERMISSION_DENIED unless it may administer the server."""
    identity = caller(ctx, changes=True)
    if not identity.is_admin:
        raise permission_denied()
    return identity


async def check_may_grant(ctx: Context, resource_type: str, resource_id: str) -> Identity:
    """Return who sends the request. Raise PERMISSION_DENIED unless it may manage who has access to the resource."""
    identity = caller(ctx, changes=True)
    check_grantable(resource_type)
    if identity.is_admin:
        return identity
    if resource_id != ANY:
        check_single(resource_type, resource_id)
    grants = await grants_of(ctx, identity)
    is_allowed = resource_id != ANY and grants.permission(resource_type, resource_id) is Level.MANAGE
    if not is_allowed and not grants.is_workspace_admin:
        raise permission_denied()
    return identity


def check_grantable(resource_type: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a type on which single users get no grants."""
    if resource_type == WORKSPACE:
        raise invalid(
            "resource_type 'workspace' is not supported by the per-user permission convenience APIs. Use "
            "set_workspace_permission / delete_workspace_permission for workspace-wide grants."
        )
    check_resource_type(resource_type)


def check_single(resource_type: str, resource_id: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a resource on which MLflow evaluates no single grant for users."""
    if resource_type == PROMPT or resource_type not in TYPES_WITH_IDS:
        raise invalid(f"resource_type '{resource_type}' is not supported by the per-user permission convenience APIs.")
    if resource_type == SCORER and "/" not in resource_id:
        raise invalid("Invalid scorer resource_id. Expected '<experiment_id>/<scorer_name>'.")


async def visible_user(ctx: Context, username: str) -> User:
    """Return a user whose roles and grants the caller may see: its own, or as an administrator.

    Others get the same error for a user who does not exist.
    """
    identity = caller(ctx)
    if identity.is_admin or identity.username == username:
        return await get_user(ctx.db, username)
    user = await find_user(ctx.db, username) if (await grants_of(ctx, identity)).is_workspace_admin else None
    if user is None or not await roles.has_role(ctx.db, user.user_id):
        raise permission_denied()
    return user


def changed(ctx: Context) -> None:
    """Let this worker use a committed change at once. The others notice it within two seconds."""
    assert ctx.authenticator is not None, "a server with login has an authenticator"
    ctx.authenticator.state.expire()


async def new_user(ctx: Context, username: str, password: str) -> User:
    """Create a user. Raise INVALID_PARAMETER_VALUE for an unfit name or password."""
    assert ctx.authenticator is not None, "a server with login has an authenticator"
    check_username(username)
    check_new_password(username, password)
    password_hash = await ctx.authenticator.passwords.hash(password)
    async with ctx.db.write() as tx:
        user = await users.create_user(tx, username, password_hash)
        await ctx.audit(tx, "user", username)
    changed(ctx)
    return user
