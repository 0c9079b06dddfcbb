"""Throttle failed logins, by address and by account, in bounded memory. Each worker counts for itself.

Only passwords are throttled. Tokens and sessions have 256 random bits, which nobody guesses, and a cached login is not
checked again. So an attacker cannot lock out others at its address, such as a proxy's, who have one of these.
"""

import time
from ipaddress import IPv6Address, ip_address, ip_network

from railtrack.errors import not_processed

ADDRESS_FAILURES = 10
"""Failed logins of one address before it has to wait: one in FORGET_S is forgotten."""
ACCOUNT_FAILURES = 20
"""Failed logins of one account, from any address. Beyond it, addresses with a recent failure have to wait."""
FORGET_S = 60.0
KEYS_LIMIT = 10_000
"""Addresses, and accounts, with failures that are remembered. The oldest are forgotten first."""
IPV6_PREFIX = 64


class FailureCounters:
    """Counters that decrease by one every FORGET_S."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._counters)

    def count(self, key: str) -> float:
        stored = self._counters.get(key)
        if stored is None:
            return 0.0
        failures, at = stored
        return max(0.0, failures - (time.monotonic() - at) / FORGET_S)

    def increment(self, key: str) -> None:
        failures = self.count(key) + 1
        self._counters.pop(key, None)  # moves it to the end
        if len(self._counters) >= KEYS_LIMIT:
            del self._counters[next(iter(self._counters))]
        self._counters[key] = (failures, time.monotonic())


class LoginThrottle:
    """Decides whether a password may be checked."""

    def __init__(self) -> None:
        self.addresses = FailureCounters()
        self.accounts = FailureCounters()

    def check(self, address: str, username: str) -> None:
        """Raise the 429 if there were too many failures.

        An address without a recent failure always passes: a user with the right password gets in, whatever others try.
        """
        failures = self.addresses.count(address)
        limit = 1 if self.accounts.count(username) >= ACCOUNT_FAILURES else ADDRESS_FAILURES
        # A failure of a moment ago counts as slightly less than one.
        if failures > limit - 0.5:
            raise not_processed(
                f"Too many failed logins. Please wait {FORGET_S * (failures - limit + 1):.0f} s, or use a token."
            )

    def check_address(self, address: str) -> None:
        """Raise the 429 if the address had too many failures, for a login that names no account."""
        self.check(address, "")

    def is_suspect(self, address: str) -> bool:
        """Return whether the address has a recent failure."""
        return self.addresses.count(address) > 0

    def failed(self, address: str, username: str) -> None:
        self.addresses.increment(address)
        self.accounts.increment(username)


def throttle_key(address: str) -> str:
    """Return the address, or for IPv6 its /64 network: one customer of a provider has that many addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
