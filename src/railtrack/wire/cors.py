"""Cross-origin resource sharing: which web pages of other origins may use the server, as in MLflow.

The responses let a browser app on an allowed origin read what it requests, and log in.
"""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

from railtrack.errors import bad_request
from railtrack.wire.request import HttpRequest
from railtrack.wire.response import BytesResponse, Header

ANY = "*"
CACHE_SIZE = 64
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
PREFLIGHT_MAX_AGE_S = 600
EXPOSED_HEADERS = b"*, Content-Disposition, Content-Range, ETag, X-Request-ID"
"""Browsers take the wildcard literally if a request has credentials, so it is followed by names."""

VARY: Header = (b"vary", b"Origin")
_LOCALHOST = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")


class AllowedOrigins:
    """Allow the origins of `patterns`, such as `https://app.example.com` or `https://*.example.com`, and pages of the
    user's own machine. `*` allows every origin, but without credentials.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.allows_any = ANY in patterns
        matchers = [_matcher(pattern) for pattern in patterns if pattern != ANY]

        @lru_cache(CACHE_SIZE)
        def allow_with_credentials(origin: str) -> bool:
            return bool(_LOCALHOST.fullmatch(origin)) or any(match(origin) for match in matchers)

        self.allow_with_credentials = allow_with_credentials

    def allow(self, origin: str) -> bool:
        return self.allows_any or self.allow_with_credentials(origin)

    def headers(self, origin: str) -> tuple[Header, ...]:
        """Return the response headers by which a page of this origin may read the response."""
        exposed: Header = (b"access-control-expose-headers", EXPOSED_HEADERS)
        if self.allows_any:
            return ((b"access-control-allow-origin", b"*"), exposed)
        if not self.allow(origin):
            return ()
        allowed: Header = (b"access-control-allow-origin", origin.encode("latin-1"))
        return (allowed, (b"access-control-allow-credentials", b"true"), exposed)

    def preflight(self, http: HttpRequest) -> BytesResponse | None:
        """Return the response to a browser's OPTIONS request, None for any other. Raise a 400 unless it is allowed."""
        origin, method = http.header(b"origin"), http.header(b"access-control-request-method")
        if not origin or not method:
            return None
        if not self.allow(origin):
            raise bad_request(f"Disallowed CORS origin. {allow_origin_advice(origin)}")
        if method not in METHODS:
            raise bad_request("Disallowed CORS method.")
        headers: tuple[Header, ...] = (
            (b"access-control-allow-methods", ", ".join(METHODS).encode()),
            (b"access-control-max-age", str(PREFLIGHT_MAX_AGE_S).encode()),
        )
        if requested := http.header(b"access-control-request-headers"):
            headers = (*headers, (b"access-control-allow-headers", requested.encode("latin-1")))
        return BytesResponse(b"OK", "text/plain; charset=utf-8", headers=headers)


def allow_origin_advice(origin: str) -> str:
    return f"If the page is yours, add {origin[:200]} to MLFLOW_SERVER_CORS_ALLOWED_ORIGINS (--cors-allowed-origins)."


def _matcher(pattern: str) -> Callable[[str], bool]:
    if "*" not in pattern:
        return lambda origin: origin == pattern
    matches = re.compile(translate(pattern)).match
    return lambda origin: bool(matches(origin))
