"""API tokens: their text, their scopes, and their SQL. Callers check who may create and revoke them."""

import hashlib
import re
import secrets
import zlib

import msgspec

from railtrack.auth.identity import TokenScope
from railtrack.auth.state import bump
from railtrack.clock import now_ms
from railtrack.db import Tx
from railtrack.errors import invalid, invalid_state

PREFIX = "rtk_"
"""Scanners for leaked secrets recognize a token by it, and by the checksum."""
SECRET_LENGTH, CHECKSUM_LENGTH = 43, 6
"""Characters: 43 of base 62 hold 256 bits, 6 a CRC-32."""
HINT_LENGTH = 8

TOKENS_LIMIT = 200
"""Tokens of one user that are neither revoked nor expired."""
KEPT_MS = 90 * 24 * 60 * 60 * 1000
"""How long revoked and expired tokens are listed."""
NAME_LIMIT = 255
TARGET_LIMIT = 500

_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class ApiToken(msgspec.Struct, frozen=True):
    """A stored token. `hint`: its first characters."""

    token_id: int
    user_id: int
    name: str
    hint: str
    scope: str
    created_ms: int
    expires_ms: int | None
    last_used_ms: int | None
    revoked_ms: int | None

    def is_active(self, now: int) -> bool:
        return self.revoked_ms is None and (self.expires_ms is None or self.expires_ms > now)


def generate_token() -> str:
    body = PREFIX + _base62(secrets.randbits(256), SECRET_LENGTH)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Return whether the text has the form of a token, checksum included. A typo needs no look into the database."""
    return _TOKEN.fullmatch(text) is not None and _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def token_hash(token: str) -> str:
    """Return the hash to store. It needs no salt and no cost: nobody can try out 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse_scope(text: str) -> TokenScope | None:
    """Return the scope of `all` (None), `read`, `experiment:<id>` or `registered_model:<name>`."""
    kind, separator, target = text.partition(":")
    match kind:
        case "all" if not separator:
            return None
        case "read" if not separator:
            return TokenScope("read")
        case "experiment" if re.fullmatch(r"0|[1-9]\d{0,18}", target, re.ASCII):
            return TokenScope("experiment", target)
        case "registered_model" if target and len(target) <= TARGET_LIMIT and "\0" not in target:
            return TokenScope("registered_model", target)
    raise invalid(f"Invalid scope {text[:TARGET_LIMIT]!r}. Use all, read, experiment:<id> or registered_model:<name>.")


async def create_token(tx: Tx, user_id: int, name: str, *, scope: str = "all", expires_ms: int | None = None) -> str:
    """Store a new token and return it. It cannot be read again."""
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise invalid(f"Invalid token name: use 1 to {NAME_LIMIT} printable characters.")
    parse_scope(scope)
    now = now_ms()
    if expires_ms is not None and expires_ms <= now:
        raise invalid("Invalid expiry: it is in the past.")
    await bump(tx)  # also serializes the check of the limit
    if sum(one.is_active(now) for one in await list_tokens(tx, user_id)) >= TOKENS_LIMIT:
        raise invalid_state(f"The user has {TOKENS_LIMIT} tokens. Revoke some of them first.")
    token = generate_token()
    await tx.execute(
        "DELETE FROM railtrack_tokens WHERE user_id = $1 AND (revoked_ms <= $2 OR expires_ms <= $2)",
        user_id,
        now - KEPT_MS,
    )
    await tx.execute(
        """
        INSERT INTO railtrack_tokens (user_id, name, hint, token_hash, scope, created_ms, expires_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        user_id,
        name,
        token[:HINT_LENGTH],
        token_hash(token),
        scope,
        now,
        expires_ms,
    )
    return token


async def list_tokens(tx: Tx, user_id: int | None = None) -> list[ApiToken]:
    """Return the tokens of a user, or of all users, newest first, revoked and expired ones included."""
    rows = await tx.fetch(
        """
        SELECT token_id, user_id, name, hint, scope, created_ms, expires_ms, last_used_ms, revoked_ms
        FROM railtrack_tokens
        WHERE CAST($1 AS BIGINT) IS NULL OR user_id = $1
        ORDER BY created_ms DESC, token_id DESC
        """,
        user_id,
    )
    return [ApiToken(*row) for row in rows]


async def revoke_token(tx: Tx, token_id: int, user_id: int) -> bool:
    """End a token of the user. Return whether there was one that was not revoked yet."""
    await bump(tx)
    revoked = await tx.execute(
        "UPDATE railtrack_tokens SET revoked_ms = $3 WHERE token_id = $1 AND user_id = $2 AND revoked_ms IS NULL",
        token_id,
        user_id,
        now_ms(),
    )
    return revoked > 0


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
