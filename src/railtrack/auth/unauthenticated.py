"""The 401 of a server with login."""

from railtrack.errors import ApiError

ADVICE = (
    "This server requires a login. Set MLFLOW_TRACKING_TOKEN to a token, or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD to a user name and password."
)


class Unauthenticated(ApiError):
    """The 401 for a request without a valid credential."""

    def __init__(self, reason: str = "", *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__("UNAUTHENTICATED", f"{reason} {ADVICE}".strip(), headers=headers)


class WrongPassword(Unauthenticated):
    """Also for unknown and disabled users: the response doesn't reveal which users exist."""

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")
