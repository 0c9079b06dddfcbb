"""The login by a proxy: a header in which it sends the user's name. From other peers than the named ones it is ignored.

The peer is the other end of the connection. X-Forwarded-For, which clients can send, does not matter here.
"""

from collections.abc import Iterable

from railtrack.auth.unauthenticated import Unauthenticated
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest


class TrustedHeader:
    def __init__(self, name: str, proxies: Iterable[str], *, creates_users: bool) -> None:
        self.creates_users = creates_users
        self._name = name.lower().encode()
        self._proxies = TrustedProxies(proxies)

    def username(self, http: HttpRequest) -> str:
        """Return the user's name, "" without one. Raise Unauthenticated for several: one may be the client's."""
        values = http.header_list(self._name)
        if not values or not self._proxies.trusts(http.peer):
            return ""
        if len(values) > 1:
            raise Unauthenticated(f"The header {self._name.decode()} has several values. The proxy has to replace it.")
        try:
            return values[0].strip().encode("latin-1").decode()
        except UnicodeDecodeError:
            raise Unauthenticated(f"The header {self._name.decode()} is not UTF-8.") from None
