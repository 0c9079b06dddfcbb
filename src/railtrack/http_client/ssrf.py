"""Protection against server-side request forgery: resolve host names, and distinguish public addresses.

For requests to hosts that users name: resolve once, check every address, and connect to a checked address. A name that
resolves to something else the next time then has no effect.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

RESOLVE_TIMEOUT_S = 5.0
MAX_ADDRESSES = 8

# IANA's special-purpose registries. `is_global` of the standard library has changed with Python's versions.
_SPECIAL_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, including cloud metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
]
_UNICAST_V6 = IPv6Network("2000::/3")
"""All unicast addresses assigned so far; loopback, mapped IPv4, unique local, link-local and multicast are outside."""
_SPECIAL_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # includes Teredo, which embeds an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, likewise
        "3fff::/20",
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
"""Networks without IPv4 reach IPv4 addresses through this prefix; the last 32 bits are the address."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address is a unicast address of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


async def resolve(host: str) -> list[str]:
    """Return the addresses of a host name, or of an address in any spelling. Raise OSError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"invalid host name: {host!r}") from error
    except TimeoutError as error:
        raise OSError("timed out") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]


def first_not_public(addresses: list[str]) -> str | None:
    return next((one for one in addresses if not is_public(ip_address(one))), None)
