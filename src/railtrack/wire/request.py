"""HTTP requests, and the request structs that are decoded from a JSON body or a query string.

Decoding is strict and fast first (msgspec). What that rejects is decoded again by protobuf's lenient rules, which also
produce MLflow's error messages (protobuf_json.py).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from railtrack.byte_budget import BUDGET, Share
from railtrack.errors import ApiError, invalid
from railtrack.wire.json_limits import JsonLimitError, check_json_limits
from railtrack.wire.protobuf_json import CamelCase, convert, convert_query, json_object, reject_nul
from railtrack.wire.turns import in_turn

BODY_LIMIT = 20 * 1024 * 1024
"""Bytes of a JSON body. MLflow's clients split batches at 1 MB, but a dataset's profile may have 16 MB."""
SMALL_BODY = 16 * 1024
"""Bodies up to this size are not reserved in the budget: the limit of connections bounds them."""
UNKNOWN_LENGTH = 1024 * 1024
"""What is reserved for a body in chunks, and doubled if it is longer. MLflow's clients always send the length."""
DECODED_FACTOR = 4
"""Bytes of a decoded body for each byte of JSON: by tracemalloc, 2.6 to 3.8 for batches of metrics.

Short tags take 5.2, but VALUES_LIMIT (json_limits.py) allows 0.35 MB of them.
"""
LENIENT_LIMIT = 2 * 1024 * 1024
"""Bytes of a body that may be decoded leniently, which takes up to 20 times its size in memory."""
DISCARD_LIMIT = 5 * BODY_LIMIT
"""Bytes of a rejected body that are read and dropped, so that the client reads the response instead of failing."""

IN_TURN_BYTES = 32 * 1024
"""Larger bodies are decoded one at a time, with other events in between: 0.1 ms for each 32 kB, leniently 3 ms."""
QUERY_FIELDS_LIMIT = 10_000
OF_ONE_REQUEST = frozenset((b"accept", b"accept-encoding", b"content-length", b"content-type", b"transfer-encoding"))
ESCAPED_NUL = rb"\u0000"

RequiredStr = Annotated[str, msgspec.Meta(min_length=1)]
"""A required string. MLflow treats an empty one as missing."""
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Request(msgspec.Struct, kw_only=True):
    """A decoded request. The fields are in the order in which MLflow validates them."""

    ALIASES: ClassVar[Mapping[str, str]] = {}
    """Older or alternative wire names: `{"run_uuid": "run_id"}`."""
    QUERY_WITHOUT_BODY: ClassVar[bool] = False
    """Whether a DELETE without a body is decoded from the query."""
    ACCEPTS_NUL: ClassVar[bool] = False
    """Whether texts may contain NUL, which the handler then has to replace before it stores them."""


