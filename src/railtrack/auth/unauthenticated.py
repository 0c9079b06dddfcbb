"""The errors of a server with login: no valid credential, or one that has to be replaced first."""

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


class PasswordChangeRequired(ApiError):
    """The 403 for a user with a one-time password."""

    def __init__(self, username: str, prefix: str) -> None:
        super().__init__(
            "PERMISSION_DENIED",
            f"The password of {username} has to be changed first: on the page {prefix}/account, "
            "or by PATCH /api/2.0/mlflow/users/update-password.",
        )
