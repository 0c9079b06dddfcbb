"""Who may read roles, for this resource's handlers."""

from railtrack.api.users.queries import caller
from railtrack.auth.roles import has_role
from railtrack.context import Context
from railtrack.errors import permission_denied


async def check_may_read_roles(ctx: Context) -> None:
    """Raise PERMISSION_DENIED unless the caller is an administrator, or has a role itself, as in MLflow."""
    identity = caller(ctx)
    if not identity.is_admin and not await has_role(ctx.db, identity.user_id):
        raise permission_denied()
