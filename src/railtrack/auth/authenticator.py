"""Find the user of a request: by token, by user name and password, or by session. Results are cached for a while.

The cache is keyed by a MAC of the credential, so that the process holds no list of credentials in use. Passwords are
checked in password_login.py. What an identity may do is not decided here.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from base64 import b64decode
from typing import Any, NamedTuple, Protocol, TypeVar

from railtrack.auth.audit import PASSWORD, AuditLog, session_credential
from railtrack.auth.identity import Identity
from railtrack.auth.password_login import PasswordLogin
from railtrack.auth.sessions import IDLE_MS, cookie_name, cookie_value, end_session, session_hash, set_cookie
from railtrack.auth.state import AuthState, bump
from railtrack.auth.tokens import is_token, parse_scope, token_hash
from railtrack.auth.unauthenticated import Unauthenticated, WrongPassword
from railtrack.auth.users import User, create_user, find_user, name_in_another_case
from railtrack.clock import now_ms
from railtrack.db import Db, Tx
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import permission_denied

T = TypeVar("T")

log = logging.getLogger("railtrack")

CACHE_LIMIT = 4096
"""Credentials in the cache of a worker."""
CACHE_S = 60.0
"""An identity is read again after so long: that records the use of a token or session, too."""
CREDENTIAL_LIMIT = 4096
"""Characters of a credential. No client of this server has a longer one."""

SESSION = "\0session"
PROXY = "\0proxy"
"""The schemes of a session's cookie and of a proxy's header, which no Authorization header can have."""

LOGGED_OUT = "mlflow-logged-out-"
"""The beginning of the user name that MLflow's web interface sends to log out."""


class RequestHeaders(Protocol):
    """What this module needs of a request. HttpRequest of wire/ has it."""

    def header(self, name: bytes) -> str: ...


class Connection(Protocol):
    """How a request arrived, as trusted proxies report it. TrustedProxies of wire/ implements it."""

    def client(self, http: Any, /) -> str:
        """Return the client's address."""

    def is_tls(self, http: Any, /) -> bool:
        """Return whether the client uses HTTPS."""

    def host(self, http: Any, /) -> str:
        """Return the Host that the client requested, by a trusted proxy's header, "" without one."""


class HeaderLogin(Protocol):
    """The login by a proxy. TrustedHeader of wire/ implements it."""

    creates_users: bool

    def username(self, http: Any, /) -> str:
        """Return the user that a named proxy has logged in, "" if the request is not from one."""


class _Login(NamedTuple):
    identity: Identity
    version: int
    expires: float
    """In seconds of time.monotonic()."""
    password_hash: str
    """The hash that the password matched. While the user has it, scrypt need not run. "" for tokens and sessions."""


class _Rejection(NamedTuple):
    version: int
    expires: float


