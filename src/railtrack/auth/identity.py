"""Who sends a request: the user, and how it logged in."""

from typing import Literal

import msgspec


class TokenScope(msgspec.Struct, frozen=True):
    """What a token is limited to: `read` permits only reading, the others everything on one resource (its `target`)."""

    kind: Literal["read", "experiment", "registered_model"]
    target: str = ""


class Identity(msgspec.Struct, frozen=True):
    """An authenticated user. `scope` is None if the request may do all that the user may.

    `must_change_password`: it may do nothing but that.
    """

    user_id: int
    username: str
    is_admin: bool
    via: Literal["basic", "token", "session", "proxy"]
    scope: TokenScope | None = None
    must_change_password: bool = False
    credential: str = ""
    """Which one of the user's, for the audit log: "token 12", or "session 0a1b2c3d"."""
