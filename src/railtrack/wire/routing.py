"""The endpoints: @endpoint declares a route, Routes finds the route of a request.

A route without an access declaration, or one that is declared twice, fails at the start.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_type_hints
from urllib.parse import quote

from railtrack.auth import PUBLIC, SIGNED_IN, Access
from railtrack.errors import ApiError, endpoint_not_found, invalid
from railtrack.wire.request import Decoder, HttpRequest, Request
from railtrack.wire.response import BytesResponse, Header, Response

Handler = Callable[[Any, Any], Awaitable[Response]]
F = TypeVar("F", bound=Handler)


@dataclass(frozen=True, slots=True)
class Route:
    """`path` may contain `{name}` for a segment and end in `{name...}` for the remaining segments."""

    method: str
    path: str
    access: Access
    handler: Handler
    decoder: Decoder[Any] | None
    struct: type[Request] | None
    is_read: bool = False
    """True if it changes nothing: it is cancelled as soon as its client disconnects. Others may have to commit."""
    only_with_login: bool = False

    @property
    def name(self) -> str:
        """Return the method, and the path below the prefix of its API: "POST runs/log-metric"."""
        return f"{self.method} {_API_PREFIX.sub('', self.path)}"


_API_PREFIX = re.compile(r"/(?:ajax-)?api/[0-9.]+/(?:mlflow/)?")

ROUTES: dict[tuple[str, str], Route] = {}
"""All declared endpoints, by method and path."""


def endpoint(
    method: str,
    path: str,
    *,
    access: Access,
    api: str = "2.0",
    service: str = "mlflow",
    ajax_only: bool = False,
    is_read: bool | None = None,
    only_with_login: bool = False,
) -> Callable[[F], F]:
    """Declare an endpoint at `path` below /api/<api>/<service>/ and /ajax-api/<api>/<service>/.

    `ajax_only` omits the first; a leading slash makes the path absolute. `is_read`: it changes nothing, as all GET do.
    An open server omits what is `only_with_login`. The type of the handler's second parameter decides what it gets: a
    Request struct, decoded from the request, or the HttpRequest itself.
    """
    if not isinstance(access, Access):
        raise TypeError(f"{method} {path}: declare the access that the endpoint requires")

    def declare(handler: F) -> F:
        parameter = list(get_type_hints(handler).values())[1]
        struct = parameter if issubclass(parameter, Request) else None
        if struct is None and parameter is not HttpRequest:
            raise TypeError(f"{method} {path}: {parameter} is neither a Request nor HttpRequest")
        decoder = Decoder(struct) if struct else None
        for full in _full_paths(path, f"{api}/{service}", ajax_only=ajax_only):
            if (method, full) in ROUTES:
                raise ValueError(f"{method} {full} is declared twice")
            reads = method == "GET" if is_read is None else is_read
            ROUTES[method, full] = Route(method, full, access, handler, decoder, struct, reads, only_with_login)
        return handler

    return declare


def _full_paths(path: str, root: str, *, ajax_only: bool) -> Iterator[str]:
    if path.startswith("/"):
        yield path
        return
    yield f"/ajax-api/{root}/{path}"
    if not ajax_only:
        yield f"/api/{root}/{path}"


_SLASHES = re.compile("//+")
OUTSIDE_PREFIX = ("/health", "/ready", "/metrics")
"""Served with and without the prefix: platforms, load balancers and scrapers bypass the proxy that adds it."""


@dataclass(slots=True)
class Routes:
    """Find routes: by a dictionary of exact paths first, then by a few patterns."""

    prefix: str = ""
    exact: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)

    @classmethod
    def of(cls, routes: dict[tuple[str, str], Route], prefix: str = "") -> "Routes":
        """Create the table. All paths begin with `prefix`, for example `/mlflow`."""
        table = cls(prefix)
        if prefix:
            # Without the slash, the relative links of the page would be wrong.
            table.exact[prefix] = {"GET": Route("GET", prefix, SIGNED_IN, _redirect(f"{prefix}/"), None, None)}
        patterns: dict[str, dict[str, Route]] = {}
        for (method, path), route in routes.items():
            by_path = patterns if "{" in path else table.exact
            for full in {prefix + path, path} if path in OUTSIDE_PREFIX else {prefix + path}:
                by_path.setdefault(full, {})[method] = route
        # Patterns with more fixed text are tried first: `a/b/{x}` before `a/{x...}`.
        ordered = sorted(patterns, key=lambda path: -len(re.sub(r"\{.*?\}", "", path)))
        table.patterns = [(_compile(path), patterns[path]) for path in ordered]
        return table

    def find(self, http: HttpRequest) -> Route:
        """Return the route and set `http.params`. Raise ENDPOINT_NOT_FOUND, or a 405 if the path has other methods.

        A path that only has more slashes than a route is redirected to it.
        """
        method = "GET" if http.method == "HEAD" else http.method
        if route := self._match(http, http.path, method):
            return route
        allowed = self._allowed_methods(http.path)
        if not allowed and "//" in http.path:
            path = _SLASHES.sub("/", http.path)
            if route := self._match(http, path, method):
                access = PUBLIC if route.access.is_public else SIGNED_IN  # the path it redirects to is checked again
                return replace(route, access=access, handler=_redirect(path), decoder=None, struct=None)
            allowed = self._allowed_methods(path)
        if not allowed:
            raise no_such_endpoint(http.path, self.prefix)
        headers = ((b"allow", ", ".join(allowed).encode()),)
        if method == "OPTIONS":
            return _options_route(headers)
        message = f"The method {method} is not allowed here; allowed: {', '.join(allowed)}."
        raise ApiError("BAD_REQUEST", message, status=405, headers=headers)

    def _match(self, http: HttpRequest, path: str, method: str) -> Route | None:
        by_method = self.exact.get(path)
        if by_method is not None and method in by_method:
            return by_method[method]
        for pattern, by_method in self.patterns:
            if method in by_method and (match := pattern.fullmatch(path)):
                if "\0" in path:  # no database or file system accepts it
                    raise invalid("Invalid path")
                http.params = match.groupdict()
                return by_method[method]
        return None

    def _allowed_methods(self, path: str) -> list[str]:
        """Return the methods of a path, and of the whole server for `*`. The list is empty for an unknown path."""
        methods = set(self.exact.get(path, ()))
        for pattern, by_method in self.patterns:
            if pattern.fullmatch(path):
                methods.update(by_method)
        if path == "*":
            methods.update(*self.exact.values(), *(by_method for _, by_method in self.patterns))
        if "GET" in methods:
            methods.add("HEAD")
        return sorted(methods | {"OPTIONS"}) if methods else []


def _options_route(headers: tuple[Header, ...]) -> Route:
    async def respond(_: Any, http: HttpRequest) -> BytesResponse:
        return BytesResponse(b"", status=204, headers=headers)

    return Route("OPTIONS", "*", SIGNED_IN, respond, None, None)


def _redirect(path: str) -> Handler:
    """Return a handler that redirects to the path, with the query. `path` begins with one slash: two begin a host."""

    async def respond(_: Any, http: HttpRequest) -> BytesResponse:
        query = b"?" + http.raw_query if http.raw_query else b""
        return BytesResponse(b"", status=308, headers=((b"location", quote(path).encode() + query),))

    return respond


def no_such_endpoint(path: str, prefix: str = "") -> ApiError:
    hint = f" All paths of this server begin with {prefix}/." if prefix and not path.startswith(f"{prefix}/") else ""
    return endpoint_not_found(f"The endpoint {path[:500]} does not exist, or this version does not serve it.{hint}")


def _compile(path: str) -> re.Pattern[str]:
    """Compile `{name}` to a segment and `{name...}` to the rest, including slashes and line ends."""
    pattern = ""
    for literal, name, rest in re.findall(r"([^{]+)|\{(\w+)(\.\.\.)?\}", path):
        pattern += re.escape(literal) if literal else f"(?P<{name}>{'.*' if rest else '[^/]+'})"
    return re.compile(pattern, re.DOTALL)
