"""What `railtrack server` keeps out of its log: the value of every setting that is declared secret."""

from collections.abc import Iterator

import pytest
from tests.servers.databases import WEBHOOK_KEY

from railtrack.cli.server import redact_configured_secrets
from railtrack.config.lookup import declared_settings
from railtrack.config.settings import SERVER_OPTIONS, Settings, resolve_all, settings_from
from railtrack.db.url import parse_database_url
from railtrack.logs.redaction import redact_secrets, redacted


@pytest.fixture
def values() -> Iterator[dict[str, str]]:
    """A distinct value for each secret setting, by its first variable."""
    # The password in options of uvicorn is the value of RAILTRACK_TLS_KEY_PASSWORD.
    secret = [one for one in declared_settings(Settings) if one.secret and one.path not in SERVER_OPTIONS]
    names = [setting.name for setting in secret]
    yield {name: f"value-of-{name.lower()}-0123456789" for name in names} | {
        "MLFLOW_BACKEND_STORE_URI": "postgresql://user:the-password-0123@db.example.com:5432/tracking",
        "MLFLOW_REGISTRY_STORE_URI": "postgresql://user:another-password-0123@db.example.com:5432/tracking",
        "MLFLOW_READ_REPLICA_BACKEND_STORE_URI": "postgresql://user:a-third-password-0123@db.example.com:5432/tracking",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
    }
    redact_secrets(())


def test_the_value_of_every_secret_setting_is_redacted(values: dict[str, str]) -> None:
    assert len(values) > 4
    resolved = resolve_all({}, values)
    settings = settings_from(resolved)
    redact_configured_secrets(resolved, settings, parse_database_url(settings.database.uri))
    for name, value in values.items():
        if not name.endswith("_STORE_URI"):
            assert value not in redacted(f"an exception that shows {value} to everybody"), name
    for password in ("the-password-0123", "another-password-0123", "a-third-password-0123"):
        assert password not in redacted(f"could not log in with {password}")
    assert "db.example.com:5432/tracking" in redacted("lost postgresql://user:***@db.example.com:5432/tracking")
