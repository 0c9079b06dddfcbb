"""Sessions of browsers: their cookie, their lifetime, and their SQL. The login page is in api/account/."""

import hashlib
import hmac
import secrets

import msgspec

from railtrack.auth.state import bump
from railtrack.clock import now_ms
from railtrack.db import Tx

HOUR_MS = 60 * 60 * 1000
IDLE_MS = 12 * HOUR_MS
"""A session ends after so long without a request."""
ABSOLUTE_MS = 7 * 24 * HOUR_MS
"""A session ends so long after the login, also in use."""
SESSIONS_LIMIT = 50
"""Sessions of one user. A login beyond it ends the oldest."""
ADDRESS_LIMIT, USER_AGENT_LIMIT = 64, 255


class Session(msgspec.Struct, frozen=True):
    """`session_hash` identifies the session, and does not let anyone use it."""

    session_hash: str
    created_ms: int
    last_seen_ms: int
    expires_ms: int
    address: str
    user_agent: str


def cookie_name(prefix: str, *, is_tls: bool) -> str:
    """Return the cookie's name. Servers under different prefixes of one host have different ones.

    A browser takes a `__Host-` cookie only over TLS, from this host, for all paths: no other host can set it.
    """
    return f"{'__Host-' if is_tls else ''}railtrack{prefix.replace('/', '-')}"


def cookie_value(header: str, name: str) -> str:
    """Return the value of a cookie in a Cookie header, "" if it is not there."""
    for part in header.split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            return value.strip()
    return ""


def set_cookie(name: str, value: str, *, max_age_s: int | None = None) -> str:
    """Return a Set-Cookie header. Scripts cannot read the cookie, and other sites send it with navigations only."""
    age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
    secure = "; Secure" if name.startswith("__Host-") else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


def session_hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


def csrf_token(session: str) -> str:
    """Return the token that forms of this session send. Only who knows the cookie can compute it."""
    return hmac.digest(session.encode(), b"csrf", "sha256").hex()


def is_csrf_token(session: str, token: str) -> bool:
    return hmac.compare_digest(csrf_token(session).encode(), token.encode())


async def create_session(tx: Tx, user_id: int, *, address: str, user_agent: str) -> str:
    """Store a new session and return the value of its cookie. Delete the ended sessions of all users."""
    session, now = secrets.token_urlsafe(32), now_ms()
    await tx.execute("DELETE FROM railtrack_sessions WHERE expires_ms <= $1 OR last_seen_ms <= $2", now, now - IDLE_MS)
    await tx.execute(
        """
        DELETE FROM railtrack_sessions WHERE session_hash = ANY($1)
        """,
        [one.session_hash for one in (await list_sessions(tx, user_id))[SESSIONS_LIMIT - 1 :]],
    )
    await tx.execute(
        """
        INSERT INTO railtrack_sessions
            (session_hash, user_id, created_ms, last_seen_ms, expires_ms, address, user_agent)
        VALUES ($1, $2, CAST($3 AS BIGINT), CAST($3 AS BIGINT), $4, $5, $6)
        """,
        session_hash(session),
        user_id,
        now,
        now + ABSOLUTE_MS,
        address[:ADDRESS_LIMIT],
        user_agent[:USER_AGENT_LIMIT].replace("\0", ""),
    )
    return session


async def list_sessions(tx: Tx, user_id: int) -> list[Session]:
    """Return the sessions of a user, the last used first."""
    rows = await tx.fetch(
        """
        SELECT session_hash, created_ms, last_seen_ms, expires_ms, address, user_agent FROM railtrack_sessions
        WHERE user_id = $1 ORDER BY last_seen_ms DESC, session_hash
        """,
        user_id,
    )
    return [Session(*row) for row in rows]


async def find_session(tx: Tx, session_hash: str) -> Session | None:
    row = await tx.fetch_row(
        """
        SELECT session_hash, created_ms, last_seen_ms, expires_ms, address, user_agent FROM railtrack_sessions
        WHERE session_hash = $1
        """,
        session_hash,
    )
    return None if row is None else Session(*row)


async def end_session(tx: Tx, session_hash: str, user_id: int | None = None) -> bool:
    """End a session, only of `user_id` if given. Return whether there was one."""
    ended = await tx.execute(
        "DELETE FROM railtrack_sessions WHERE session_hash = $1 AND (CAST($2 AS BIGINT) IS NULL OR user_id = $2)",
        session_hash,
        user_id,
    )
    if ended:  # anybody may send the cookie of no session, which has to be cheap
        await bump(tx)
    return ended > 0
