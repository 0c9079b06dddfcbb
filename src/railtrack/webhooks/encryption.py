"""Encryption of webhook secrets in the database: Fernet tokens, as MLflow stores them, with a key shared by both.

`cryptography` (4 MB of memory) is imported with the first secret that is encrypted or decrypted.
"""

from railtrack.errors import invalid

ENCRYPTED_LIMIT = 1000
"""Characters of MLflow's column."""
KEY_MISSING = (
    "Webhook secrets are stored encrypted, but this server has no key. Set MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY to "
    "32 random bytes in URL-safe base64, the same for every server of this database, or omit the secret."
)


class DecryptionError(Exception):
    """The stored secret can't be decrypted with the key of this server."""


class SecretCipher:
    """Encrypts and decrypts secrets. Without a key ("") it rejects every secret."""

    def __init__(self, key: str) -> None:
        self._key = key

    def encrypt(self, secret: str) -> str | None:
        """Return the value for the column, None for an empty secret. Raise INVALID_PARAMETER_VALUE without a key."""
        if not secret:
            return None
        if not self._key:
            raise invalid(KEY_MISSING)
        from cryptography.fernet import Fernet

        encrypted = Fernet(self._key).encrypt(secret.encode()).decode()
        if len(encrypted) > ENCRYPTED_LIMIT:
            raise invalid(
                f"'secret' is too long: it has {len(encrypted)} characters when encrypted. "
                f"The maximum is {ENCRYPTED_LIMIT}."
            )
        return encrypted

    def decrypt(self, encrypted: str | None) -> str:
        """Return the secret, "" if the column is empty. Raise DecryptionError."""
        if not encrypted:
            return ""
        if not self._key:
            raise DecryptionError("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY is not set")
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key).decrypt(encrypted.encode()).decode()
        except InvalidToken:
            raise DecryptionError(
                "the secret was encrypted with another MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
            ) from None
