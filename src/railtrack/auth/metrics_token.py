"""The token of Prometheus, which may read the metrics and nothing else. It is a setting, not a user's."""

import hmac
from typing import Protocol


class AuthorizationHeader(Protocol):
    def header(self, name: bytes) -> str: ...


def has_metrics_token(http: AuthorizationHeader, token: str) -> bool:
    """Return whether the request has the token of the setting. Without one, no request has it."""
    scheme, _, sent = http.header(b"authorization").partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())
