"""Webhooks' secrets as MLflow keeps them: sealed as Fernet tokens, with the key that both servers are given.

`cryptography` (4 MB of memory) is imported with the first secret that is sealed or opened.
"""

from railtrack.errors import invalid

SEALED_LIMIT = 1000
"""Characters of MLflow's column."""
NO_KEY = (
    "A webhook's secret is kept encrypted, for which this server has no key: set "
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY to 32 random bytes in URL-safe base64, the same for every server "
    "of this database, or leave the secret out."
)


class CannotOpen(Exception):
    """The secret can't be read with the key that this server has."""


class Vault:
    """Seals and opens secrets with `key`, which may be "": then there are none to seal, and none opens."""

    def __init__(self, key: str) -> None:
        self._key = key

    def seal(self, secret: str) -> str | None:
        """What the column gets; None for no secret. Raises INVALID_PARAMETER_VALUE."""
        if not secret:
            return None
        if not self._key:
            raise invalid(NO_KEY)
        from cryptography.fernet import Fernet

        sealed = Fernet(self._key).encrypt(secret.encode()).decode()
        if len(sealed) > SEALED_LIMIT:
            raise invalid(f"'secret' is too long: encrypted it has {len(sealed)} characters, more than {SEALED_LIMIT}")
        return sealed

    def open(self, sealed: str | None) -> str:
        """The secret in a column; "" for none. Raises CannotOpen."""
        if not sealed:
            return ""
        if not self._key:
            raise CannotOpen("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY is not set")
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise CannotOpen("the secret was sealed with another MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY") from None
