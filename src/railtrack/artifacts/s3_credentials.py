"""Whose keys sign what goes to S3. Nothing is asked of any network address unless a setting says so."""

from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import Protocol

from railtrack.artifacts.s3_sign import Credentials
from railtrack.errors import ApiError

NEXT_STEP = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class CredentialSettings(Protocol):
    """The settings that lead to credentials; "" for what is not set."""

    @property
    def aws_access_key_id(self) -> str: ...
    @property
    def aws_secret_access_key(self) -> str: ...
    @property
    def aws_session_token(self) -> str: ...
    @property
    def aws_profile(self) -> str: ...
    @property
    def aws_shared_credentials_file(self) -> str: ...


def credentials_of(settings: CredentialSettings) -> Credentials:
    """The keys themselves, or those of the profile. Raises PERMISSION_DENIED that names the setting to set."""
    if settings.aws_access_key_id and settings.aws_secret_access_key:
        return Credentials(settings.aws_access_key_id, settings.aws_secret_access_key, settings.aws_session_token)
    if settings.aws_access_key_id or settings.aws_secret_access_key:
        missing = "AWS_SECRET_ACCESS_KEY" if settings.aws_access_key_id else "AWS_ACCESS_KEY_ID"
        raise _unable(f"{missing} is not set. {NEXT_STEP}, both of them.")
    if settings.aws_profile:
        return _profile(settings.aws_profile, Path(settings.aws_shared_credentials_file).expanduser())
    raise _unable(f"an s3:// location needs them. {NEXT_STEP}, or AWS_PROFILE.")


def _profile(name: str, file: Path) -> Credentials:
    """The static keys of a profile in the file that AWS's own tools write."""
    found = ConfigParser(interpolation=None)
    try:
        found.read_string(file.read_text())
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise _unable(f"AWS_PROFILE is '{name}', but {file} cannot be read ({type(error).__name__}).") from None
    keys = found[name] if found.has_section(name) else {}
    access_key, secret_key = keys.get("aws_access_key_id", ""), keys.get("aws_secret_access_key", "")
    if not access_key or not secret_key:
        raise _unable(f"AWS_PROFILE is '{name}', but {file} has no keys for it. {NEXT_STEP} instead, or add them.")
    return Credentials(access_key, secret_key, keys.get("aws_session_token", ""))


def _unable(why: str) -> ApiError:
    return ApiError("PERMISSION_DENIED", f"Unable to locate credentials: {why}")
