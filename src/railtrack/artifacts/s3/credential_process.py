"""A program that runs awscrt's credential providers. It prints credentials in the JSON form of `credential_process`.

credentials.py starts it with the kind of source as its argument and the settings as AWS_* variables. It is a process of
its own because awscrt's providers start threads, take their settings from the environment, and abort the whole process
when STS can't be reached (record 8). It imports next to nothing of railtrack, so that it starts in 0.1 s.

Two sources are not awscrt's: a web identity, because awscrt takes AWS_ENDPOINT_URL_STS for a host name and always
connects to port 443; and SSO, which its Python binding lacks.
"""

import hashlib
import http.client
import json
import os
import resource
import signal
import ssl
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from awscrt.auth import AwsCredentialsProvider
from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

from railtrack.backoff import backoff_s

PROVIDER_TIMEOUT_S = 8.0
ATTEMPTS = 3
ATTEMPT_TIMEOUT_S = 2.5
FIRST_PAUSE_S = 0.3
LIFETIME_S = 30
"""The process ends itself after this time, even if the server that started it was killed."""
RESPONSE_BYTES = 64 * 1024
OK = 200
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500

PROFILE_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
TRANSIENT_ERRORS = ("AWS_IO_", "AWS_ERROR_HTTP_")
"""Prefixes of awscrt's names for failures of the network. Others mean a wrong setting, profile or role."""


