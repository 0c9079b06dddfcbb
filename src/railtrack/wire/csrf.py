"""Requests that a browser was talked into by another site: checked before anything is decoded.

An API client sends neither Origin nor Sec-Fetch-Site and passes; the official UI is of our own origin.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from railtrack.errors import ApiError
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class BrowserGuard:
    """`loopback`: the server listens on this machine only, so a Host that is a foreign name means DNS rebinding.

    `hosts`: names accepted all the same. On a public address any Host passes: a platform's domain is not ours to
    know, and its health checks send names of their own. `proxies`: who may tell the Host that a browser asked
    for. `prefix`: what paths begin with.
    """

    def __init__(
        self, *, loopback: bool, proxies: TrustedProxies, hosts: tuple[str, ...] = (), prefix: str = ""
    ) -> None:
        self._loopback = loopback
        self._proxies = proxies
        self._hosts = frozenset(hosts)
        self._always = ("/health", f"{prefix}/health")
        self._names_us = lru_cache(maxsize=64)(lambda host: self._is_own(_name(host)))

    def check(self, http: HttpRequest) -> None:
        """Raise 403 for a rebound Host, or a change that another site asks for."""
        host = http.header(b"host")
        if self._loopback and http.path not in self._always and not self._names_us(host):
            raise ApiError(
                "PERMISSION_DENIED",
                "Invalid Host header: this server listens on a loopback address only, "
                "and MLFLOW_SERVER_ALLOWED_HOSTS doesn't name this host.",
            )
        if http.method not in SAFE_METHODS and self._crosses_sites(http, host):
            raise ApiError("PERMISSION_DENIED", "Cross-origin request blocked.")

    def _is_own(self, name: str) -> bool:
        if not name or name == "localhost" or name.endswith(".localhost") or name in self._hosts or "*" in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _crosses_sites(self, http: HttpRequest, host: str) -> bool:
        """Browsers say it in Sec-Fetch-Site, except on plain http, where Origin against Host has to do."""
        if site := http.header(b"sec-fetch-site"):
            return site in ("cross-site", "same-site")
        origin = http.header(b"origin")
        if not origin:
            return False
        scheme, _, asked_from = origin.rpartition("//")
        own = {_without_default_port(one, scheme) for one in (host, self._proxies.host(http)) if one}
        return _without_default_port(asked_from, scheme) not in own


def _without_default_port(host: str, scheme: str) -> str:
    """A browser leaves the port out of Origin where it is the scheme's own; a proxy may add it to Host."""
    return host.removesuffix({"https:": ":443", "http:": ":80"}.get(scheme, " "))


def _name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return "invalid"
