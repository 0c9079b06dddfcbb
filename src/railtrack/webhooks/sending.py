"""One payload to one URL: where it may go, how it is signed, and what became of it. Nothing is sent twice in here."""

import asyncio
import base64
import hashlib
import hmac
import re
import time
from collections.abc import Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from railtrack.errors import ApiError, invalid
from railtrack.http_client.client import HttpAnswer, HttpClient, Origin, TransferError
from railtrack.http_client.ssrf import first_not_public, resolve

URL_LIMIT = 500
"""Characters of MLflow's column."""
SHOWN_BYTES = 64 * 1024
"""As much is read of a receiver's answer."""
UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
KEPT_IN_URLS = "%/:=&?~+!$,;'@()*[]"


class Target(NamedTuple):
    """A webhook's URL, taken apart. `authorization`: of a user and password in it, "" without."""

    origin: Origin
    path: str
    authorization: str


class Outcome(NamedTuple):
    """What became of an attempt: an answer, or the reason why there is none."""

    status: int | None = None
    body: str = ""
    error: str = ""
    retry_after_s: float | None = None
    final: bool = False
    """There was no answer, and another attempt would change nothing."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """A later attempt may do better: the receiver asks for it, is ill, or was not reached."""
        if self.status is None:
            return not self.final
        return self.status == 429 or self.status >= 500


class Sender:
    """Sends to URLs with one of `schemes`, to private addresses only when `private` is true, within `limit_s`."""

    def __init__(self, schemes: Sequence[str], *, private: bool, limit_s: float) -> None:
        self._schemes = schemes
        self._private = private
        self.limit_s = limit_s

    async def check(self, url: str) -> None:
        """Raise INVALID_PARAMETER_VALUE for a URL that nothing would be sent to, with MLflow's words where it has any.

        What its name means by the time of a delivery is judged again then.
        """
        target = self._target(url)
        if len(url) > URL_LIMIT:
            raise invalid(f"'url' exceeds the maximum length of {URL_LIMIT} characters")
        if not self._private:
            await self._addresses(target.origin.host)

    async def send(self, url: str, payload: bytes, delivery_id: str, secret: str) -> Outcome:
        """One attempt. Redirects are not followed: the answer of who was asked counts."""
        try:
            async with asyncio.timeout(self.limit_s):
                target = self._target(url)
                client = HttpClient(target.origin, await self._addresses(target.origin.host))
                headers = headers_of(target, payload, delivery_id, secret, int(time.time()))
                answer = await client.send("POST", target.path, headers, payload)
                return await _read(answer)
        except ApiError as refusal:
            return Outcome(error=refusal.message, final=not isinstance(refusal.__cause__, OSError))
        except TransferError as error:
            return Outcome(error=str(error))
        except TimeoutError:
            return Outcome(error=f"no answer within {self.limit_s:g} s")

    def _target(self, url: str) -> Target:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise invalid(f"Invalid webhook URL '{url[:URL_LIMIT]}': {error!r}") from None
        if parts.scheme not in self._schemes:
            allowed = ", ".join(sorted(self._schemes))
            raise invalid(f"Invalid webhook URL scheme: '{parts.scheme}'. Allowed schemes are: {allowed}.")
        if not parts.hostname:
            raise invalid(f"Webhook URL must include a hostname: '{url[:URL_LIMIT]}'")
        if UNFIT.search(url) or port == 0:
            raise invalid(f"Invalid webhook URL '{url[:URL_LIMIT]}': it holds characters or a port that no URL has")
        host = _ascii(parts.hostname, url)
        secure = parts.scheme == "https"
        query = f"?{parts.query}" if parts.query else ""
        path = quote((parts.path or "/") + query, safe=KEPT_IN_URLS)
        return Target(Origin(secure, host, port or (443 if secure else 80)), path, _basic(parts))

    async def _addresses(self, host: str) -> list[str]:
        """What the host means now. Raises when one of its addresses is not public, unless such are allowed."""
        try:
            found = await resolve(host)
        except OSError as error:
            raise invalid(f"Cannot resolve Webhook URL hostname '{host}': {error}") from error
        if not self._private and (wrong := first_not_public(found)):
            shown = str(ip_address(wrong))
            raise invalid(f"Webhook URL must not resolve to a non-public IP address. '{host}' resolves to {shown}.")
        return found


def _ascii(host: str, url: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise invalid(f"Invalid webhook URL '{url[:URL_LIMIT]}': {error}") from None


def _basic(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def headers_of(target: Target, payload: bytes, delivery_id: str, secret: str, now_s: int) -> dict[str, str]:
    """MLflow's headers. A receiver checks the signature, and by the time that it is no old message sent again."""
    headers = {
        "Host": target.origin.netloc,
        "User-Agent": "railtrack",
        "Accept": "*/*",
        "Connection": "close",
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": str(now_s),
    }
    if target.authorization:
        headers["Authorization"] = target.authorization
    if secret:
        headers["X-MLflow-Signature"] = signature(secret, delivery_id, now_s, payload)
    return headers


def signature(secret: str, delivery_id: str, now_s: int, payload: bytes) -> str:
    signed = f"{delivery_id}.{now_s}.".encode() + payload
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


async def _read(answer: HttpAnswer) -> Outcome:
    """The answer with the beginning of its body; that of one who hangs up amid it counts, too."""
    body = bytearray()
    try:
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= SHOWN_BYTES:
                    break
    except TransferError:
        pass
    text = bytes(body[:SHOWN_BYTES]).decode("utf-8", "replace")
    return Outcome(answer.status, text, retry_after_s=_seconds(answer.headers.get("retry-after", "")))


def _seconds(retry_after: str) -> float | None:
    """Of a Retry-After header: seconds, or the time of day."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
