"""Temporary credentials of a role: from Amazon's STS, a container's agent, or an instance's metadata service. Which of
them is asked, and when, is not decided here.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

import asyncio
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from railtrack.artifacts.s3.signing import Credentials
from railtrack.errors import ApiError, unavailable
from railtrack.http_client.client import HttpClient, Origin, TransferError

ATTEMPTS = 3
ATTEMPT_S = 4.0
WAIT_S = 0.5
ANSWER_BYTES = 64 * 1024
OK = 200
BUSY = 429
SERVER_ERROR = 500
INSTANCE_TOKEN_S = 300
"""How long the token of an instance's metadata service is good for: a moment would do."""


def unable(why: str) -> ApiError:
    """There are no credentials, and there will be none before somebody changes something."""
    return ApiError("PERMISSION_DENIED", f"Unable to locate credentials: {why}")


class WebIdentity(NamedTuple):
    """The role that STS gives for a token in a file, as Kubernetes puts it there and renews it."""

    sts: Origin
    role: str
    session: str
    token_file: Path
    ca_bundle: str

    async def fetch(self) -> Credentials:
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = f"AWS_WEB_IDENTITY_TOKEN_FILE: {self.token_file} cannot be read ({type(error).__name__})."
            raise unable(why) from None
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self.role,
            "RoleSessionName": self.session,
            "WebIdentityToken": token,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, body = await _asked(self.sts, "POST", "/", headers, urlencode(form).encode(), self.ca_bundle)
        found = _xml(body)
        if status != OK:
            code, message = found.get("Code", f"HTTP {status}"), found.get("Message", "").rstrip(".")
            raise unable(
                f"STS at {self.sts.url} refuses the role {self.role}: {code}: {message}. "
                "Check AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE."
            )
        return _credentials(found, "SessionToken", self.sts)


class ContainerRole(NamedTuple):
    """The role of a container, from the agent beside it."""

    agent: Origin
    target: str
    setting: str
    """The variable that leads there."""
    token: str
    token_file: str
    ca_bundle: str

    async def fetch(self) -> Credentials:
        headers = {"accept": "application/json", **self._authorization()}
        status, body = await _asked(self.agent, "GET", self.target, headers, b"", self.ca_bundle)
        if status != OK:
            raise unable(
                f"the container's agent at {self.agent.url} answers {status}. "
                f"Check {self.setting} and AWS_CONTAINER_AUTHORIZATION_TOKEN."
            )
        return _credentials(_json(body), "Token", self.agent)

    def _authorization(self) -> dict[str, str]:
        """The file is read anew each time, since EKS renews it."""
        token = self.token
        if self.token_file:
            try:
                token = Path(self.token_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
                raise unable(f"{name}: {self.token_file} cannot be read ({type(error).__name__}).") from None
        if not token:
            return {}
        if not (token.isascii() and token.isprintable()):
            raise unable("AWS_CONTAINER_AUTHORIZATION_TOKEN is no value of a header.")
        return {"authorization": token}


class InstanceRole(NamedTuple):
    """The role of an EC2 instance, by the second version of its metadata service only."""

    service: Origin

    async def fetch(self) -> Credentials:
        ttl = {"x-aws-ec2-metadata-token-ttl-seconds": str(INSTANCE_TOKEN_S)}
        token = await self._got("PUT", "/latest/api/token", ttl)
        headers = {"x-aws-ec2-metadata-token": token}
        roles = "/latest/meta-data/iam/security-credentials/"
        role = (await self._got("GET", roles, headers)).split("\n")[0]
        found = _json((await self._got("GET", f"{roles}{quote(role)}", headers)).encode())
        if found.get("Code", "Success") != "Success":
            raise unable(f"the instance's metadata service at {self.service.url} has none: {found['Code']}.")
        return _credentials(found, "Token", self.service)

    async def _got(self, method: str, target: str, headers: Mapping[str, str]) -> str:
        status, body = await _asked(self.service, method, target, headers)
        text = body.decode("latin-1").strip()
        if status != OK or not text or not text.replace("\n", "").isprintable():
            raise unable(
                f"the instance's metadata service at {self.service.url} answers {status} to {target}. "
                "Give the instance a role, or set RAILTRACK_S3_INSTANCE_ROLE=off and keys."
            )
        return text


async def _asked(
    origin: Origin, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", ca_bundle: str = ""
) -> tuple[int, bytes]:
    """Status and body. Raises TEMPORARILY_UNAVAILABLE when there is no answer after a few attempts."""
    client = HttpClient(origin, ca_bundle=ca_bundle)
    why = ""
    for attempt in range(ATTEMPTS):
        await asyncio.sleep(WAIT_S * attempt)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                answer = await client.send(method, target, {"host": origin.netloc, **headers}, body)
                content = await answer.read(ANSWER_BYTES)
            if answer.status < SERVER_ERROR and answer.status != BUSY:
                return answer.status, content
            why = f"HTTP {answer.status}"
        except TransferError as error:
            why = str(error)
        except TimeoutError:
            why = "no answer in time"
        finally:
            client.close()
    raise unavailable(f"There are no credentials for S3 at the moment: {origin.url}: {why}")


def _xml(body: bytes) -> dict[str, str]:
    """The texts of an answer's elements by their names, without namespaces."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (of a host that the operator chose, and bounded)
    except ElementTree.ParseError:
        return {}
    return {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _credentials(found: Mapping[str, Any], token: str, origin: Origin) -> Credentials:
    """What is told by the names that Amazon gives it."""
    try:
        expires = datetime.fromisoformat(found["Expiration"])
        access_key, secret_key, session = (str(found[name]) for name in ("AccessKeyId", "SecretAccessKey", token))
    except (KeyError, TypeError, ValueError):
        message = f"There are no credentials for S3 at the moment: {origin.url} answers with something else."
        raise unavailable(message) from None
    return Credentials(access_key, secret_key, session, expires.replace(tzinfo=expires.tzinfo or UTC).timestamp())
