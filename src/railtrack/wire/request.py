"""HTTP requests, and the request structs that are decoded from a JSON body or a query string.

Decoding is strict and fast first (msgspec). What that rejects is decoded again by protobuf's lenient rules, which also
produce MLflow's error messages (protobuf_json.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from railtrack.errors import ApiError, invalid
from railtrack.wire.json_limits import JsonLimitError, check_json_limits
from railtrack.wire.protobuf_json import convert, convert_query, json_object, reject_nul
from railtrack.wire.turns import in_turn

BODY_LIMIT = 20 * 1024 * 1024
"""Bytes of a JSON body. MLflow's clients split batches at 1 MB, but a dataset's profile may have 16 MB."""
LARGE_BODY = 1024 * 1024
LARGE_BODIES_AT_ONCE = 1
"""Bodies above LARGE_BODY bytes that a worker holds at a time, from reading to the response. Others wait."""
BODY_TIMEOUT_S = 60
STALL_TIMEOUT_S = 45
"""How long the next bytes of a streamed body may take. The HTTP server itself has no limit for it."""
LENIENT_LIMIT = 2 * 1024 * 1024
"""Bytes of a body that may be decoded leniently, which takes up to 20 times its size in memory."""
DISCARD_LIMIT = 5 * BODY_LIMIT
"""Bytes of a rejected body that are read and dropped, so that the client reads the response instead of failing."""

IN_TURN_BYTES = 32 * 1024
"""Larger bodies are decoded one at a time, with other events in between: 0.1 ms for each 32 kB, leniently 3 ms."""
QUERY_FIELDS_LIMIT = 10_000
ESCAPED_NUL = rb"\u0000"

RequiredStr = Annotated[str, msgspec.Meta(min_length=1)]
"""A required string. MLflow treats an empty one as missing."""
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Request(msgspec.Struct, kw_only=True):
    """A decoded request. The fields are in the order in which MLflow validates them."""

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Older or alternative wire names: `{"run_uuid": "run_id"}`."""


