"""The table of endpoints: @endpoint declares one, Routes finds the one that a request means.

A route without an access declaration, or one declared twice, fails at start.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from railtrack.auth import Access
from railtrack.errors import ApiError, endpoint_not_found
from railtrack.wire.request import Decoder, HttpRequest, Request
from railtrack.wire.response import Reply

Handler = Callable[[Any, Any], Awaitable[Reply]]
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


def endpoint(method: str, path: str, *, access: Access, api: str = "2.0", ajax_only: bool = False) -> Callable[[F], F]:
    """Declare an endpoint of MLflow's API: `path` below /api/<api>/mlflow/ and /ajax-api/<api>/mlflow/.

    `ajax_only` leaves the first out; a leading slash makes the path absolute. The handler's second parameter
    tells what it takes: a Request struct, decoded for it, or the HttpRequest itself.
    """
    if not isinstance(access, Access):
        raise TypeError(f"{method} {path}: an endpoint declares the access that it demands")

    def declare(handler: F) -> F:
        takes = list(get_type_hints(handler).values())[1]
        struct = takes if issubclass(takes, Request) else None
        if struct is None and takes is not HttpRequest:
            raise TypeError(f"{method} {path}: {takes} is neither a Request nor HttpRequest")
        decoder = Decoder(struct) if struct else None
        for full in _full_paths(path, api, ajax_only):
            if (method, full) in ROUTES:
                raise ValueError(f"{method} {full} is declared twice")
            ROUTES[method, full] = Route(method, full, access, handler, decoder, struct)
        return handler

    return declare


def _full_paths(path: str, api: str, ajax_only: bool) -> Iterator[str]:
    if path.startswith("/"):
        yield path
        return
    yield f"/ajax-api/{api}/mlflow/{path}"
    if not ajax_only:
        yield f"/api/{api}/mlflow/{path}"


@dataclass(slots=True)
class Routes:
    """Finds routes: a dictionary of exact paths first, the few patterns after it."""

    exact: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)

    @classmethod
    def of(cls, routes: dict[tuple[str, str], Route]) -> "Routes":
        found = cls()
        patterns: dict[str, dict[str, Route]] = {}
        for (method, path), route in routes.items():
            table = patterns if "{" in path else found.exact
            table.setdefault(path, {})[method] = route
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
            raise endpoint_not_found(
                f"The endpoint {http.path[:500]} does not exist, or this version does not serve it."
            )
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


def _compile(path: str) -> re.Pattern[str]:
    """`{name}` is one segment, `{name...}` the rest, slashes and line ends included."""
    pattern = ""
    for literal, name, rest in re.findall(r"([^{]+)|\{(\w+)(\.\.\.)?\}", path):
        pattern += re.escape(literal) if literal else f"(?P<{name}>{'.*' if rest else '[^/]+'})"
    return re.compile(pattern, re.DOTALL)
