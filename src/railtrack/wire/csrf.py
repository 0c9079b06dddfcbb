"""Protection of browser users, applied before a request is decoded: against DNS rebinding, and against other sites that
change something in the user's name (docs/adr/0013-browser-protection.md).

API clients send neither Origin nor Sec-Fetch-Site and pass. The UI has the server's origin.
"""

import re
from collections.abc import Callable

from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog
from railtrack.wire.allowed_hosts import AllowedHosts
from railtrack.wire.cors import AllowedOrigins, allow_origin_advice
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
PORT = re.compile(r":[0-9]+$")


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
        if http.method not in SAFE_METHODS:
            self._check_site(http, self.origins.allow)

    def check_session(self, http: HttpRequest) -> None:
        """Raise PERMISSION_DENIED for an unsafe method unless a page of this server, or of an allowed origin, requests
        it. Call this for a login that the browser sends by itself, as a cookie.

        Browsers name the page's origin. `*` allows no origin here: MLflow promises that it is without credentials.
        """
        if http.method in SAFE_METHODS:
            return
        if not (http.header(b"sec-fetch-site") or http.header(b"origin")):
            raise ApiError(
                "PERMISSION_DENIED",
                "A request with the login of a browser needs the header Origin. Use a token instead.",
            )
        self._check_site(http, self.origins.allow_with_credentials)

    def _check_site(self, http: HttpRequest, allows: Callable[[str], bool]) -> None:
        if not self._is_cross_site(http, allows):
            return
        origin, host = http.header(b"origin")[:200], http.header(b"host")[:200]
        self._log.warning(
            "Rejected a %s that a page of the origin %r requested; its Host header is %r, and it came from %s",
            http.method,
            origin,
            host,
            http.peer,
        )
        advice = allow_origin_advice(origin)
        if not http.header(b"sec-fetch-site"):  # else the browser itself reports that the page is another site's
            advice = f"{self._proxy_advice(http, origin, host)} {advice}"
        raise ApiError("PERMISSION_DENIED", f"Cross-origin request blocked. {advice}")

    def _is_cross_site(self, http: HttpRequest, allows: Callable[[str], bool]) -> bool:
        """Return True if another site sent the request. On plain HTTP, browsers send Origin but no Sec-Fetch-Site."""
        origin = http.header(b"origin")
        site = http.header(b"sec-fetch-site")
        if not (origin or site) or (origin and allows(origin)):
            return False
        if site:
            return site in ("cross-site", "same-site")
        return not self._is_own_origin(origin, http)

    def _is_own_origin(self, origin: str, http: HttpRequest) -> bool:
        """Return True if the origin is the host that the browser requested, by Host or a trusted X-Forwarded-Host.

        A proxy that forwards the host without its port (`$host` of nginx) leaves only the name to compare. Pages of
        another port of that name pass then; cookies do not distinguish ports either (RFC 6265, 8.5).
        """
        scheme, _, origin_host = origin.rpartition("//")
        own = {name for name in (http.header(b"host"), self._proxies.host(http)) if name}
        if _without_default_port(origin_host, scheme) in {_without_default_port(name, scheme) for name in own}:
            return True
        return PORT.sub("", origin_host) in own and self._proxies.forwarded(http)

    def _proxy_advice(self, http: HttpRequest, origin: str, host: str) -> str:
        """Return what to do if the page is the server's own, and a proxy has replaced its Host."""
        if http.header(b"x-forwarded-host") and not self._proxies.trusts(http.peer):
            remedy = "add the proxy's address, which the server's log has, to RAILTRACK_TRUSTED_PROXIES"
        else:
            remedy = "have the proxy forward the browser's Host with its port (nginx: proxy_set_header Host $http_host)"
        return f"If {origin} is the address of this server, which got the Host {host!r}, {remedy}."


def _without_default_port(host: str, scheme: str) -> str:
    """Remove the scheme's default port, which a browser omits from Origin and a proxy may add to Host."""
    return host.removesuffix({"https:": ":443", "http:": ":80"}.get(scheme, " "))
