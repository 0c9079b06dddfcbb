"""The table of endpoints: @endpoint declares one, Routes finds the one that a request means.

A route without an access declaration, or one declared twice, fails at start.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from railtrack.auth import PUBLIC, Access
from railtrack.errors import ApiError, endpoint_not_found
from railtrack.wire.request import Decoder, HttpRequest, Request
from railtrack.wire.response import BytesResponse, Response

Handler = Callable[[Any, Any], Awaitable[Response]]
F = TypeVar("F", bound=Handler)


@dataclass(frozen=True, slots=True)
class Route:
    """One way in: `path` may hold `{name}` for a segment and end in `{name...}` for all the rest."""

    method: str
    path: str
    access: Access
    handler: Handler
    decoder: Decoder[Any] | None
    struct: type[Request] | None


ROUTES: dict[tuple[str, str], Route] = {}
"""Every declared endpoint, by method and path."""


def endpoint(
    method: str,
    path: str,
    *,
    access: Access,
    api: str = "2.0",
    service: str = "mlflow",
    ajax_only: bool = False,
) -> Callable[[F], F]:
    """Declare an endpoint at `path` below /api/<api>/<service>/ and /ajax-api/<api>/<service>/.

    `ajax_only` omits the first; a leading slash makes the path absolute. The type of the handler's second parameter
    decides what it gets: a Request struct, decoded from the request, or the HttpRequest itself.
    """
    if not isinstance(access, Access):
        raise TypeError(f"{method} {path}: an endpoint declares the access that it demands")

    def declare(handler: F) -> F:
        takes = list(get_type_hints(handler).values())[1]
        struct = takes if issubclass(takes, Request) else None
        if struct is None and takes is not HttpRequest:
            raise TypeError(f"{method} {path}: {takes} is neither a Request nor HttpRequest")
        decoder = Decoder(struct) if struct else None
        for full in _full_paths(path, f"{api}/{service}", ajax_only=ajax_only):
            if (method, full) in ROUTES:
                raise ValueError(f"{method} {full} is declared twice")
            ROUTES[method, full] = Route(method, full, access, handler, decoder, struct)
        return handler

    return declare


def _full_paths(path: str, root: str, *, ajax_only: bool) -> Iterator[str]:
    if path.startswith("/"):
        yield path
        return
    yield f"/ajax-api/{root}/{path}"
    if not ajax_only:
        yield f"/api/{root}/{path}"


OUTSIDE_PREFIX = ("/health", "/ready", "/metrics")
"""What platforms, load balancers and scrapers ask past the proxy: there with the prefix and without."""


@dataclass(slots=True)
class Routes:
    """Finds routes: a dictionary of exact paths first, the few patterns after it."""

    prefix: str = ""
    exact: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)

    @classmethod
    def of(cls, routes: dict[tuple[str, str], Route], prefix: str = "") -> "Routes":
        """`prefix`: what all paths begin with, `/mlflow` say."""
        found = cls(prefix)
        if prefix:
            found.exact[prefix] = {"GET": Route("GET", prefix, PUBLIC, _to_the_page, None, None)}
        patterns: dict[str, dict[str, Route]] = {}
        for (method, path), route in routes.items():
            table = patterns if "{" in path else found.exact
            for full in {prefix + path, path} if path in OUTSIDE_PREFIX else {prefix + path}:
                table.setdefault(full, {})[method] = route
        # The more fixed text a pattern has, the earlier it is tried: `a/b/{x}` before `a/{x...}`.
        ordered = sorted(patterns, key=lambda path: -len(re.sub(r"\{.*?\}", "", path)))
        found.patterns = [(_compile(path), patterns[path]) for path in ordered]
        return found

    def find(self, http: HttpRequest) -> Route:
        """The route; fills `http.params`. Raises ENDPOINT_NOT_FOUND, or 405 for another method's path."""
        method = "GET" if http.method == "HEAD" else http.method
        by_method = self.exact.get(http.path)
        if by_method is None or method not in by_method:
            by_method = self._match(http, method) or by_method
        if by_method is None:
            raise no_such_endpoint(http.path, self.prefix)
        route = by_method.get(method)
        if route is None:
            allowed = ", ".join(sorted(by_method))
            raise ApiError("BAD_REQUEST", f"The method {method} is not allowed here; allowed: {allowed}.", status=405)
        return route

    def _match(self, http: HttpRequest, method: str) -> dict[str, Route] | None:
        other = None
        for pattern, by_method in self.patterns:
            if match := pattern.fullmatch(http.path):
                if method in by_method:
                    http.params = match.groupdict()
                    return by_method
                other = other or by_method
        return other


async def _to_the_page(_: Any, http: HttpRequest) -> BytesResponse:
    """The prefix without its slash: the page's own links are relative, and lead astray from there."""
    query = b"?" + http.raw_query if http.raw_query else b""
    return BytesResponse(b"", status=308, headers=((b"location", http.path.encode() + b"/" + query),))


def no_such_endpoint(path: str, prefix: str = "") -> ApiError:
    hint = f" All paths of this server begin with {prefix}/." if prefix and not path.startswith(f"{prefix}/") else ""
    return endpoint_not_found(f"The endpoint {path[:500]} does not exist, or this version does not serve it.{hint}")


def _compile(path: str) -> re.Pattern[str]:
    """`{name}` is one segment, `{name...}` the rest, slashes and line ends included."""
    pattern = ""
    for literal, name, rest in re.findall(r"([^{]+)|\{(\w+)(\.\.\.)?\}", path):
        pattern += re.escape(literal) if literal else f"(?P<{name}>{'.*' if rest else '[^/]+'})"
    return re.compile(pattern, re.DOTALL)
