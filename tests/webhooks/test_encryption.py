"""Encryption of webhook secrets: compatible with MLflow in both directions, and impossible without the key."""

from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from tests.servers.databases import WEBHOOK_KEY

from railtrack.config.settings import load
from railtrack.errors import ApiError, StartError
from railtrack.webhooks.encryption import DecryptionError, SecretCipher

BY_MLFLOW = "gAAAAABrA-2C9h6INbOxDidHj2gJqWvID6q2PQK-lKu16nxkeqTfJ9aAWxGRnb049RAtwcL9nPphRuGDudFWpghb1ej8qSMxiw=="
"""Stored by MLflow 3.17.2 in `webhooks.secret` for the secret `s3cret` with WEBHOOK_KEY."""


def test_a_secret_encrypted_by_mlflow_is_decrypted() -> None:
    assert SecretCipher(WEBHOOK_KEY).decrypt(BY_MLFLOW) == "s3cret"


def test_a_secret_is_encrypted_as_a_fernet_token() -> None:
    encrypted = SecretCipher(WEBHOOK_KEY).encrypt("비밀")
    assert encrypted
    assert Fernet(WEBHOOK_KEY).decrypt(encrypted).decode() == "비밀"


def test_an_empty_secret_needs_no_key() -> None:
    assert SecretCipher("").encrypt("") is None
    assert SecretCipher("").decrypt(None) == ""


def test_a_secret_without_a_key_is_rejected_with_the_name_of_the_variable() -> None:
    with pytest.raises(ApiError, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"):
        SecretCipher("").encrypt("s3cret")


def test_a_secret_too_long_for_the_column_is_rejected() -> None:
    cipher = SecretCipher(WEBHOOK_KEY)
    assert len(cipher.encrypt("x" * 680) or "") <= 1000
    with pytest.raises(ApiError, match="too long"):
        cipher.encrypt("x" * 1000)


@pytest.mark.parametrize("key", ["", urlsafe_b64encode(bytes(32)).decode()])
@pytest.mark.parametrize("encrypted", [BY_MLFLOW, "no token", "é"])
def test_a_secret_encrypted_with_another_key_is_not_decrypted(key: str, encrypted: str) -> None:
    with pytest.raises(DecryptionError):
        SecretCipher(key).decrypt(encrypted)


@pytest.mark.parametrize("key", ["short", WEBHOOK_KEY[:-4], "AAAA" + WEBHOOK_KEY, "~" * 44])
def test_an_invalid_key_prevents_the_start_and_is_not_shown(key: str) -> None:
    with pytest.raises(
        StartError, match=r"Invalid key in MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY\. Use 32 bytes"
    ) as error:
        load({}, {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key})
    assert key not in str(error.value)
