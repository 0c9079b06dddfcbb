"""Protection of browser users, applied before a request is decoded: against DNS rebinding, and against other sites that
change something in the user's name (docs/adr/0013-browser-protection.md).

API clients send neither Origin nor Sec-Fetch-Site and pass. The UI has the server's origin.
"""

from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.allowed_hosts import AllowedHosts
from railtrack.wire.cors import AllowedOrigins, allow_origin_advice
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class BrowserGuard:
    """Reject what a browser sends to a host, or from an origin, that is not allowed.

    `proxies` determine the Host that the browser requested. All paths begin with `prefix`.
    """

    def __init__(
        self, hosts: AllowedHosts, origins: AllowedOrigins, *, proxies: TrustedProxies, prefix: str = ""
    ) -> None:
        self._hosts = hosts
        self.origins = origins
        self._proxies = proxies
        # Platforms and load balancers check the health under any name.
        self._any_host_paths = ("/health", f"{prefix}/health", "/ready", f"{prefix}/ready", f"{prefix}/version")
        self._log = ThrottledLog()

    def check(self, http: HttpRequest) -> None:
        """Raise PERMISSION_DENIED for a host that is not allowed, or an unsafe method that another site requests."""
        if not self._hosts.allow(http) and http.path not in self._any_host_paths:
            host = http.header(b"host")[:200]
            self._log.warning("Rejected a request with the Host header %r, which is not in the allowed hosts", host)
            raise ApiError(
                "PERMISSION_DENIED",
                "Invalid Host header - possible DNS rebinding attack detected. "
                f"If {host!r} is a name of this server, add it to MLFLOW_SERVER_ALLOWED_HOSTS (--allowed-hosts).",
            )
        if http.method not in SAFE_METHODS and self._is_cross_site(http):
            origin = http.header(b"origin")
            self._log.warning("Rejected a %s that a page of the origin %r requested", http.method, origin[:200])
            raise ApiError("PERMISSION_DENIED", f"Cross-origin request blocked. {allow_origin_advice(origin)}")

    def check_origin(self, http: HttpRequest) -> None:
        """Raise PERMISSION_DENIED for an unsafe method without a header by which check() can judge it.

        Browsers send one. For other clients, which have no cookies, this is not called.
        """
        if http.method not in SAFE_METHODS and not (http.header(b"sec-fetch-site") or http.header(b"origin")):
            raise ApiError(
                "PERMISSION_DENIED", "A request with a session's cookie needs the header Origin. Use a token instead."
            )

    def _is_cross_site(self, http: HttpRequest) -> bool:
        """Return True if another site sent the request. On plain HTTP, browsers send Origin but no Sec-Fetch-Site."""
        origin = http.header(b"origin")
        site = http.header(b"sec-fetch-site")
        if not (origin or site) or (origin and self.origins.allow(origin)):
            return False
        if site:
            return site in ("cross-site", "same-site")
        scheme, _, origin_host = origin.rpartition("//")
        own = {_without_default_port(name, scheme) for name in (http.header(b"host"), self._proxies.host(http)) if name}
        return _without_default_port(origin_host, scheme) not in own


def _without_default_port(host: str, scheme: str) -> str:
    """Remove the scheme's default port, which a browser omits from Origin and a proxy may add to Host."""
    return host.removesuffix({"https:": ":443", "http:": ":80"}.get(scheme, " "))
