"""Protection against cross-site requests and DNS rebinding, applied before a request is decoded.

API clients send neither Origin nor Sec-Fetch-Site and pass. The UI has the server's origin.
"""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from railtrack.errors import ApiError
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class BrowserGuard:
    """Reject what a browser sends for another site.

    With `loopback` the server listens on this machine only, so that a Host with a foreign name means DNS rebinding,
    unless it is one of `hosts`. On a public address any Host passes: the server doesn't know its platform's domains,
    and health checks send arbitrary names. `proxies` determine the Host that the browser requested. All paths begin
    with `prefix`.
    """

    def __init__(
        self, *, loopback: bool, proxies: TrustedProxies, hosts: tuple[str, ...] = (), prefix: str = ""
    ) -> None:
        self._loopback = loopback
        self._proxies = proxies
        self._hosts = frozenset(hosts)
        self._health_paths = ("/health", f"{prefix}/health")
        self._is_own_host = lru_cache(maxsize=64)(lambda host: self._is_own(_name(host)))

    def check(self, http: HttpRequest) -> None:
        """Raise PERMISSION_DENIED for a rebound Host, or an unsafe method that another site requests."""
        host = http.header(b"host")
        if self._loopback and http.path not in self._health_paths and not self._is_own_host(host):
            raise ApiError(
                "PERMISSION_DENIED",
                "Invalid Host header: this server listens on a loopback address only, "
                "and MLFLOW_SERVER_ALLOWED_HOSTS doesn't name this host.",
            )
        if http.method not in SAFE_METHODS and self._is_cross_site(http, host):
            raise ApiError("PERMISSION_DENIED", "Cross-origin request blocked.")

    def check_origin(self, http: HttpRequest) -> None:
        """Raise PERMISSION_DENIED for an unsafe method without a header by which check() can judge it.

        Browsers send one. For other clients, which have no cookies, this is not called.
        """
        if http.method not in SAFE_METHODS and not (http.header(b"sec-fetch-site") or http.header(b"origin")):
            raise ApiError(
                "PERMISSION_DENIED", "A request with a session's cookie needs the header Origin. Use a token instead."
            )

    def _is_own(self, name: str) -> bool:
        if not name or name == "localhost" or name.endswith(".localhost") or name in self._hosts or "*" in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _is_cross_site(self, http: HttpRequest, host: str) -> bool:
        """Return True if another site sent the request. On plain HTTP, browsers send Origin but no Sec-Fetch-Site."""
        if site := http.header(b"sec-fetch-site"):
            return site in ("cross-site", "same-site")
        origin = http.header(b"origin")
        if not origin:
            return False
        scheme, _, origin_host = origin.rpartition("//")
        own = {_without_default_port(name, scheme) for name in (host, self._proxies.host(http)) if name}
        return _without_default_port(origin_host, scheme) not in own


def _without_default_port(host: str, scheme: str) -> str:
    """Remove the scheme's default port, which a browser omits from Origin and a proxy may add to Host."""
    return host.removesuffix({"https:": ":443", "http:": ":80"}.get(scheme, " "))


def _name(host: str) -> str:
    """Return the host name of a Host header, without port and IPv6 brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return "invalid"
