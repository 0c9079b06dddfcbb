"""Requests that a browser was talked into by another site: checked before anything is decoded.

An API client sends neither Origin nor Sec-Fetch-Site and passes; the official UI is of our own origin.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from railtrack.errors import ApiError
from railtrack.wire.request import HttpRequest

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class BrowserGuard:
    """`loopback`: the server listens on this machine only, so a Host that is a foreign name means DNS rebinding.

    `hosts`: names accepted all the same. On a public address any Host passes: a platform's domain is not ours to
    know, and its health checks send names of their own.
    """

    def __init__(self, *, loopback: bool, hosts: tuple[str, ...] = ()) -> None:
        self._loopback = loopback
        self._hosts = frozenset(hosts)

    def check(self, http: HttpRequest) -> None:
        """Raise 403 for a rebound Host, or a change that another site asks for."""
        host = http.header(b"host")
        if self._loopback and http.path != "/health" and not self._is_own(_name(host)):
            raise ApiError("PERMISSION_DENIED", "Invalid Host header: this server listens on a loopback address only.")
        if http.method not in SAFE_METHODS and _crosses_sites(http, host):
            raise ApiError("PERMISSION_DENIED", "Cross-origin request blocked.")

    def _is_own(self, name: str) -> bool:
        if not name or name == "localhost" or name.endswith(".localhost") or name in self._hosts or "*" in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _crosses_sites(http: HttpRequest, host: str) -> bool:
    """Browsers say it in Sec-Fetch-Site, except on plain http, where Origin against Host has to do."""
    if site := http.header(b"sec-fetch-site"):
        return site in ("cross-site", "same-site")
    origin = http.header(b"origin")
    if not origin:
        return False
    own = {host, http.header(b"x-forwarded-host")}
    return origin.rpartition("//")[2] not in own


def _name(host: str) -> str:
    """The name in a Host header, without its port and an IPv6 address's brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return "invalid"
