"""A client for one bucket of an S3-compatible store: signed requests, retries, regions, and errors as ApiErrors.

No request carries `x-amz-checksum-*` or `aws-chunked`, which R2, B2 and older MinIO reject. Artifacts are in store.py.
"""

import asyncio
import hashlib
import logging
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from railtrack.artifacts.s3.signing import UNRESERVED, Credentials, Query, Signer, encode_query
from railtrack.artifacts.store import error_log
from railtrack.backoff import backoff_s
from railtrack.errors import ApiError, invalid, not_processed, unavailable
from railtrack.http_client.client import (
    Body,
    HttpClient,
    HttpResponse,
    NotConnectedError,
    Origin,
    TransferError,
    UntrustedError,
    chunks_of,
)

log = logging.getLogger("railtrack")

ATTEMPTS = 4
RETRY_WINDOW_S = 20.0
"""No retry starts later than this after the first attempt: the client waits 120 s, and may retry by itself."""
CALL_TIMEOUT_S = 60.0
"""For all attempts of a call, to the end of the response. Reading the bytes of an artifact is not part of a call."""
FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.3, 3.0
RESPONSE_BYTES = 16 * 1024 * 1024
"""The longest response that is read as a whole: 1,000 keys of 1,024 characters, all escaped."""
CONFIGURATION_CODES = frozenset(
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
    )
)
"""Codes for a wrong access key, clock or bucket of this server."""
RETRYABLE_STATUSES = frozenset((429, 500, 502, 503, 504))
RETRYABLE_CODES = frozenset(("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "OperationAborted"))
WRONG_REGION_CODES = frozenset(("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocation"))
"""The bucket is in another region than the request was signed for."""
REGION = re.compile(r"[a-z0-9-]{1,40}")
"""A valid region. The store reports it, and it becomes a part of a host name."""
EMPTY_SHA256 = hashlib.sha256().hexdigest()

T = TypeVar("T")


class S3Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class S3Error(Exception):
    """An error response of the store."""

    def __init__(self, status: int, code: str, message: str, region: str = "") -> None:
        """`region`: the region that the store reports for the bucket, if the request was sent to another one."""
        super().__init__(f"{code}: {message}" if message else code)
        self.region = region
        self.status = status
        self.code = code
        self.message = message

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed in a moment."""
        return self.status in RETRYABLE_STATUSES or self.code in RETRYABLE_CODES


class Bucket:
    """The bucket `name` at an endpoint. `credentials` is called before every request, so they may change.

    `path`: of the endpoint, before the bucket. `ignores_tls`: trust any certificate.
    `headers`: of every request that the server sends. `upload_headers`: of those that create an object.
    `endpoint_in_region`: returns the endpoint of a region, to follow a bucket; None if a setting fixes the region.
    """

    def __init__(
        self,
        name: str,
        endpoint: Origin,
        region: str,
        credentials: Callable[[], Awaitable[Credentials]],
        *,
        virtual_host: bool,
        path: str = "",
        ca_bundle: str = "",
        ignores_tls: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
        upload_headers: Mapping[str, str] = MappingProxyType({}),
        endpoint_in_region: Callable[[str], Origin] | None = None,
    ) -> None:
        self.name = name
        self._credentials = credentials
        self._virtual_host = virtual_host
        self._ca_bundle = ca_bundle
        self._ignores_tls = ignores_tls
        self._endpoint_path = path
        self._headers = headers
        self.upload_headers = {"content-type": "application/octet-stream", **upload_headers}
        """Sent with each request that creates an object."""
        self.has_ranges = True
        """False once the store has answered a request for a range with status 200."""
        self._endpoint_in_region = endpoint_in_region
        self._base = path if virtual_host else f"{path}/{quote(name, safe=UNRESERVED)}"
        self._connect_to(endpoint, region)

    def _connect_to(self, endpoint: Origin, region: str) -> None:
        self.endpoint = endpoint
        self._region = region
        self._origin = endpoint._replace(host=f"{self.name}.{endpoint.host}") if self._virtual_host else endpoint
        self._http = HttpClient(self._origin, ca_bundle=self._ca_bundle, ignores_tls=self._ignores_tls)

    def __str__(self) -> str:
        return f"the bucket '{self.name}' at {self.endpoint_url}"

    @property
    def endpoint_url(self) -> str:
        return f"{self.endpoint.url}{self._endpoint_path}"

    @property
    def signs_bodies(self) -> bool:
        """Whether artifacts are signed with their digest: it is a third of an upload's cost, and needless over TLS."""
        return not self.endpoint.secure

    async def call(
        self,
        method: str,
        key: str,
        query: Query = (),
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        *,
        sha256: str | None = None,
    ) -> S3Response:
        """Send a request and return the whole response. `sha256`: the body's digest, if known, or UNSIGNED_PAYLOAD.

        Raise S3Error, or an ApiError if the store can't be reached.
        """
        digest = sha256 or hashlib.sha256(b"".join(chunks_of(body))).hexdigest()

        async def attempt() -> S3Response:
            response = await self._send(method, key, query, body, digest, {**self._headers, **(headers or {})})
            content = await response.read(RESPONSE_BYTES)
            # The completion of an upload may begin with status 200 and end with an error.
            if response.status >= 300 or (method == "POST" and _is_error(content)):
                raise s3_error(response, content)
            return S3Response(response.status, response.headers, content)

        return await self._with_retries(attempt)

    async def open(self, key: str, headers: Mapping[str, str]) -> HttpResponse:
        """Return the response with the object, whose bytes are still to be read. Raise as call() does."""

        async def attempt() -> HttpResponse:
            response = await self._send("GET", key, (), b"", EMPTY_SHA256, {**self._headers, **headers})
            if response.status >= 300:
                raise s3_error(response, await response.read(RESPONSE_BYTES))
            return response

        return await self._with_retries(attempt)

    async def presign(self, method: str, key: str, seconds: int, query: Query = ()) -> str:
        """Return a URL that sends this request without credentials, for `seconds` or until the credentials expire."""
        credentials = await self._credentials()
        seconds = int(min(seconds, credentials.expires - time.time()))
        signer = Signer(credentials, self._region)
        path = self._path(key)
        return f"{self._origin.url}{path}?{signer.query(method, self._origin.netloc, path, query, seconds)}"

    async def fetch(
        self, method: str, url: str, body: Body = b"", headers: Mapping[str, str] | None = None
    ) -> S3Response:
        """Use a URL of presign() as a client would. Raise TransferError."""
        target = url.removeprefix(self._origin.url)
        response = await self._http.send(method, target, {"host": self._origin.netloc, **(headers or {})}, body)
        return S3Response(response.status, response.headers, await response.read(RESPONSE_BYTES))

    async def date(self) -> str:
        """Return the store's Date header, "" without one. Needs no credentials. Raise TransferError."""
        response = await self._http.send("GET", "/", {"host": self._origin.netloc})
        response.close()
        return response.headers.get("date", "")

    def close(self) -> None:
        self._http.close()

    async def _send(
        self, method: str, key: str, query: Query, body: Body, sha256: str, headers: Mapping[str, str]
    ) -> HttpResponse:
        signer = Signer(await self._credentials(), self._region)
        path = self._path(key)
        signed = signer.headers(method, self._origin.netloc, path, query, headers, sha256)
        return await self._http.send(method, f"{path}?{encode_query(query)}" if query else path, signed, body)

    def _path(self, key: str) -> str:
        return f"{self._base}/{quote(key, safe=UNRESERVED + '/')}"

    async def _with_retries(self, attempt: Callable[[], Awaitable[T]]) -> T:
        start = time.monotonic()
        was_sent = False
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                for retries_left in reversed(range(ATTEMPTS)):
                    try:
                        return await attempt()
                    except UntrustedError as error:
                        raise self.untrusted(error) from error
                    except (TransferError, S3Error) as error:
                        if isinstance(error, S3Error) and not error.is_retryable:
                            if retries_left and self._follow_region(error.region):
                                continue
                            raise
                        was_sent = was_sent or not isinstance(error, NotConnectedError)
                        if not retries_left or time.monotonic() - start > RETRY_WINDOW_S:
                            raise self.unreachable(error, was_sent=was_sent) from error
                    await asyncio.sleep(backoff_s(ATTEMPTS - 1 - retries_left, FIRST_PAUSE_S, PAUSE_LIMIT_S))
        except TimeoutError as error:
            raise self.unreachable(TransferError(f"no response in {CALL_TIMEOUT_S:.0f} s")) from error
        raise AssertionError("the last attempt returns or raises")

    def _follow_region(self, region: str) -> bool:
        """Use the region that the store reports for the bucket. Return False if a setting fixes another one."""
        if self._endpoint_in_region is None or not REGION.fullmatch(region):
            return False
        if region != self._region:  # else a concurrent request has followed it already
            self._http.close()
            self._connect_to(self._endpoint_in_region(region), region)
            log.info("artifact store: the bucket '%s' is in the region %s", self.name, region)
        return True

    def unreachable(self, error: Exception, *, was_sent: bool = False) -> ApiError:
        """Log the error, and return it as the client gets it. `was_sent`: by an earlier attempt."""
        error_log.error("%s: %s", self, error)
        message = f"The artifact store does not answer: {self}: {error}"
        # Without a connection the store has not seen the request: even a creation may be repeated.
        is_unseen = isinstance(error, NotConnectedError) and not was_sent
        return not_processed(message) if is_unseen else unavailable(message)

    def untrusted(self, error: UntrustedError) -> ApiError:
        """Log the error, and return it as the client gets it: 502 Bad Gateway, which clients do not retry."""
        error_log.error("%s: %s", self, error)
        return ApiError("INTERNAL_ERROR", f"No secure connection to the artifact store: {self}: {error}", status=502)


def s3_error(response: HttpResponse, content: bytes) -> S3Error:
    """Return the error in the response's XML, or one made of its status."""
    root = parse(content) if content.lstrip().startswith(b"<") else None
    code = text_of(root, "Code") if root is not None else ""
    message = text_of(root, "Message") if root is not None else ""
    region = ""
    if response.status == 301 or code in WRONG_REGION_CODES:
        region = response.headers.get("x-amz-bucket-region") or (text_of(root, "Region") if root is not None else "")
        message = f"the bucket is in another region{f' ({region})' if region else ''}; set AWS_REGION"
    return S3Error(response.status, code or f"HTTP {response.status}", message[:300], region)


def _is_error(content: bytes) -> bool:
    root = parse(content)
    return root is not None and root.tag.endswith("Error")


def parse(content: bytes) -> ElementTree.Element | None:
    """Return the XML of a response, None if it is something else. The operator chose the store, bodies are bounded."""
    try:
        # A store that takes long to complete an upload sends blanks first, to keep the connection open.
        return ElementTree.fromstring(content.strip())  # noqa: S314 (expat rejects entity bombs since 2.4.1)
    except ElementTree.ParseError:
        return None


def text_of(element: ElementTree.Element, name: str) -> str:
    """Return the text of the child `name` in any namespace: not every store sends Amazon's."""
    return element.findtext(f"{{*}}{name}") or ""


def api_error(bucket: Bucket, error: S3Error, key: str) -> ApiError:
    """Return the store's error as the client gets it. Log it if the operator can fix it."""
    match error.code:
        case "EntityTooLarge" | "KeyTooLongError" | "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall":
            return invalid(f"The artifact store cannot take '{key}': {error}")
        case "NoSuchUpload":
            return invalid(f"There is no such multipart upload of '{key}': it was completed, aborted or has expired.")
    error_log.error("%s: %s at '%s'", bucket, error, key)
    if error.code in CONFIGURATION_CODES:
        # Not the client's fault: its retry may meet a server with new keys.
        return unavailable(f"The artifact store rejects this server: {bucket}: {error}")
    return ApiError("PERMISSION_DENIED", f"The artifact store rejects '{key}': {bucket}: {error}")
