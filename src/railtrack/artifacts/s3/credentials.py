"""Select the source of S3 credentials from the settings, in the order of AWS's own libraries.

No network address is asked unless a setting names the source, and the instance's metadata service only if
RAILTRACK_S3_INSTANCE_ROLE is on. credential_process.py fetches, credential_cache.py keeps and renews.
"""

import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from railtrack.artifacts.s3.credential_cache import CredentialCache
from railtrack.artifacts.s3.signing import Credentials
from railtrack.config.artifact_settings import AwsSettings
from railtrack.errors import ApiError, unavailable

PROGRAM = str(Path(__file__).with_name("credential_process.py"))
PROCESS_TIMEOUT_S = 15.0
NEXT_STEP = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
CONTAINER_URL = "http://169.254.170.2"
CONTAINER_HOSTS = frozenset(("localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"))
"""Where ECS and EKS run their agents, besides loopback addresses. Others would get the token in plain text."""
S3_ENDPOINTS = frozenset(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT_URL"))
TARGET = re.compile(r"/[!-~]*")

Provider = Callable[[], Awaitable[Credentials]]


class CredentialProcess(NamedTuple):
    """One source of credentials, asked by a short-lived process (credential_process.py)."""

    kind: str
    source: str
    """What the source is called in messages."""
    advice: str
    """What to do when the source denies credentials."""
    environment: Mapping[str, str]

    async def fetch(self) -> Credentials:
        """Raise PERMISSION_DENIED if somebody must change something first, else TEMPORARILY_UNAVAILABLE."""
        process = subprocess.Popen(  # noqa: ASYNC220, S603 (2 ms; no part of the command comes from a request)
            [sys.executable, "-I", PROGRAM, self.kind],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )
        try:
            output, errors = await asyncio.to_thread(_communicate, process)
        except subprocess.TimeoutExpired:
            raise self._unavailable(f"no response within {PROCESS_TIMEOUT_S:.0f} s") from None
        except asyncio.CancelledError:
            _kill(process)
            raise
        if process.returncode == -signal.SIGABRT:  # instead of reporting an error, in version 0.38
            raise self._unavailable("awscrt aborted, as it does when STS can't be reached")
        if process.returncode:
            last_line = errors.decode(errors="replace").strip().rpartition("\n")[2]
            raise self._unavailable(f"{PROGRAM} ended with status {process.returncode}: {last_line}")
        fields = json.loads(output)
        if "Error" not in fields:
            return _credentials(fields)
        if fields["IsTransient"]:
            raise self._unavailable(fields["Error"])
        raise unable(f"{self.source}: {fields['Error']}. {self.advice}")

    def _unavailable(self, reason: str) -> ApiError:
        return unavailable(f"There are no credentials for S3 at the moment: {self.source}: {reason}")


def _communicate(process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    """Return what the process prints, once it has ended."""
    with process:
        try:
            return process.communicate(timeout=PROCESS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process and the program that a profile may make it run: they are a session, and so a group.

    The group exists until the process is waited for, even if the process itself has ended and the program has not.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _credentials(fields: Mapping[str, Any]) -> Credentials:
    expires = math.inf
    if "Expiration" in fields:
        moment = datetime.fromisoformat(fields["Expiration"])
        expires = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return Credentials(fields["AccessKeyId"], fields["SecretAccessKey"], fields["SessionToken"], expires)


def unable(reason: str) -> ApiError:
    """Return the error for credentials that will be missing until somebody changes something."""
    return ApiError("PERMISSION_DENIED", f"Unable to locate credentials: {reason}")


def provider_of(settings: AwsSettings, region: str) -> Provider:
    """Return what provides the current credentials. Asks nobody.

    Raise PERMISSION_DENIED that names the setting to set, if the settings name no source.
    """
    if settings.access_key_id or settings.secret_access_key:
        return _static_keys(settings)
    if settings.web_identity_token_file:
        source = _web_identity(settings, region)
    elif settings.profile:
        source = _profile(settings)
    elif settings.container_credentials_relative_uri or settings.container_credentials_full_uri:
        source = _container_role(settings)
    elif settings.instance_role:
        source = _instance_role(settings)
    else:
        raise unable(
            f"an s3:// location needs them. {NEXT_STEP}, or AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE, "
            "AWS_CONTAINER_CREDENTIALS_FULL_URI, or RAILTRACK_S3_INSTANCE_ROLE=on."
        )
    return CredentialCache(source.fetch).current


def _static_keys(settings: AwsSettings) -> Provider:
    if not settings.access_key_id or not settings.secret_access_key:
        missing = "AWS_SECRET_ACCESS_KEY" if settings.access_key_id else "AWS_ACCESS_KEY_ID"
        raise unable(f"{missing} is not set. {NEXT_STEP}, both of them.")
    keys = Credentials(settings.access_key_id, settings.secret_access_key, settings.session_token)

    async def current() -> Credentials:
        return keys

    return current


def _inherited() -> dict[str, str]:
    """Return this process's environment without the server's own settings: a profile's program may print or log it."""
    own = ("MLFLOW_", "RAILTRACK_", "DATABASE_URL", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _environment(settings: AwsSettings, **variables: str) -> dict[str, str]:
    """Return the environment of a source that reads `variables` and no other setting of AWS's."""
    inherited = {name: value for name, value in _inherited().items() if not name.startswith(("AWS_", "SSL_CERT_"))}
    return inherited | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **_ca_bundle(settings),
        **variables,
    }


def _ca_bundle(settings: AwsSettings) -> dict[str, str]:
    """Return AWS_CA_BUNDLE for Python, and under the name by which awscrt knows it."""
    bundle = settings.ca_bundle
    return {"AWS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle} if bundle else {}


def _web_identity(settings: AwsSettings, region: str) -> CredentialProcess:
    if not settings.role_arn:
        raise unable("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not. Set it to the role to assume.")
    environment = _environment(
        settings,
        AWS_WEB_IDENTITY_TOKEN_FILE=settings.web_identity_token_file,
        AWS_ROLE_ARN=settings.role_arn,
        AWS_ROLE_SESSION_NAME=settings.role_session_name,
        AWS_ENDPOINT_URL_STS=settings.sts_endpoint or f"https://{aws_host('sts', region)}",
    )
    advice = "Check AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE."
    return CredentialProcess("web-identity", "web identity", advice, environment)


def _profile(settings: AwsSettings) -> CredentialProcess:
    """Return the source for a profile. It inherits all AWS variables, which the profile's program may need.

    The endpoint variables are left out: they are for S3 here, but awscrt and AWS's command line would use
    AWS_ENDPOINT_URL for STS, too.
    """
    environment = {name: value for name, value in _inherited().items() if name not in S3_ENDPOINTS}
    environment |= {
        "AWS_PROFILE": settings.profile,
        "AWS_CONFIG_FILE": _expanded(settings.config_file),
        "AWS_SHARED_CREDENTIALS_FILE": _expanded(settings.shared_credentials_file),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": settings.ec2_metadata_endpoint,
        "RAILTRACK_S3_INSTANCE_ROLE": "on" if settings.instance_role else "off",
        **_ca_bundle(settings),
    }
    if settings.sts_endpoint:
        environment["AWS_ENDPOINT_URL_STS"] = settings.sts_endpoint
    if environment.get("AWS_REGION") == "auto":  # R2's, which STS does not know
        del environment["AWS_REGION"]
    advice = "Correct the profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
    return CredentialProcess("profile", f"AWS_PROFILE is '{settings.profile}'", advice, environment)


def _expanded(file: str) -> str:
    return str(Path(file).expanduser())


def _instance_role(settings: AwsSettings) -> CredentialProcess:
    endpoint = settings.ec2_metadata_endpoint
    environment = _environment(settings, AWS_EC2_METADATA_SERVICE_ENDPOINT=endpoint, AWS_EC2_METADATA_DISABLED="false")
    advice = "Give the instance a role, or set RAILTRACK_S3_INSTANCE_ROLE=off and keys."
    return CredentialProcess("instance", f"the instance's metadata service at {endpoint}", advice, environment)


def aws_host(service: str, region: str) -> str:
    """Return AWS's host for a service. A region without one (`auto`) counts as us-east-1."""
    known = "us-east-1" if region == "auto" else region
    return f"{service}.{known}.amazonaws.com{'.cn' if known.startswith('cn-') else ''}"


def _container_role(settings: AwsSettings) -> CredentialProcess:
    if relative := settings.container_credentials_relative_uri:
        name, url = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", f"{CONTAINER_URL}{relative}"
        if not TARGET.fullmatch(relative):
            raise unable(f"{name}: {relative!r} is not a path such as /v2/credentials/1.")
    else:
        name, url = "AWS_CONTAINER_CREDENTIALS_FULL_URI", settings.container_credentials_full_uri
        _check_full_uri(name, url)
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": settings.container_authorization_token,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": settings.container_authorization_token_file,
    }
    environment = _environment(settings, **{variable: value for variable, value in variables.items() if value})
    advice = f"Check {name} and AWS_CONTAINER_AUTHORIZATION_TOKEN."
    agent = urlsplit(url)
    return CredentialProcess(
        "container", f"the container's agent at {agent.scheme}://{agent.netloc}", advice, environment
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
        raise unable(f"{name}: {parts.hostname} is allowed by https only; by http, use a loopback address, {hosts}.")


def _is_agent(host: str) -> bool:
    try:
        return host in CONTAINER_HOSTS or ip_address(host).is_loopback
    except ValueError:
        return False
