"""The client's address, Host and scheme behind a proxy: the X-Forwarded- headers, only from trusted peers.

Any client can send these headers. A proxy that the settings name is known to write them itself.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from railtrack.errors import not_processed
from railtrack.wire.request import HttpRequest

log = logging.getLogger("railtrack")

ANY_PEER = "*"
PROXY_HEADERS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via")
REQUESTS_LIMIT = 500
"""Requests in progress of one client behind a proxy, in one worker."""


class TrustedProxies:
    """Proxies by address or network, or `*` for every peer. `has_tls`: the server itself speaks HTTPS."""

    def __init__(self, proxies: Iterable[str], *, has_tls: bool = False) -> None:
        self._has_tls = has_tls
        names = tuple(proxies)
        self._trusts_any_peer = ANY_PEER in names
        self._networks = [ip_network(name, strict=False) for name in names if name != ANY_PEER]
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return self._trusts_any_peer or any(parsed in network for network in self._networks)

    def host(self, http: HttpRequest) -> str:
        """Return the Host that the client requested, by the nearest proxy's header, or "" without a trusted proxy."""
        if not self.trusts(http.peer):
            return ""
        return http.header(b"x-forwarded-host").rpartition(",")[2].strip()

    def forwarded(self, http: HttpRequest) -> bool:
        """Return whether a proxy forwarded the request: the peer is a trusted one, or a header shows it.

        Clients may send these headers, but not a page of another origin: browsers ask for permission first (CORS).
        """
        return self.trusts(http.peer) or any(http.header(name) for name in PROXY_HEADERS)

    def is_tls(self, http: HttpRequest) -> bool:
        """Return whether the client uses HTTPS, by the nearest proxy's header, else by the server's own TLS."""
        scheme = http.header(b"x-forwarded-proto").rpartition(",")[2].strip().lower()
        return scheme == "https" if scheme and self.trusts(http.peer) else self._has_tls

    def client(self, http: HttpRequest) -> str:
        """Return the client's address: the first, from the peer backwards, that is not a trusted proxy's."""
        client = http.peer
        if not self.trusts(client):
            return client
        for hop in reversed(http.header_list(b"x-forwarded-for")):
            address = _address(hop)
            if not address:
                break
            client = address
            if not self.trusts(client):
                break
        return client


@lru_cache(maxsize=1024)
def _address(hop: str) -> str:
    """Return the address in its canonical form, without port and brackets, or "" if it is invalid."""
    host = hop.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


class ProxiedClients:
    """The requests in progress of each client behind a trusted proxy. http_server/ limits those that come directly."""

    def __init__(self, proxies: TrustedProxies, *, warns_of_proxies: bool = False) -> None:
        """`warns_of_proxies`: log a warning, once, if a proxy makes a server public that only this machine reaches."""
        self._proxies = proxies
        self._warns_of_proxies = warns_of_proxies
        self._requests: Counter[str] = Counter()

    def enter(self, http: HttpRequest) -> None:
        """Count the request. Raise a 429 if the client has REQUESTS_LIMIT of them already."""
        if not http.header(b"x-forwarded-for") or not self._proxies.trusts(http.peer):
            return
        address = self._proxies.client(http)
        if self._warns_of_proxies and not self._proxies.trusts(address):
            self._warns_of_proxies = False
            log.warning(
                "A proxy forwards requests of other machines, such as %s, to this server, which requires no login "
                "because it listens on a loopback address. Set RAILTRACK_AUTH=on, or off to keep it open.",
                address,
            )
        client = client_network(address)
        if self._requests[client] >= REQUESTS_LIMIT:
            raise not_processed("This client has too many requests in progress. Nothing was stored. Please retry.")
        self._requests[client] += 1
        http.counted_client = client

    def leave(self, http: HttpRequest) -> None:
        client = http.counted_client
        self._requests[client] -= 1
        if not self._requests[client]:
            del self._requests[client]


@lru_cache(maxsize=4096)
def client_network(address: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address: one client has all addresses of it."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return address
