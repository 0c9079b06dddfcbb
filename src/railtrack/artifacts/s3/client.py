"""One bucket of an S3-compatible store: signed calls, sent again when the store asks for it or the connection breaks,
and the store's errors as ours. What artifacts are made of is in s3.py.

No call sends `x-amz-checksum-*` or `aws-chunked`, which R2, B2 and older MinIO refuse.
"""

import asyncio
import hashlib
import logging
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Awaitable, Callable, Mapping
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
"""No further attempt is begun this long after the first: the client waits 120 s, and may itself try again."""
CALL_LIMIT_S = 60.0
"""All attempts of a call together, to the end of the answer; the bytes of an artifact are not a part of it."""
FIRST_PAUSE_S, PAUSE_LIMIT_S = 0.3, 3.0
ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer that is read whole: 1,000 keys of 1,024 characters, each escaped."""
SETTINGS_FAULTS = frozenset(
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
    )
)
"""The server's keys, clock or bucket are not right (any more)."""
PASSING = frozenset((429, 500, 502, 503, 504))
PASSING_CODES = frozenset(("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "OperationAborted"))
ELSEWHERE = frozenset(("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocation"))
"""The bucket is in another region than the request was signed for."""
REGION = re.compile(r"[a-z0-9-]{1,40}")
"""What a region is called; it becomes a part of a host name, and comes from an answer."""
NOTHING = hashlib.sha256().hexdigest()

T = TypeVar("T")


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class S3Refusal(Exception):
    """What the store said no with: its status, code and words."""

    def __init__(self, status: int, code: str, message: str, region: str = "") -> None:
        """`region`: where the store says that the bucket is, when it is not where it was asked for."""
        super().__init__(f"{code}: {message}" if message else code)
        self.region = region
        self.status = status
        self.code = code
        self.message = message

    @property
    def passing(self) -> bool:
        """The same request may do better in a moment."""
        return self.status in PASSING or self.code in PASSING_CODES


class Bucket:
    """`name` at the origin; `credentials` is asked before every call, so they may change.

    `elsewhere` says where a region's buckets are; None where a setting has the region, which then isn't left.
    """

    def __init__(
        self,
        name: str,
        endpoint: Origin,
        region: str,
        credentials: Callable[[], Awaitable[Credentials]],
        *,
        virtual_host: bool,
        ca_bundle: str = "",
        elsewhere: Callable[[str], Origin] | None = None,
    ) -> None:
        self.name = name
        self._credentials = credentials
        self._virtual_host = virtual_host
        self._ca_bundle = ca_bundle
        self._elsewhere = elsewhere
        self._base = "" if virtual_host else f"/{quote(name, safe=UNRESERVED)}"
        self._settle(endpoint, region)

    def _settle(self, endpoint: Origin, region: str) -> None:
        self.endpoint = endpoint
        self._region = region
        self._origin = endpoint._replace(host=f"{self.name}.{endpoint.host}") if self._virtual_host else endpoint
        self._http = HttpClient(self._origin, ca_bundle=self._ca_bundle)

    def __str__(self) -> str:
        return f"the bucket '{self.name}' at {self.endpoint.url}"

    @property
    def signs_bodies(self) -> bool:
        """Whether artifacts are signed with their digest: a third of the price of an upload, and needless over TLS."""
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
    ) -> Answer:
        """The whole answer; `sha256` is the body's, where it is known, or UNSIGNED_PAYLOAD.

        Raises S3Refusal, or an ApiError when the store cannot be reached.
        """

        digest = sha256 or hashlib.sha256(b"".join(chunks_of(body))).hexdigest()

        async def once() -> Answer:
            answer = await self._send(method, key, query, body, digest, headers or {})
            content = await answer.read(ANSWER_BYTES)
            # Completing an upload may begin with 200 and end with an error.
            if answer.status >= 300 or (method == "POST" and _is_error(content)):
                raise refusal_of(answer, content)
            return Answer(answer.status, answer.headers, content)

        return await self._retried(once)

    async def open(self, key: str, headers: Mapping[str, str]) -> HttpResponse:
        """The object, its bytes still to be read. Raises as call() does."""

        async def once() -> HttpResponse:
            answer = await self._send("GET", key, (), b"", NOTHING, headers)
            if answer.status >= 300:
                raise refusal_of(answer, await answer.read(ANSWER_BYTES))
            return answer

        return await self._retried(once)

    async def presign(self, method: str, key: str, seconds: int, query: Query = ()) -> str:
        """A URL with which anyone may send this request for `seconds`, or as long as the credentials hold."""
        credentials = await self._credentials()
        seconds = int(min(seconds, credentials.expires - time.time()))
        signer = Signer(credentials, self._region)
        path = self._path(key)
        return f"{self._origin.url}{path}?{signer.query(method, self._origin.netloc, path, query, seconds)}"

    async def fetch(self, method: str, url: str, body: Body = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """What a client gets that uses a URL of presign(). Raises TransferError."""
        target = url.removeprefix(self._origin.url)
        answer = await self._http.send(method, target, {"host": self._origin.netloc, **(headers or {})}, body)
        return Answer(answer.status, answer.headers, await answer.read(ANSWER_BYTES))

    async def date(self) -> str:
        """The Date header that any answer has, a refusal too; "" without one. Raises TransferError."""
        answer = await self._http.send("GET", "/", {"host": self._origin.netloc})
        answer.close()
        return answer.headers.get("date", "")

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

    async def _retried(self, once: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                return await self._attempts(once)
        except TimeoutError as error:
            raise self.unreachable(TransferError(f"no answer in {CALL_LIMIT_S:.0f} s")) from error

    async def _attempts(self, once: Callable[[], Awaitable[T]]) -> T:
        begun = time.monotonic()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await once()
            except UntrustedError as error:
                raise self.untrusted(error) from error
            except (TransferError, S3Refusal) as error:
                if isinstance(error, S3Refusal) and not error.passing:
                    if attempt < ATTEMPTS and self._follow(error.region):
                        continue
                    raise
                if attempt == ATTEMPTS or time.monotonic() - begun > RETRY_WINDOW_S:
                    raise self.unreachable(error) from error
            await asyncio.sleep(backoff_s(attempt - 1, FIRST_PAUSE_S, PAUSE_LIMIT_S))
        raise AssertionError("the last attempt returns or raises")

    def _follow(self, region: str) -> bool:
        """Whether the next request goes to another region: the bucket is there, and no setting says where."""
        if self._elsewhere is None or not REGION.fullmatch(region):
            return False
        if region != self._region:  # else a request that was under way at the same time has found it
            self._http.close()
            self._settle(self._elsewhere(region), region)
            log.info("artifact store: the bucket '%s' is in the region %s", self.name, region)
        return True

    def unreachable(self, error: Exception) -> ApiError:
        error_log.error("%s: %s", self, error)
        message = f"The artifact store does not answer: {self}: {error}"
        # Without a connection the store has seen nothing of the request, so that even a creation may be repeated.
        return not_processed(message) if isinstance(error, NotConnectedError) else unavailable(message)

    def untrusted(self, error: UntrustedError) -> ApiError:
        """502 Bad Gateway: the store may be well, but is not to be spoken with."""
        error_log.error("%s: %s", self, error)
        return ApiError("INTERNAL_ERROR", f"No secure connection to the artifact store: {self}: {error}", status=502)


def refusal_of(answer: HttpResponse, content: bytes) -> S3Refusal:
    """The refusal that an answer's XML tells of, or else its status."""
    found = parse(content) if content.lstrip().startswith(b"<") else None
    code = text_of(found, "Code") if found is not None else ""
    message = text_of(found, "Message") if found is not None else ""
    region = ""
    if answer.status == 301 or code in ELSEWHERE:
        region = answer.headers.get("x-amz-bucket-region") or (text_of(found, "Region") if found is not None else "")
        message = f"the bucket is in another region{f' ({region})' if region else ''}; set AWS_REGION"
    return S3Refusal(answer.status, code or f"HTTP {answer.status}", message[:300], region)


def _is_error(content: bytes) -> bool:
    found = parse(content)
    return found is not None and found.tag.endswith("Error")


def parse(content: bytes) -> ElementTree.Element | None:
    """The XML of an answer, None when it is none. It comes from the store that the operator chose, and is bounded."""
    try:
        # Blanks may come first: a store that takes long to complete an upload sends them to keep the connection.
        return ElementTree.fromstring(content.strip())  # noqa: S314 (expat refuses entity bombs since 2.4.1)
    except ElementTree.ParseError:
        return None


def text_of(element: ElementTree.Element, name: str) -> str:
    """The text of the child `name`, in whatever namespace: not every store sends Amazon's."""
    return element.findtext(f"{{*}}{name}") or ""


def refused(bucket: Bucket, error: S3Refusal, key: str) -> ApiError:
    """The store's refusal as the client is told of it. Trouble of the operator's is logged."""
    match error.code:
        case "EntityTooLarge" | "KeyTooLongError" | "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall":
            return invalid(f"The artifact store cannot take '{key}': {error}")
        case "NoSuchUpload":
            return invalid(f"There is no such multipart upload of '{key}': it was completed, aborted or has expired.")
    error_log.error("%s: %s at '%s'", bucket, error, key)
    if error.code in SETTINGS_FAULTS:
        # Not the client's fault, and a server with new keys may answer it in a moment: its upload is worth another try.
        return unavailable(f"The artifact store refuses this server: {bucket}: {error}")
    return ApiError("PERMISSION_DENIED", f"The artifact store refuses '{key}': {bucket}: {error}")
