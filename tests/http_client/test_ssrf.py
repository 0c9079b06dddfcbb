"""Public addresses are distinguished from others, in every spelling."""

from ipaddress import ip_address

import pytest

from railtrack.http_client.ssrf import first_not_public, is_public, resolve

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "64:ff9b::808:808",
)
NOT_PUBLIC = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_unicast_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_every_other_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "localhost", "LOCALHOST"]
)
async def test_loopback_is_recognized_in_every_spelling(host: str) -> None:
    found = await resolve(host)
    assert found
    assert first_not_public(found) in ("127.0.0.1", "::1")


@pytest.mark.parametrize(("host", "address"), [("::ffff:127.0.0.1", "::ffff:127.0.0.1"), ("8.8.8.8", None)])
async def test_one_address_that_is_not_public_is_reported(host: str, address: str | None) -> None:
    assert first_not_public(["1.1.1.1", *await resolve(host)]) == address


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".example", ".", "a..b", "exa mple"])
async def test_resolving_a_name_without_an_address_raises(host: str) -> None:
    with pytest.raises(OSError, match=r"."):
        await resolve(host)