class SourceError(Exception):
    """The source gave no credentials. `is_transient`: it may do so later without anybody changing anything."""

    def __init__(self, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient


def main(kind: str) -> dict[str, Any]:
    """Return what is printed: credentials, or `Error` and `IsTransient`."""
    try:
        match kind:
            case "web-identity":
                return web_identity()
            case "profile":
                return profile(os.environ["AWS_PROFILE"])
            case "container":
                _read_agent_token()
                return from_awscrt(AwsCredentialsProvider.new_default_chain)
            case "instance":
                return from_awscrt(AwsCredentialsProvider.new_default_chain)
        raise ValueError(kind)
    except SourceError as error:
        return {"Error": str(error).rstrip("."), "IsTransient": error.is_transient}


# awscrt's providers


def from_awscrt(new_provider: Callable[..., AwsCredentialsProvider], *args: str) -> dict[str, Any]:
    """Return the credentials of `new_provider(bootstrap, *args)`."""
    group = EventLoopGroup(1)
    try:
        provider = new_provider(ClientBootstrap(group, DefaultHostResolver(group)), *args)
        credentials = provider.get_credentials().result(PROVIDER_TIMEOUT_S)
    except AwsCrtError as error:
        has_retried = error.name == "AWS_IO_MAX_RETRIES_EXCEEDED"
        message = "no valid response after several attempts" if has_retried else error.message
        raise SourceError(message, is_transient=error.name.startswith(TRANSIENT_ERRORS)) from error
    except TimeoutError:
        raise SourceError(f"no response within {PROVIDER_TIMEOUT_S:.0f} s", is_transient=True) from None
    except (OSError, RuntimeError) as error:  # of a provider that can't be made: "6173 (AWS_AUTH_...): text"
        raise SourceError(str(error).rpartition("): ")[2] or type(error).__name__) from error
    return printed(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token, credentials.expiration
    )


def _read_agent_token() -> None:
    """Read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE for awscrt, which would send the line feed at its end."""
    if file := os.environ.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""):
        token = read_token("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
        if not (token.isascii() and token.isprintable()):
            raise SourceError(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: {file} has no valid header value")
        os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token


def read_token(variable: str, file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{variable}: {file} can't be read ({type(error).__name__})") from None


def printed(access_key: str, secret_key: str, token: str | None, expiration: datetime | None) -> dict[str, Any]:
    fields = {"Version": 1, "AccessKeyId": access_key, "SecretAccessKey": secret_key, "SessionToken": token or ""}
    return fields | ({"Expiration": expiration.isoformat()} if expiration else {})


# Profiles


def profile(name: str) -> dict[str, Any]:
    profiles = read_profiles()
    if f"profile {name}" not in profiles:
        files = " or ".join(os.environ[variable] for variable in PROFILE_FILES)
        raise SourceError(f"there is no such profile in {files}")
    fields = profiles[f"profile {name}"]
    if "sso_account_id" in fields and not fields.keys() & {"role_arn", "aws_access_key_id"}:
        return sso(fields, profiles)
    _check_sources(name, profiles)
    if "role_arn" in fields:
        _set_sts_host(fields.get("region", "us-east-1"))
    return from_awscrt(AwsCredentialsProvider.new_profile, name)


def read_profiles() -> dict[str, dict[str, str]]:
    """Return the sections of both files as the config file names them: `profile NAME`, `sso-session NAME`."""
    profiles: dict[str, dict[str, str]] = {}
    for variable in PROFILE_FILES:
        parser = ConfigParser(interpolation=None, strict=False, default_section="")
        try:
            parser.read_string(Path(os.environ[variable]).read_text())
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, ConfigParserError) as error:
            raise SourceError(f"{os.environ[variable]} can't be read ({type(error).__name__})") from None
        for section in parser.sections():
            is_full_name = variable == "AWS_CONFIG_FILE" and section != "default"
            name = section if is_full_name else f"profile {section}"
            profiles.setdefault(name, {}).update(parser[section])
    return profiles


def _check_sources(name: str, profiles: dict[str, dict[str, str]]) -> None:
    """Raise SourceError if the profile, or one that it builds on, has a source that is not allowed or not supported."""
    seen: list[str] = []
    while name and name not in seen:
        fields = profiles.get(f"profile {name}", {})
        is_instance_role = fields.get("credential_source", "").lower() == "ec2instancemetadata"
        if is_instance_role and os.environ.get("RAILTRACK_S3_INSTANCE_ROLE") != "on":
            raise SourceError("it uses the instance's role. Set RAILTRACK_S3_INSTANCE_ROLE=on to allow that")
        if seen and "sso_account_id" in fields:
            export = f"aws configure export-credentials --profile {name}"
            raise SourceError(f"its source_profile '{name}' uses SSO. Give it credential_process = {export}")
        seen.append(name)
        name = fields.get("source_profile", "")


def _set_sts_host(region: str) -> None:
    """Have awscrt use the STS of AWS_ENDPOINT_URL_STS. It takes the variable for a host name, always with port 443."""
    if url := os.environ.pop("AWS_ENDPOINT_URL_STS", ""):
        parts = urlsplit(url)
        if parts.scheme != "https" or (parts.port or 443) != 443:
            raise SourceError(f"a profile's role is assumed by https at port 443 only, AWS_ENDPOINT_URL_STS is {url}")
        os.environ["AWS_ENDPOINT_URL_STS"] = parts.hostname or ""
        os.environ.setdefault("AWS_REGION", region)


# Sources without awscrt


def web_identity() -> dict[str, Any]:
    """Exchange the token in AWS_WEB_IDENTITY_TOKEN_FILE for the role's credentials.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """
    file, sts, role = (
        os.environ[name] for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL_STS", "AWS_ROLE_ARN")
    )
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": os.environ["AWS_ROLE_SESSION_NAME"],
        "WebIdentityToken": read_token("AWS_WEB_IDENTITY_TOKEN_FILE", file),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = _send("POST", sts, "/", headers, urlencode(form).encode())
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (bounded, and of a host that the operator chose)
        texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    except ElementTree.ParseError:
        texts = {}
    if status != OK:
        code, message = texts.get("Code", f"HTTP {status}"), texts.get("Message", "").rstrip(".")
        raise SourceError(f"STS at {sts} denies the role {role}: {code}: {message}".rstrip(": "))
    try:
        expiration = datetime.fromisoformat(texts["Expiration"])
        return printed(texts["AccessKeyId"], texts["SecretAccessKey"], texts["SessionToken"], expiration)
    except (KeyError, ValueError):
        raise SourceError(f"STS at {sts} sent no credentials", is_transient=True) from None


def sso(fields: dict[str, str], profiles: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Exchange the access token that `aws sso login` left in its cache for the role's credentials.

    https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html
    """
    session = fields.get("sso_session", "")
    fields = profiles.get(f"sso-session {session}", {}) | fields
    try:
        region, key = fields["sso_region"], session or fields["sso_start_url"]
        query = urlencode({"role_name": fields["sso_role_name"], "account_id": fields["sso_account_id"]})
    except KeyError as error:
        raise SourceError(f"its SSO settings lack {error.args[0]}") from None
    login = "Log in with `aws sso login`"
    cache = (
        Path("~/.aws/sso/cache").expanduser() / f"{hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()}.json"
    )
    try:
        cached = json.loads(cache.read_text())
        token, end = str(cached["accessToken"]), datetime.fromisoformat(cached["expiresAt"])
    except (OSError, ValueError, KeyError, TypeError):
        raise SourceError(f"there is no SSO access token in {cache}. {login}") from None
    if end.replace(tzinfo=end.tzinfo or UTC) <= datetime.now(UTC):
        raise SourceError(f"the SSO access token has expired. {login}")
    portal = os.environ.get("AWS_ENDPOINT_URL_SSO", f"https://portal.sso.{region}.amazonaws.com")
    headers = {"x-amz-sso_bearer_token": token}
    status, body = _send("GET", portal, f"/federation/credentials?{query}", headers)
    if status != OK:
        raise SourceError(f"SSO at {portal} denies the role {fields['sso_role_name']} (HTTP {status}). {login}")
    try:
        role = json.loads(body)["roleCredentials"]
        expiration = datetime.fromtimestamp(role["expiration"] / 1000, UTC)
        return printed(role["accessKeyId"], role["secretAccessKey"], role["sessionToken"], expiration)
    except (ValueError, KeyError, TypeError):
        raise SourceError(f"SSO at {portal} sent no credentials", is_transient=True) from None


def _send(method: str, url: str, target: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of the response. Raise a transient SourceError if there is none after a few attempts."""
    parts = urlsplit(url)
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(backoff_s(attempt - 1, FIRST_PAUSE_S, PROVIDER_TIMEOUT_S))
        connection = http.client.HTTPConnection(parts.netloc, timeout=ATTEMPT_TIMEOUT_S)
        if parts.scheme == "https":
            trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
            connection = http.client.HTTPSConnection(parts.netloc, timeout=ATTEMPT_TIMEOUT_S, context=trusted)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read(RESPONSE_BYTES)
            if response.status < SERVER_ERROR and response.status != TOO_MANY_REQUESTS:
                return response.status, content
            why = f"HTTP {response.status}"
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"{url}: its certificate is not trusted: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        finally:
            connection.close()
    raise SourceError(f"{url}: {why}", is_transient=True)


if __name__ == "__main__":
    signal.alarm(LIFETIME_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys must not end up in a file
    print(json.dumps(main(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)  # awscrt's threads may still wait for a connection
