"""Where a host name leads, and which addresses are those of the public internet, whatever form they come in.

For requests to hosts that users name: who resolves once, judges every address and connects to what was judged can't
be led elsewhere by a name that means something else the next time.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

RESOLVE_LIMIT_S = 5.0
ADDRESSES_LIMIT = 8

# IANA's special-purpose registries. `is_global` of the standard library has changed with Python's versions.
_SPECIAL_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and so the clouds' metadata
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
"""All that is given out so far; loopback, mapped IPv4, unique local, link-local and multicast lie outside."""
_SPECIAL_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # with Teredo, which leads to an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, likewise
        "3fff::/20",
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
"""How a network without IPv4 reaches the rest: the last 32 bits are the address that is meant."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is a single machine's address in the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


async def resolve(host: str) -> list[str]:
    """The addresses that a host name means, or that an address in any spelling is. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_LIMIT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} cannot be a host name") from error
    except TimeoutError as error:
        raise OSError("no answer in time") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES_LIMIT]


def first_not_public(addresses: list[str]) -> str | None:
    return next((one for one in addresses if not is_public(ip_address(one))), None)
