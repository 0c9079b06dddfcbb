"""One attempt to POST a payload to a webhook's URL: which URLs are allowed, the request, and the result. No retries."""

import asyncio
import base64
import re
import time
from collections.abc import Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from railtrack.errors import ApiError, invalid
from railtrack.http_client.client import HttpClient, HttpResponse, Origin, TransferError
from railtrack.http_client.ssrf import first_not_public, resolve
from railtrack.webhooks.signing import delivery_headers

URL_LIMIT = 500
"""Characters of MLflow's column."""
RESPONSE_BYTES_READ = 64 * 1024
INVALID_URL_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
UNQUOTED_IN_PATHS = "%/:=&?~+!$,;'@()*[]"


class Target(NamedTuple):
    """A parsed webhook URL. `authorization`: the header for its user and password, "" if it has none."""

    origin: Origin
    path: str
    authorization: str


class DeliveryResult(NamedTuple):
    """The result of one attempt: the receiver's response, or an error if there was no response."""

    status: int | None = None
    body: str = ""
    error: str = ""
    retry_after_s: float | None = None
    is_permanent: bool = False
    """There was no response, and another attempt would fail in the same way."""

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_retryable(self) -> bool:
        """Another attempt may succeed: the receiver throttles, fails or was not reached."""
        if self.status is None:
            return not self.is_permanent
        return self.status == 429 or self.status >= 500


class WebhookSender:
    """Sends to URLs of the allowed schemes, and to private addresses only if `allow_private`."""

    def __init__(self, allowed_schemes: Sequence[str], *, allow_private: bool, timeout_s: float) -> None:
        self._allowed_schemes = allowed_schemes
        self._allow_private = allow_private
        self.timeout_s = timeout_s

    async def check_url(self, url: str) -> None:
        """Raise INVALID_PARAMETER_VALUE for a URL that nothing would be sent to, with MLflow's text if it has one.

        Its host name is resolved and checked again for each delivery.
        """
        target = self._parse(url)
        if len(url) > URL_LIMIT:
            raise invalid(f"'url' exceeds the maximum length of {URL_LIMIT} characters")
        if not self._allow_private:
            await self._resolve(target.origin.host)

    async def send(self, url: str, payload: bytes, delivery_id: str, secret: str) -> DeliveryResult:
        """Make one attempt. Redirects are not followed: they are the receiver's response."""
        try:
            async with asyncio.timeout(self.timeout_s):
                target = self._parse(url)
                client = HttpClient(target.origin, await self._resolve(target.origin.host))
                headers = delivery_headers(target.origin.netloc, payload, delivery_id, secret, int(time.time()))
                if target.authorization:
                    headers["Authorization"] = target.authorization
                return await _read(await client.send("POST", target.path, headers, payload))
        except ApiError as error:
            is_unresolved_name = isinstance(error.__cause__, OSError)
            return DeliveryResult(error=error.message, is_permanent=not is_unresolved_name)
        except TransferError as error:
            return DeliveryResult(error=str(error))
        except TimeoutError:
            return DeliveryResult(error=f"no response within {self.timeout_s:g} s")

    def _parse(self, url: str) -> Target:
        shown = url[:URL_LIMIT]
        if not url.strip():
            raise invalid(f"Webhook URL cannot be empty or just whitespace: {shown!r}")
        url = url.strip()
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise invalid(f"Invalid webhook URL '{shown}': {error!r}") from None
        if parts.scheme not in self._allowed_schemes:
            allowed = ", ".join(sorted(self._allowed_schemes))
            raise invalid(f"Invalid webhook URL scheme: '{parts.scheme}'. Allowed schemes are: {allowed}.")
        if not parts.hostname:
            raise invalid(f"Webhook URL must include a hostname: '{shown}'")
        if INVALID_URL_CHARACTERS.search(url) or port == 0:
            raise invalid(f"Invalid webhook URL '{shown}': it contains an invalid character or port")
        host = parts.hostname
        if not host.isascii():
            try:
                host = host.encode("idna").decode()
            except UnicodeError as error:
                raise invalid(f"Invalid webhook URL '{shown}': {error}") from None
        is_https = parts.scheme == "https"
        query = f"?{parts.query}" if parts.query else ""
        path = quote((parts.path or "/") + query, safe=UNQUOTED_IN_PATHS)
        authorization = ""
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        return Target(Origin(is_https, host, port or (443 if is_https else 80)), path, authorization)

    async def _resolve(self, host: str) -> list[str]:
        """Return the host's addresses. Raise INVALID_PARAMETER_VALUE if one is private and that isn't allowed."""
        try:
            addresses = await resolve(host)
        except OSError as error:
            raise invalid(f"Cannot resolve Webhook URL hostname '{host}': {error}") from error
        if not self._allow_private and (private := first_not_public(addresses)):
            raise invalid(
                f"Webhook URL must not resolve to a non-public IP address. '{host}' resolves to {ip_address(private)}."
            )
        return addresses


async def _read(response: HttpResponse) -> DeliveryResult:
    """Return the response with the beginning of its body. One whose body is cut short counts by its status."""
    body = bytearray()
    try:
        async with aclosing(response.chunks()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= RESPONSE_BYTES_READ:
                    break
    except TransferError:
        pass
    text = bytes(body[:RESPONSE_BYTES_READ]).decode("utf-8", "replace")
    return DeliveryResult(response.status, text, retry_after_s=_delay_s(response.headers.get("retry-after", "")))


def _delay_s(retry_after: str) -> float | None:
    """Parse a Retry-After header, which has seconds or a date; None for anything else."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
