"""Which Host headers the server accepts: protection against DNS rebinding (docs/adr/0013-browser-protection.md).

In DNS rebinding, an attacker's page makes its own name resolve to this server once it has loaded. The browser then
regards the server as the page's origin. Only the Host header, which has the attacker's name, shows it.
"""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address

from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

ANY = "*"
CACHE_SIZE = 256

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?", re.ASCII)
"""Name or address, and port."""
_IPV4_PATTERN = re.compile(r"(?=[^:]*[0-9])[0-9.*?]+(:[0-9*?]+)?")
_IPV6_PATTERN = re.compile(r"\[[0-9a-f*?.]*:[0-9a-f*?.:]*\]")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".svc", ".flycast")
"""Domains in which nobody can register a name: RFC 6761, 6762 and 8375, ICANN's `internal`, and undelegated ones that
routers, Kubernetes and Fly.io use."""


class AllowedHosts:
    """Allow the hosts of `patterns`, as MLflow does. Without patterns, allow every host that cannot be rebound.

    A pattern is a name or address with its port, which clients omit if it is the scheme's default. It may have
    wildcards: `ml.example.com`, `10.0.0.5:5000`, `mlflow:*`, `*.example.com`, `10.*`; `*` alone allows any host.
    """

    def __init__(self, patterns: tuple[str, ...], proxies: TrustedProxies) -> None:
        self._allows_any = ANY in patterns
        self._is_default = not patterns
        self._proxies = proxies
        matchers = [_matcher(pattern) for pattern in patterns]

        @lru_cache(CACHE_SIZE)
        def is_allowed(host: str) -> bool:
            parsed = _HOST.fullmatch(host.lower())
            if parsed is None:
                return False
            return any(matches(parsed) for matches in matchers) if matchers else not _can_be_rebound(parsed[1])

        self._is_allowed = is_allowed

    def allow(self, http: HttpRequest) -> bool:
        """Return True unless the request's Host may be that of an attacker's page."""
        return (
            self._allows_any
            or self._is_allowed(http.header(b"host"))
            or (self._is_default and self._is_verified_by_tls(http))
        )

    def _is_verified_by_tls(self, http: HttpRequest) -> bool:
        """Return True if the client checked a certificate for the host. An attacker has none that leads here.

        Browsers send Sec-Fetch-Site over TLS and to localhost only, and scripts cannot set it.
        """
        return bool(http.header(b"sec-fetch-site")) or self._proxies.is_tls(http)


def _matcher(pattern: str) -> Callable[[re.Match[str]], bool]:
    """Return a function that matches a parsed Host.

    A pattern for addresses matches no names: `10.*` does not allow 10.evil.example.
    """
    text = pattern.lower()
    if "*" not in text:
        return lambda host: host[0] == text
    if _IPV6_PATTERN.match(text):
        text = f"[[]{text[1:]}"  # the bracket of an address, not of a set of characters
    matches = re.compile(translate(text)).match
    if _IPV4_PATTERN.fullmatch(text):
        return lambda host: bool(matches(host[0])) and _is_address(host[1])
    return lambda host: bool(matches(host[0]))


def _can_be_rebound(name: str) -> bool:
    """Return True for a name that an attacker may have registered."""
    return "." in name and not name.endswith(_PRIVATE_SUFFIXES) and not _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
