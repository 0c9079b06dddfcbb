"""A login in progress: state, nonce and PKCE verifier. All are derived from a secret in the browser's cookie.

So nothing is stored on the server, any worker or replica can finish the login, and nobody can fill a memory or a table
with logins that never end.
"""

import hashlib
import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

LIFETIME_S = 15 * 60
RETURN_PATH_LIMIT = 1000
"""Characters of the path to return to. Providers limit the length of the state, which contains it."""
STATE_LIMIT = 2000
_STATE = re.compile(r"([\w-]{22})\.([0-9]{1,12})\.([\w-]*)\.([\w-]{43})", re.ASCII)


class LoginAttempt(NamedTuple):
    state: str
    """Only the browser with the secret accepts it back: a login that another browser began is not finished in it."""
    nonce: str
    verifier: str
    return_path: str

    @property
    def challenge(self) -> str:
        """Return the PKCE challenge of the method S256."""
        return _encode(hashlib.sha256(self.verifier.encode()).digest())


def begin_attempt(secret: str, return_path: str) -> LoginAttempt:
    """Return a new attempt. `secret`: the value of the browser's cookie."""
    if len(return_path) > RETURN_PATH_LIMIT:
        return_path = ""
    return _attempt(secret, f"{secrets.token_urlsafe(16)}.{int(time.time())}.{_encode(return_path.encode())}")


def resume_attempt(secret: str, state: str) -> LoginAttempt | None:
    """Return the attempt of this state, None unless the browser with this secret began it, a short time ago."""
    match = _STATE.fullmatch(state) if len(state) <= STATE_LIMIT else None
    if match is None or not secret:
        return None
    attempt = _attempt(secret, state.rpartition(".")[0])
    is_valid = hmac.compare_digest(attempt.state, state) and int(match[2]) > time.time() - LIFETIME_S
    return attempt if is_valid else None


def _attempt(secret: str, content: str) -> LoginAttempt:
    def derive(purpose: str) -> str:
        return _encode(hmac.digest(secret.encode(), f"{purpose} {content}".encode(), "sha256"))

    return_path = content.rpartition(".")[2]
    try:
        decoded = urlsafe_b64decode(return_path + "=" * (-len(return_path) % 4)).decode()
    except ValueError:
        decoded = ""
    return LoginAttempt(f"{content}.{derive('state')}", derive("nonce"), derive("verifier"), decoded)


def _encode(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