class Authenticator:
    """Identifies the users of requests. Each worker has one. All paths of the server begin with `prefix`."""

    def __init__(
        self,
        db: Db,
        connection: Connection,
        *,
        header: HeaderLogin | None = None,
        prefix: str = "",
        audit_log: AuditLog | None = None,
    ) -> None:
        self.state = AuthState(db)
        self.passwords = PasswordLogin(db, audit_log)
        self._audit_log = audit_log
        self._db = db
        self._connection = connection
        self._header = header
        self._prefix = prefix
        self._key = secrets.token_bytes(32)
        self._logins: dict[bytes, _Login] = {}
        self._rejected: dict[bytes, _Rejection] = {}
        self._pending: dict[bytes, asyncio.Event] = {}
        self._updates: set[asyncio.Task[int]] = set()

    async def identify(self, http: RequestHeaders) -> Identity:
        """Return the identity. Raise Unauthenticated for a request without a valid credential."""
        credential = self._proxy_credential(http) if self._header else ""
        credential = credential or http.header(b"authorization") or self._session_credential(http)
        if not credential:
            raise Unauthenticated
        key = hashlib.blake2b(credential.encode(), key=self._key, digest_size=16).digest()
        now = time.monotonic()
        if now >= self.state.current_until:
            await self.state.refresh()
        login = self._logins.get(key)
        if login is not None and login.version == self.state.version and now < login.expires:
            return login.identity
        return await self._log_in(http, credential, key)

    async def _log_in(self, http: RequestHeaders, credential: str, key: bytes) -> Identity:
        """Look the credential up, once for all requests that send it at the same time, and cache the result."""
        while pending := self._pending.get(key):
            await pending.wait()
            login = self._logins.get(key)
            if login is not None and login.version == self.state.version and time.monotonic() < login.expires:
                return login.identity
        # Read before the user is: a change since then makes the new entry outdated.
        version = self.state.version
        rejected = self._rejected.get(key)
        if rejected is not None and rejected.version == version and time.monotonic() < rejected.expires:
            raise WrongPassword
        pending = self._pending[key] = asyncio.Event()
        try:
            known = self._logins.get(key)
            login = await self._look_up(http, credential, version, known.password_hash if known else "")
        except WrongPassword:
            # A program that repeats a wrong password costs nothing, and is not throttled for it.
            _put(self._rejected, key, _Rejection(version, time.monotonic() + CACHE_S))
            raise
        finally:
            del self._pending[key]
            pending.set()
        _put(self._logins, key, login)
        return login.identity

    def session(self, http: RequestHeaders) -> str:
        """Return the value of the session's cookie, "" without one."""
        cookies = http.header(b"cookie")
        if not cookies:
            return ""
        return cookie_value(cookies, cookie_name(self._prefix, is_tls=self._connection.is_tls(http)))

    async def close(self) -> None:
        """Finish the statements that record the use of credentials. Call this before the database is closed."""
        self.passwords.close()
        if self._updates:
            await asyncio.wait(self._updates)

    def _session_credential(self, http: RequestHeaders) -> str:
        session = self.session(http)
        return f"{SESSION} {session}" if session else ""

    def _proxy_credential(self, http: RequestHeaders) -> str:
        username = self._header.username(http) if self._header else ""
        return f"{PROXY} {username}" if username else ""

    def address(self, http: RequestHeaders) -> str:
        """Return the client's address."""
        return self._connection.client(http)

    def is_tls(self, http: RequestHeaders) -> bool:
        return self._connection.is_tls(http)

    def public_url(self, http: RequestHeaders) -> str:
        """Return scheme and host by which the browser reaches this server."""
        host = self._connection.host(http) or http.header(b"host")
        return f"{'https' if self.is_tls(http) else 'http'}://{host}"

    async def _look_up(self, http: RequestHeaders, credential: str, version: int, verified_hash: str) -> _Login:
        scheme, _, value = credential.partition(" ")
        value = value.strip()
        if len(value) > CREDENTIAL_LIMIT:
            raise Unauthenticated("The Authorization header is too long.")
        match scheme.lower():
            case "bearer":
                return await self._by_token(value, version, self.address(http))
            case "basic":
                username, password = _basic(value)
                if is_token(password):
                    return await self._by_token(password, version, self.address(http))
                if username.startswith(LOGGED_OUT):
                    raise Unauthenticated("You are logged out.", headers=await self._log_out(http))
                return await self._by_password(username, password, version, verified_hash, self.address(http))
            case _ if scheme == SESSION:
                return await self._by_session(value, version)
            case _ if scheme == PROXY:
                return await self._by_proxy(http, value, version, is_new=not verified_hash)
        raise Unauthenticated("The Authorization header has an unknown scheme.")

    async def _by_token(self, token: str, version: int, address: str) -> _Login:
        if not is_token(token):
            self._login_failed(None, "", address, "token", "malformed token")
            raise Unauthenticated("The token is invalid.")
        now = now_ms()
        row = await self._db.fetch_row(
            """
            SELECT u.user_id, u.username, u.is_admin, t.token_id, t.scope, t.expires_ms, t.last_used_ms,
                t.revoked_ms, u.is_disabled
            FROM railtrack_tokens t JOIN railtrack_users u ON u.user_id = t.user_id
            WHERE t.token_hash = $1
            """,
            token_hash(token),
        )
        if row is None:
            self._login_failed(None, "", address, "token", "unknown token")
            raise Unauthenticated("The token is invalid, or it was revoked.")
        user_id, username, is_admin, token_id, scope, expires_ms, last_used_ms, revoked_ms, is_disabled = row
        credential = f"token {token_id}"
        if revoked_ms is not None or is_disabled:
            reason = "disabled user" if is_disabled else "revoked token"
            self._login_failed(user_id, username, address, credential, reason)
            raise Unauthenticated("The token is invalid, or it was revoked.")
        if expires_ms is not None and expires_ms <= now:
            self._login_failed(user_id, username, address, credential, "expired token")
            raise Unauthenticated("The token has expired.")
        if last_used_ms is None or now - last_used_ms >= CACHE_S * 1000:
            self._update("UPDATE railtrack_tokens SET last_used_ms = $2 WHERE token_id = $1", token_id, now)
        seconds = CACHE_S if expires_ms is None else min(CACHE_S, (expires_ms - now) / 1000)
        identity = Identity(user_id, username, bool(is_admin), "token", parse_scope(scope), credential=credential)
        return _Login(identity, version, time.monotonic() + seconds, "")

    async def _by_password(
        self, username: str, password: str, version: int, verified_hash: str, address: str
    ) -> _Login:
        user = await self.passwords.check(username, password, address=address, verified_hash=verified_hash)
        if self._audit_log is not None and not verified_hash:
            self._audit_log.logged_in(user.user_id, user.username, address, PASSWORD)
        identity = Identity(
            user.user_id,
            user.username,
            user.is_admin,
            "basic",
            must_change_password=user.must_change_password,
            credential=PASSWORD,
        )
        return _Login(identity, version, time.monotonic() + CACHE_S, user.password_hash or "")

    async def _by_proxy(self, http: RequestHeaders, username: str, version: int, *, is_new: bool) -> _Login:
        address = self.address(http)
        user = await find_user(self._db, username)
        if user is None and self._header is not None and self._header.creates_users:
            user = await retry_on_conflict(self._create_user, http, username)
            version = -1  # of this login only: the next request reads the version with the new user
        if user is None:
            self._login_failed(None, "", address, "proxy", "unknown user")
            raise permission_denied(
                f"The proxy has logged in {username[:255]!r}, who is no user of this server. An administrator creates "
                "the user by: railtrack users create NAME --no-password"
            )
        if user.is_disabled:
            self._login_failed(user.user_id, user.username, address, "proxy", "disabled user")
            raise permission_denied(f"The user {user.username} is disabled.")
        if is_new and self._audit_log is not None:
            self._audit_log.logged_in(user.user_id, user.username, address, "proxy")
        identity = Identity(user.user_id, user.username, user.is_admin, "proxy")
        return _Login(identity, version, time.monotonic() + CACHE_S, PROXY)

    async def _create_user(self, http: RequestHeaders, username: str) -> User:
        async with self._db.write() as tx:
            await bump(tx)  # locks out other workers that create the same user
            user = await find_user(tx, username)
            if user is None:
                if twin := await name_in_another_case(tx, username):
                    # One person with two accounts would miss half of the work, and two persons must not share one.
                    raise permission_denied(
                        f"The proxy has logged in {username[:255]!r}, but the user is {twin!r}. Have the proxy send "
                        "the same name each time. If these are two persons, an administrator creates the other one by: "
                        "railtrack users create NAME --no-password"
                    )
                user = await create_user(tx, username, None)
                if self._audit_log is not None:
                    identity = Identity(user.user_id, username, False, "proxy")
                    await self._audit_log.record(tx, identity, http, "login", "user", username, "created the user")
            return user

    async def _log_out(self, http: RequestHeaders) -> tuple[tuple[bytes, bytes], ...]:
        """End the session of the request's cookie, and return the header that deletes the cookie."""
        session = self.session(http)
        if not session:
            return ()
        async with self._db.write() as tx:
            await self.end_session(tx, http, session)
        self.state.expire()
        return ((b"set-cookie", self.cookie(http, "", max_age_s=0).encode()),)

    async def end_session(self, tx: Tx, http: RequestHeaders, session: str) -> None:
        """Log the user of the session out."""
        hashed = session_hash(session)
        row = await tx.fetch_row(
            """
            SELECT u.user_id, u.username FROM railtrack_sessions s JOIN railtrack_users u ON u.user_id = s.user_id
            WHERE s.session_hash = $1
            """,
            hashed,
        )
        if row is None:
            return
        await end_session(tx, hashed)
        if self._audit_log is not None:
            user_id, username = row
            credential = session_credential(hashed)
            await self._audit_log.record_logout(tx, user_id, username, self.address(http), credential)

    def cookie(self, http: RequestHeaders, session: str, *, max_age_s: int | None = None) -> str:
        """Return the Set-Cookie header of a session for this client."""
        return set_cookie(cookie_name(self._prefix, is_tls=self.is_tls(http)), session, max_age_s=max_age_s)

    async def _by_session(self, session: str, version: int) -> _Login:
        now = now_ms()
        hashed = session_hash(session)
        row = await self._db.fetch_row(
            """
            SELECT u.user_id, u.username, u.is_admin, u.must_change_password, s.expires_ms, s.last_seen_ms
            FROM railtrack_sessions s JOIN railtrack_users u ON u.user_id = s.user_id
            WHERE s.session_hash = $1 AND s.expires_ms > $2 AND s.last_seen_ms > $3 AND NOT u.is_disabled
            """,
            hashed,
            now,
            now - IDLE_MS,
        )
        if row is None:
            raise Unauthenticated("The session has ended.")
        user_id, username, is_admin, must_change_password, expires_ms, last_seen_ms = row
        if now - last_seen_ms >= CACHE_S * 1000:
            self._update("UPDATE railtrack_sessions SET last_seen_ms = $2 WHERE session_hash = $1", hashed, now)
        seconds = min(CACHE_S, (expires_ms - now) / 1000)
        identity = Identity(
            user_id,
            username,
            bool(is_admin),
            "session",
            must_change_password=bool(must_change_password),
            credential=session_credential(hashed),
        )
        return _Login(identity, version, time.monotonic() + seconds, "")

    def _login_failed(self, user_id: int | None, username: str, address: str, credential: str, reason: str) -> None:
        if self._audit_log is not None:
            self._audit_log.login_failed(user_id, username, address, credential, reason)

    def _update(self, sql: str, *args: Any) -> None:
        """Record the use of a credential, without a wait of the request for it."""
        task = asyncio.create_task(self._db.execute(sql, *args))
        self._updates.add(task)
        task.add_done_callback(self._updated)

    def _updated(self, task: "asyncio.Task[int]") -> None:
        self._updates.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("The last use of a credential was not recorded: %s", error)


def _put(cache: dict[bytes, T], key: bytes, value: T) -> None:
    """Add the value as the last one, and remove the first one if the cache is full."""
    cache.pop(key, None)
    if len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[key] = value


def _basic(value: str) -> tuple[str, str]:
    """Return user name and password of a Basic credential."""
    try:
        text = b64decode(value, validate=True)
    except ValueError:
        raise Unauthenticated("The Authorization header is not valid.") from None
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")  # older clients
    username, separator, password = decoded.partition(":")
    if not separator:
        raise Unauthenticated("The Authorization header is not valid.")
    return username, password
