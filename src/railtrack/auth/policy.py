"""The policy of a server with login.

Permissions of single users and the scopes of tokens are not there yet: what needs more than a login is for
administrators, and a token with a scope is rejected.
"""

from typing import Any

from railtrack.auth import ACCESS, ACCOUNT, Access
from railtrack.auth.identity import Identity
from railtrack.errors import ApiError


class AdministratorPolicy:
    async def check(self, access: Access, context: Any, request: Any) -> None:
        """Raise PERMISSION_DENIED unless an administrator sends this, or every user may."""
        if access.is_public or access in (ACCOUNT, ACCESS):
            return
        identity: Identity | None = context.identity
        if identity is None or not identity.is_admin or identity.scope is not None:
            raise ApiError("PERMISSION_DENIED", "Permission denied")