T = TypeVar("T", bound=Request)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before the request was read or the response was sent."""


class HttpRequest:
    """A request: method, path parameters, query, headers, and the body as bytes or as a stream."""

    __slots__ = (
        "_fields",
        "_has_room",
        "_receive",
        "_scope",
        "method",
        "params",
        "path",
        "received",
        "route",
        "sent",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._has_room = False
        self.method: str = scope.get("method", "")
        self.path: str = scope.get("path", "")
        self._fields: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of repeated headers
        self.params: dict[str, str] = {}
        # For observers: the matched route or None, the bytes of both bodies, and the status, which is 0 until the
        # response is sent.
        self.route: object = None
        self.received = 0
        self.sent = 0
        self.status = 0

    @property
    def raw_path(self) -> bytes:
        """Return the path as it was sent, before percent-decoding."""
        raw: bytes = self._scope.get("raw_path") or self.path.encode()
        return raw.split(b"?", 1)[0]

    @property
    def raw_query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    @property
    def peer(self) -> str:
        """Return the address at the other end of the connection, which may be a proxy's, or "" if it is unknown."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def header_list(self, name: bytes) -> list[str]:
        """Return the comma-separated values of a header, also if it was sent several times."""
        if name not in self._fields:
            return []
        sent = b",".join(value for key, value in self._scope["headers"] if key == name)
        return sent.decode("latin-1").split(",")

    def header(self, name: bytes) -> str:
        """Return the header's value, or "" if it was not sent. `name` is in lower case."""
        value = self._fields.get(name)
        return value.decode("latin-1") if value else ""

    def has_version(self, etag: str) -> bool:
        """Return True if If-None-Match contains `etag`, which is in quotes."""
        known = [tag.strip().removeprefix("W/") for tag in self.header(b"if-none-match").split(",")]
        return etag.removeprefix("W/") in known or known == ["*"]

    @property
    def query(self) -> dict[str, list[str]]:
        """Return the query parameters, each with all its values in the order sent."""
        parameters: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(
                self._scope["query_string"].decode("latin-1"),
                keep_blank_values=True,
                max_num_fields=QUERY_FIELDS_LIMIT,
                errors="strict",
            )
        except UnicodeDecodeError:
            raise invalid("The query string is not valid UTF-8.") from None
        except ValueError:
            raise invalid(f"The query string has more than {QUERY_FIELDS_LIMIT} parameters.") from None
        for key, value in pairs:
            parameters.setdefault(key, []).append(value)
        return parameters

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body's chunks as they arrive, of any total length.

        Raise a 408 if none arrives for STALL_TIMEOUT_S, ClientGone if the client closes the connection.
        """
        chunks = self._chunks()
        while True:
            try:
                async with asyncio.timeout(STALL_TIMEOUT_S):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                message = f"The request body timed out: no data arrived for {STALL_TIMEOUT_S} s."
                raise ApiError("BAD_REQUEST", message, status=408) from None
            yield chunk

    async def _chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if body := message.get("body"):
                self.received += len(body)
                yield body
            more = message.get("more_body", False)

    async def disconnected(self) -> None:
        """Return when the client closes the connection, which send() doesn't report."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """Return the whole body. Raise a 413 if it is longer than `limit` bytes, a 408 if it takes too long."""
        body: bytes | None = self._scope.get("body")  # set by http_server if it came with the head
        if body is not None and len(body) <= min(limit, LARGE_BODY):
            self.received = len(body)
            return body
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._read_body(limit)
        except TimeoutError:
            # Clients repeat a request after 408, but not after 400.
            message = f"The request body did not arrive within {BODY_TIMEOUT_S} s."
            raise ApiError("BAD_REQUEST", message, status=408) from None

    async def _read_body(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        length = 0
        async for chunk in self._chunks():
            length += len(chunk)
            if length > DISCARD_LIMIT:
                break
            if length > limit:
                chunks.clear()
                continue
            if length > LARGE_BODY and not self._has_room:
                await _room.acquire()
                self._has_room = True
            chunks.append(chunk)
        if length > limit:
            raise ApiError("BAD_REQUEST", f"The request body is longer than {limit} bytes.", status=413)
        return b"".join(chunks)

    def release(self) -> None:
        """Let the next large body in. The dispatcher calls this after the response."""
        if self._has_room:
            self._has_room = False
            _room.release()


_room = asyncio.Semaphore(LARGE_BODIES_AT_ONCE)


class Decoder(Generic[T]):
    """Decode bodies and queries into a struct. Each endpoint has one decoder."""

    def __init__(self, struct: type[T]) -> None:
        self._struct = struct
        self._fast = msgspec.json.Decoder(struct)

    async def decode(self, http: HttpRequest) -> T:
        """Return the struct from the query (GET) or the JSON body (other methods). Path parameters override both."""
        if http.method in ("GET", "HEAD"):
            return self._from_query(http)
        body = await http.body()
        if body:
            _check_content_type(http)
        is_short = len(body) < IN_TURN_BYTES
        request = self._strictly(http, body) if is_short else await in_turn(self._strictly, http, body)
        return await in_turn(self._leniently, http, body) if request is None else request

    def _strictly(self, http: HttpRequest, body: bytes) -> T | None:
        """Return the struct, or None if the body needs lenient decoding."""
        try:
            check_json_limits(body)
            return None if http.params or ESCAPED_NUL in body else self._fast.decode(body)
        except JsonLimitError as error:
            raise invalid(str(error)) from None
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if len(body) > LENIENT_LIMIT:
                raise invalid(f"The request body is invalid: {error}") from None
        return None

    def _leniently(self, http: HttpRequest, body: bytes) -> T:
        if len(body) > LENIENT_LIMIT:
            raise invalid(
                f"The request body has {len(body)} bytes. A body that needs lenient decoding may have {LENIENT_LIMIT}."
            )
        data = json_object(body)
        if ESCAPED_NUL in body:
            reject_nul(data)
        return convert(data | http.params, self._struct)

    def _from_query(self, http: HttpRequest) -> T:
        query = {**http.query, **{name: [value] for name, value in http.params.items()}}
        reject_nul(query)
        return convert_query(query, self._struct)


def _check_content_type(http: HttpRequest) -> None:
    """Raise unless it is JSON. This also protects from other sites: browsers send other types without a preflight."""
    content_type = http.header(b"content-type")
    if not content_type:
        raise invalid("Bad Request. Content-Type header is missing.")
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
