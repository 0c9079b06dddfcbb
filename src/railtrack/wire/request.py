"""From HTTP to a typed request: the raw HttpRequest, and the Request structs decoded from a JSON body or a query.

A well-formed body takes the fast way (msgspec, straight into the struct). Whatever that refuses takes the
lenient way, which knows the JSON rules of protobuf and MLflow's complaints (wire/lenient.py).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from railtrack.errors import ApiError, invalid
from railtrack.wire.lenient import convert, convert_query, json_object, refuse_nul

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a JSON body; MLflow's clients cut their batches at 1 MB."""

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

    __slots__ = ("_receive", "_scope", "params")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.params: dict[str, str] = {}

    @property
    def method(self) -> str:
        method: str = self._scope["method"]
        return method

    @property
    def path(self) -> str:
        path: str = self._scope["path"]
        return path

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent, before percent-decoding."""
        raw: bytes = self._scope.get("raw_path") or self.path.encode()
        return raw.split(b"?", 1)[0]

    def header(self, name: bytes) -> str:
        """The header's value, "" when it was not sent; `name` in lower case."""
        for key, value in self._scope["headers"]:
            if key == name:
                text: str = value.decode("latin-1")
                return text
        return ""

    def has_version(self, etag: str) -> bool:
        """Whether If-None-Match names the version that `etag` (in its quotes) stands for: 304 is then enough."""
        known = [tag.strip().removeprefix("W/") for tag in self.header(b"if-none-match").split(",")]
        return etag in known or known == ["*"]

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
        """The body in the pieces it arrives in. Raises ClientGone when the client hangs up half-way."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if body := message.get("body"):
                yield body
            more = message.get("more_body", False)

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body, refused when it is longer than `limit` bytes."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            _check_length(len(body), limit)
            return body
        pieces = [body]
        length = len(body)
        async for piece in self.stream():
            length += len(piece)
            _check_length(length, limit)
            pieces.append(piece)
        return b"".join(pieces)


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        raise ApiError("BAD_REQUEST", f"The request body is longer than {limit} bytes.", status=413)


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
        if b"\\u0000" in body:
            refuse_nul(json_object(body))
        if not http.params:
            try:
                return self._fast.decode(body)
            except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # the lenient way below takes it, or says what is wrong with it
        return convert(json_object(body) | http.params, self._struct)

    def _from_query(self, http: HttpRequest) -> T:
        query = {**http.query, **{name: [value] for name, value in http.params.items()}}
        refuse_nul(query)
        return convert_query(query, self._struct)


def _check_content_type(http: HttpRequest) -> None:
    """Browsers send other types across sites without asking first, so this is a guard as much as a courtesy."""
    content_type = http.header(b"content-type")
    if not content_type:
        raise invalid("Bad Request. Content-Type header is missing.")
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