T = TypeVar("T", bound=Request)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before the request was read or the response was sent."""


class HttpRequest:
    """A request: method, path parameters, query, headers, and the body as bytes or as a stream.

    `path` is percent-decoded and begins with one slash.
    """

    __slots__ = (
        "_fields",
        "_held",
        "_receive",
        "_scope",
        "counted_client",
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
        self._held = NOTHING_HELD
        self.counted_client = ""  # see ProxiedClients
        self.method: str = scope.get("method", "")
        path: str = scope.get("path", "")
        # Clients that join a URL that ends with a slash and a path send two. As in MLflow, they count as one.
        self.path = "/" + path.lstrip("/") if path[:2] == "//" else path
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

        Raise ClientGone if the client closes the connection. The server closes it if the client sends too slowly.
        """
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

    def cancel_on_disconnect(self) -> None:
        """Have http_server cancel this request as soon as its client disconnects. It must not have to commit."""
        self._scope["is_read"] = True

    def subrequest_scope(self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Scope:
        """Return the scope of another request from the same client, with its login and the address of its proxy.

        `headers` replace those of this request that describe its body, and what it accepts.
        """
        inherited = [header for header in self._scope["headers"] if header[0] not in OF_ONE_REQUEST]
        scope = {
            **self._scope,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": inherited + headers,
        }
        for key in ("body", "is_read"):  # set by and for http_server
            scope.pop(key, None)
        return scope

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """Return the whole body. Raise a 413 if it is longer than `limit` bytes, a 429 if there is no memory for it."""
        body: bytes | None = self._scope.get("body")  # set by http_server if it came with the head
        if body is not None and len(body) <= min(limit, SMALL_BODY):
            self.received = len(body)
            return body
        chunks: list[bytes] = []
        length = 0
        reserved = self._length_to_reserve(limit)
        self._scope["body_client"] = self._budget_client  # http_server ends slow bodies that others wait for
        async for chunk in self.stream():
            length += len(chunk)
            if length > DISCARD_LIMIT:
                break
            if length > limit:
                chunks.clear()
                self.release()
                continue
            if length > SMALL_BODY:
                while length > reserved:  # which only a body of unknown length can be
                    reserved = min(2 * reserved, limit)
                await self.hold(BUDGET.bodies, reserved)
            chunks.append(chunk)
        if length > limit:
            raise ApiError("BAD_REQUEST", f"The request body is longer than {limit} bytes.", status=413)
        if length > SMALL_BODY:
            await self.hold_decoded(length)
        return b"".join(chunks)

    def _length_to_reserve(self, limit: int) -> int:
        """Return the length of the body, or UNKNOWN_LENGTH.

        A body is reserved as a whole: if parts of several were, each could wait for the others.
        """
        length = int(self.header(b"content-length") or UNKNOWN_LENGTH)
        return min(length, limit)

    @property
    def _budget_client(self) -> str:
        """Return the client that takes its turn: behind a trusted proxy, the one that the proxy reports."""
        return self.counted_client or self.peer

    def holds(self, share: Share) -> bool:
        return share in self._held

    async def hold(self, share: Share, size: int) -> None:
        """Have `size` bytes of the share reserved until release(). Raise a 429 if there is no room in time.

        A size that exceeds the share is reserved as the whole of it.
        """
        size = min(size, share.largest)
        more = size - self._held.get(share, 0)
        if more > 0:
            await share.reserve(more, self._budget_client)
            self._set_held(share, size)
        else:
            self.shrink(share, size)

    async def hold_decoded(self, size: int) -> None:
        """Have memory reserved for what becomes of `size` bytes of JSON or protobuf when they are decoded."""
        await self.hold(BUDGET.decoded, DECODED_FACTOR * size)

    async def hold_more(self, share: Share, size: int) -> None:
        """Have `size` bytes of the share reserved in addition, as hold() does."""
        await self.hold(share, self._held.get(share, 0) + size)

    def try_hold(self, share: Share, size: int, limit: int) -> bool:
        """Have `size` bytes reserved if that is possible at once, and leaves the share at or below `limit`."""
        more = size - self._held.get(share, 0)
        if more <= 0:
            self.shrink(share, size)
            return True
        if not share.try_reserve(more, limit):
            return False
        self._set_held(share, size)
        return True

    def shrink(self, share: Share, size: int) -> None:
        """Hold at most `size` bytes of the share from now on."""
        less = self._held.get(share, 0) - size
        if less > 0:
            self._set_held(share, size)
            share.release(less)

    def _set_held(self, share: Share, size: int) -> None:
        if self._held is NOTHING_HELD:
            self._held = {}
        self._held[share] = size

    def release(self) -> None:
        """Release the memory that the request and its response hold. The dispatcher calls this after the response."""
        held, self._held = self._held, NOTHING_HELD
        for share, size in held.items():
            share.release(size)


NOTHING_HELD: dict[Share, int] = {}
"""Of requests that hold no memory of the budget: most of them. Never changed."""


class Decoder(Generic[T]):
    """Decode bodies and queries into a struct. Each endpoint has one decoder."""

    def __init__(self, struct: type[T]) -> None:
        self._struct = struct
        self._fast = msgspec.json.Decoder(struct)
        self._rejects_nul = not struct.ACCEPTS_NUL
        self._camel_case = CamelCase(struct)

    async def decode(self, http: HttpRequest) -> T:
        """Return the struct from the query (GET) or the JSON body (other methods). Path parameters override both.

        As in MLflow, a GET without a query may have a body, and only a POST must have a content type.
        """
        is_get = http.method in ("GET", "HEAD")
        if is_get and http.raw_query:
            return self._from_query(http)
        body = await http.body()
        if not body and (is_get or (self._struct.QUERY_WITHOUT_BODY and http.method == "DELETE")):
            return self._from_query(http)
        if body and http.method == "POST":
            _check_content_type(http)
        is_short = len(body) < IN_TURN_BYTES
        request = self._strictly(http, body) if is_short else await in_turn(self._strictly, http, body)
        return await in_turn(self._leniently, http, body) if request is None else request

    def _strictly(self, http: HttpRequest, body: bytes) -> T | None:
        """Return the struct, or None if the body needs lenient decoding."""
        try:
            check_json_limits(body)
            # find() is much faster than `in`
            if (self._rejects_nul and body.find(ESCAPED_NUL) >= 0) or self._camel_case.is_in(body):
                return None
            return self._fast.decode(_with_params(body, http.params) if http.params else body)
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
        if self._rejects_nul and ESCAPED_NUL in body:
            reject_nul(data)
        return convert(data | http.params, self._struct)

    def _from_query(self, http: HttpRequest) -> T:
        query = {**http.query, **{name: [value] for name, value in http.params.items()}}
        reject_nul(query)
        return convert_query(query, self._struct)


def _with_params(body: bytes, params: Mapping[str, str]) -> bytes:
    """Return a JSON object with path parameters as its last members, which override those of the same name.

    What is not an object, as it seems, is returned as it is. Then it lacks the parameters, which are required.
    """
    stripped = body.strip() or b"{}"
    if not (stripped.startswith(b"{") and stripped.endswith(b"}")):
        return body
    separator = b"," if stripped[1:-1].strip() else b""
    return b"".join((stripped[:-1], separator, msgspec.json.encode(params)[1:]))


def _check_content_type(http: HttpRequest) -> None:
    """Raise unless it is JSON. This also protects from other sites: browsers send a POST of another type without a
    preflight, but no PATCH and no DELETE.
    """
    content_type = http.header(b"content-type")
    if not content_type:
        raise invalid("Bad Request. Content-Type header is missing.")
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
