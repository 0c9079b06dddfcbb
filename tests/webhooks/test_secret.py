"""Secrets of webhooks: MLflow's are read, ours can be read by MLflow, and none without the key."""

from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from tests.servers.databases import WEBHOOK_KEY

from railtrack.config.settings import load
from railtrack.errors import ApiError, StartError
from railtrack.webhooks.secret import CannotOpen, Vault

BY_MLFLOW = "gAAAAABrA-2C9h6INbOxDidHj2gJqWvID6q2PQK-lKu16nxkeqTfJ9aAWxGRnb049RAtwcL9nPphRuGDudFWpghb1ej8qSMxiw=="
"""What MLflow 3.17.2 has put into `webhooks.secret` for the secret `s3cret`, given WEBHOOK_KEY."""


def test_a_secret_that_mlflow_has_sealed_is_read() -> None:
    assert Vault(WEBHOOK_KEY).open(BY_MLFLOW) == "s3cret"


def test_a_secret_is_sealed_in_mlflows_form() -> None:
    sealed = Vault(WEBHOOK_KEY).seal("비밀")
    assert sealed
    assert Fernet(WEBHOOK_KEY).decrypt(sealed).decode() == "비밀"


def test_no_secret_needs_no_key() -> None:
    assert Vault("").seal("") is None
    assert Vault("").open(None) == ""


def test_a_secret_without_a_key_is_refused_with_the_variable_named() -> None:
    with pytest.raises(ApiError, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"):
        Vault("").seal("s3cret")


def test_a_secret_that_the_column_cannot_hold_is_refused() -> None:
    vault = Vault(WEBHOOK_KEY)
    assert len(vault.seal("x" * 680) or "") <= 1000
    with pytest.raises(ApiError, match="too long"):
        vault.seal("x" * 1000)


@pytest.mark.parametrize("key", ["", urlsafe_b64encode(bytes(32)).decode()])
@pytest.mark.parametrize("sealed", [BY_MLFLOW, "no token", "é"])
def test_what_the_key_does_not_fit_is_not_opened(key: str, sealed: str) -> None:
    with pytest.raises(CannotOpen):
        Vault(key).open(sealed)


@pytest.mark.parametrize("key", ["short", WEBHOOK_KEY[:-4], "AAAA" + WEBHOOK_KEY, "~" * 44])
def test_a_key_that_is_none_stops_the_start_and_is_not_shown(key: str) -> None:
    with pytest.raises(StartError, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY: its value is not 32 bytes") as error:
        load({}, {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key})
    assert key not in str(error.value)
