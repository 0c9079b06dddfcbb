"""Whose keys sign what goes to S3: which of the settings say so, in the order of Amazon's own libraries.

Nothing is asked of any network address unless a setting says so, and an instance's role only where
RAILTRACK_S3_INSTANCE_ROLE is on. How a role's keys are fetched is in s3_roles.py, how they are kept in s3_temporary.py.
"""

import re
from collections.abc import Awaitable, Callable
from configparser import ConfigParser
from configparser import Error as ConfigError
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from railtrack.artifacts.s3.roles import ContainerRole, InstanceRole, WebIdentity, unable
from railtrack.artifacts.s3.signing import Credentials
from railtrack.artifacts.s3.temporary_credentials import TemporaryCredentials
from railtrack.config.settings import AwsSettings
from railtrack.http_client.client import Origin

NEXT_STEP = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
CONTAINER_URL = "http://169.254.170.2"
CONTAINER_HOSTS = frozenset(("localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"))
"""Besides loopback addresses: where ECS and EKS have their agents. Others would get the token in plain text."""
TARGET = re.compile(r"/[!-~]*")

Provider = Callable[[], Awaitable[Credentials]]


def provider_of(settings: AwsSettings, region: str) -> Provider:
    """What gives the credentials of the moment. Raises PERMISSION_DENIED that names the setting to set; asks nobody."""
    if settings.access_key_id or settings.secret_access_key:
        return _unchanging(_keys(settings))
    if settings.web_identity_token_file:
        return TemporaryCredentials(_web_identity(settings, region).fetch).current
    if settings.profile:
        return _profile(settings.profile, Path(settings.shared_credentials_file).expanduser())
    if settings.container_credentials_relative_uri or settings.container_credentials_full_uri:
        return TemporaryCredentials(_container_role(settings).fetch).current
    if settings.instance_role:
        return TemporaryCredentials(InstanceRole(Origin.of(settings.ec2_metadata_endpoint)).fetch).current
    raise unable(
        f"an s3:// location needs them. {NEXT_STEP}, or AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE, "
        "AWS_CONTAINER_CREDENTIALS_FULL_URI, or RAILTRACK_S3_INSTANCE_ROLE=on."
    )


def _unchanging(credentials: Credentials) -> Provider:
    async def current() -> Credentials:
        return credentials

    return current


def _keys(settings: AwsSettings) -> Credentials:
    if settings.access_key_id and settings.secret_access_key:
        return Credentials(settings.access_key_id, settings.secret_access_key, settings.session_token)
    missing = "AWS_SECRET_ACCESS_KEY" if settings.access_key_id else "AWS_ACCESS_KEY_ID"
    raise unable(f"{missing} is not set. {NEXT_STEP}, both of them.")


def _web_identity(settings: AwsSettings, region: str) -> WebIdentity:
    if not settings.role_arn:
        raise unable("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not. Set it to the role to assume.")
    return WebIdentity(
        Origin.of(settings.sts_endpoint or f"https://{aws_host('sts', region)}"),
        settings.role_arn,
        settings.role_session_name,
        Path(settings.web_identity_token_file),
        settings.ca_bundle,
    )


def aws_host(service: str, region: str) -> str:
    """Amazon's host for a service; a region without one (`auto`) is taken for us-east-1."""
    known = "us-east-1" if region == "auto" else region
    return f"{service}.{known}.amazonaws.com{'.cn' if known.startswith('cn-') else ''}"


def _container_role(settings: AwsSettings) -> ContainerRole:
    if relative := settings.container_credentials_relative_uri:
        name, url = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", f"{CONTAINER_URL}{relative}"
        if not TARGET.fullmatch(relative):
            raise unable(f"{name}: {relative!r} is not a path such as /v2/credentials/1.")
    else:
        name, url = "AWS_CONTAINER_CREDENTIALS_FULL_URI", settings.container_credentials_full_uri
        _check_full_uri(name, url)
    parts = urlsplit(url)
    return ContainerRole(
        Origin.of(url),
        f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}",
        name,
        settings.container_authorization_token,
        settings.container_authorization_token_file,
        settings.ca_bundle,
    )


def _check_full_uri(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or "@" in parts.netloc or not TARGET.fullmatch(f"/{parts.path}{parts.query}"):
        raise unable(f"{name}: {url!r} is not a URL such as http://127.0.0.1:8080/credentials.")
    if parts.scheme == "http" and not _is_agent(parts.hostname or ""):
        hosts = ", ".join(sorted(CONTAINER_HOSTS))
        raise unable(f"{name}: {parts.hostname} may be asked by https only; by http a loopback address, {hosts}.")


def _is_agent(host: str) -> bool:
    try:
        return host in CONTAINER_HOSTS or ip_address(host).is_loopback
    except ValueError:
        return False


def _profile(name: str, file: Path) -> Provider:
    """The static keys of a profile, read for every call, so that they may be changed."""

    async def current() -> Credentials:
        return _profile_keys(name, file)

    _profile_keys(name, file)
    return current


def _profile_keys(name: str, file: Path) -> Credentials:
    """From the file that AWS's own tools write."""
    found = ConfigParser(interpolation=None)
    try:
        found.read_string(file.read_text())
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise unable(f"AWS_PROFILE is '{name}', but {file} cannot be read ({type(error).__name__}).") from None
    keys = found[name] if found.has_section(name) else {}
    access_key, secret_key = keys.get("aws_access_key_id", ""), keys.get("aws_secret_access_key", "")
    if not access_key or not secret_key:
        raise unable(f"AWS_PROFILE is '{name}', but {file} has no keys for it. {NEXT_STEP} instead, or add them.")
    return Credentials(access_key, secret_key, keys.get("aws_session_token", ""))
