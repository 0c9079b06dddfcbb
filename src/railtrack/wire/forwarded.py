"""Whom to believe that a request came from elsewhere: X-Forwarded-For and X-Forwarded-Host, from trusted peers only.

Anybody can send these headers; a proxy that is named in the settings is known to write them itself.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from railtrack.wire.request import HttpRequest

ANYBODY = "*"


class TrustedProxies:
    """`proxies`: addresses and networks, or `*` for every peer."""

    def __init__(self, proxies: Iterable[str]) -> None:
        names = tuple(proxies)
        self._anybody = ANYBODY in names
        self._networks = [ip_network(name, strict=False) for name in names if name != ANYBODY]
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return self._anybody or any(parsed in network for network in self._networks)

    def host(self, http: HttpRequest) -> str:
        """The Host that the client asked for, as the nearest proxy tells it; "" when no trusted one does."""
        if not self.trusts(http.peer):
            return ""
        return http.header(b"x-forwarded-host").rpartition(",")[2].strip()

    def client(self, http: HttpRequest) -> str:
        """The client's address: from the peer backwards, the first that is not a trusted proxy's."""
        client = http.peer
        if not self.trusts(client):
            return client
        for told in reversed(http.header_list(b"x-forwarded-for")):
            address = _address(told)
            if not address:
                break
            client = address
            if not self.trusts(client):
                break
        return client


@lru_cache(maxsize=1024)
def _address(told: str) -> str:
    """An address in its usual spelling, without a port and brackets; "" for anything else."""
    host = told.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return ""
