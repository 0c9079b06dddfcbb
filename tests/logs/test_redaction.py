"""Secrets that redacted() recognizes by their form."""

import pytest

from railtrack.logs.redaction import redacted


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:s3cret@host/name",
        "postgresql://host/name?user=me&password=s3cret",
        "postgresql://host/name?password=p@s3cret&user=me",
        "postgresql://host/name?sslpassword=s3cret",
        "http://access:s3cret@minio:9000/bucket",
        "Authorization: Bearer s3cretToken",
    ],
)
def test_a_secret_in_a_message_is_redacted(text: str) -> None:
    shown = redacted(f"Could not use {text}, because of s.")
    assert "s3cret" not in shown
    assert shown.startswith("Could not use ")
    assert "***" in shown
