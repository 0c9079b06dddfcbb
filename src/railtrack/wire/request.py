"""From HTTP to a typed request: the raw HttpRequest, and the Request structs decoded from a JSON body or a query.

A well-formed body takes the fast way (msgspec, straight into the struct). Whatever that refuses takes the
lenient way, which knows the JSON rules of protobuf and MLflow's complaints (wire/protobuf_json.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from railtrack.errors import ApiError, bad_request, invalid
from railtrack.wire.protobuf_json import convert, convert_query, json_object, reject_nul

BODY_LIMIT = 20 * 1024 * 1024
"""Bytes of a JSON body. MLflow's clients cut their batches at 1 MB, but the profile of a dataset may have 16 MB."""
LARGE_BODY = 1024 * 1024
LARGE_AT_ONCE = 1
"""Bodies above LARGE_BODY that a worker holds at a time, from reading one to answering it; the others wait."""
BODY_LIMIT_S = 60
STALL_LIMIT_S = 45
"""How long the next bytes of a streamed body may take to come. The server itself sets no limit for it."""
LENIENT_LIMIT = 2 * 1024 * 1024
"""Bytes up to which a body is read leniently; what that makes of it takes up to 20 times its size in memory."""
DISCARD_LIMIT = 5 * BODY_LIMIT
"""Bytes of a refused body that are taken off the wire, so that its sender gets to read the refusal."""

QUERY_FIELDS_LIMIT = 10_000

RequiredStr = Annotated[str, msgspec.Meta(min_length=1)]
"""A string that must be given; MLflow takes an empty one for a missing one."""
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Request(msgspec.Struct, kw_only=True):
    """A decoded request; the fields in the order in which MLflow checks them."""

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Older or alternative wire names: `{"run_uuid": "run_id"}`."""


T = TypeVar("T", bound=Request)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was read or its answer was sent."""


class HttpRequest:
    """One request as it came: method, path parameters, query, headers, and the body as bytes or as a stream."""

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
        self._fields: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of those sent twice
        self.params: dict[str, str] = {}
        # What became of it, for whoever watches: the route (None: none was found), bytes of both bodies, and the
        # status, 0 while it is not answered.
        self.route: object = None
        self.received = 0
        self.sent = 0
        self.status = 0

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent, before percent-decoding."""
        raw: bytes = self._scope.get("raw_path") or self.path.encode()
        return raw.split(b"?", 1)[0]

    @property
    def raw_query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    @property
    def peer(self) -> str:
        """The address at the other end of the connection, a proxy's where there is one; "" when it is not known."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def header_list(self, name: bytes) -> list[str]:
        """The values of a header that is a list, however many times it was sent."""
        if name not in self._fields:
            return []
        sent = b",".join(value for key, value in self._scope["headers"] if key == name)
        return sent.decode("latin-1").split(",")

    def header(self, name: bytes) -> str:
        """The header's value, "" when it was not sent; `name` in lower case."""
        value = self._fields.get(name)
        return value.decode("latin-1") if value else ""

    def has_version(self, etag: str) -> bool:
        """Whether If-None-Match names the version that `etag` (in its quotes) stands for: 304 is then enough."""
        known = [tag.strip().removeprefix("W/") for tag in self.header(b"if-none-match").split(",")]
        return etag.removeprefix("W/") in known or known == ["*"]

    @property
    def query(self) -> dict[str, list[str]]:
        """Query parameters, each with all its values in the order sent."""
        found: dict[str, list[str]] = {}
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
            found.setdefault(key, []).append(value)
        return found

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, of any length, in the pieces it arrives in; refused when nothing comes for STALL_LIMIT_S.

        Raises ClientGone when the client hangs up half-way.
        """
        pieces = self._pieces()
        while True:
            try:
                async with asyncio.timeout(STALL_LIMIT_S):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                message = f"The request body was given up: nothing of it came for {STALL_LIMIT_S} s."
                raise ApiError("BAD_REQUEST", message, status=408) from None
            yield piece

    async def _pieces(self) -> AsyncIterator[bytes]:
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
        """Return when the client hangs up: send() never says so itself."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body, refused when it is longer than `limit` bytes."""
        whole: bytes | None = self._scope.get("body")  # where it came with the head: http_server/exchange.py
        if whole is not None and len(whole) <= min(limit, LARGE_BODY):
            self.received = len(whole)
            return whole
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                return await self._whole_body(limit)
        except TimeoutError:
            raise bad_request(f"The request body did not arrive within {BODY_LIMIT_S} s.") from None

    async def _whole_body(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        length = 0
        async for piece in self._pieces():
            length += len(piece)
            if length > DISCARD_LIMIT:
                break
            if length > limit:
                pieces.clear()
                continue
            if length > LARGE_BODY and not self._has_room:
                await _room.acquire()
                self._has_room = True
            pieces.append(piece)
        if length > limit:
            raise ApiError("BAD_REQUEST", f"The request body is longer than {limit} bytes.", status=413)
        return b"".join(pieces)

    def release(self) -> None:
        """Let the next large body in; the dispatcher calls it once the request is answered."""
        if self._has_room:
            self._has_room = False
            _room.release()


_room = asyncio.Semaphore(LARGE_AT_ONCE)


class Decoder(Generic[T]):
    """Turns bodies and queries into one struct type; one for each endpoint, made once."""

    def __init__(self, struct: type[T]) -> None:
        self._struct = struct
        self._fast = msgspec.json.Decoder(struct)

    async def decode(self, http: HttpRequest) -> T:
        """The struct from the query (GET) or the JSON body (all else), path parameters over both."""
        if http.method in ("GET", "HEAD"):
            return self._from_query(http)
        body = await http.body()
        if body:
            _check_content_type(http)
        may_hold_nul = b"\\u0000" in body
        try:
            if not http.params and not may_hold_nul:
                return self._fast.decode(body)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if len(body) > LENIENT_LIMIT:
                raise invalid(f"The request body is not as expected: {error}") from None
        if len(body) > LENIENT_LIMIT:
            raise invalid(f"A request body of this kind may have {LENIENT_LIMIT} bytes at the most.")
        data = json_object(body)
        if may_hold_nul:
            reject_nul(data)
        return convert(data | http.params, self._struct)

    def _from_query(self, http: HttpRequest) -> T:
        query = {**http.query, **{name: [value] for name, value in http.params.items()}}
        reject_nul(query)
        return convert_query(query, self._struct)


def _check_content_type(http: HttpRequest) -> None:
    """Browsers send other types across sites without asking first, so this is a guard as much as a courtesy."""
    content_type = http.header(b"content-type")
    if not content_type:
        raise invalid("Bad Request. Content-Type header is missing.")
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
