"""Log in by user name and password: at most a few checks at a time, throttled, and fair to other addresses."""

import asyncio
import time

import msgspec

from railtrack.auth.audit import PASSWORD, AuditLog
from railtrack.auth.passwords import PasswordChecks, needs_rehash
from railtrack.auth.throttle import LoginThrottle, throttle_key
from railtrack.auth.unauthenticated import WrongPassword
from railtrack.auth.users import User, find_user
from railtrack.db import Db
from railtrack.errors import ApiError, not_processed

WAITING_LIMIT = 16
"""Logins of one address that wait for each other."""
SUSPECTS_AT_ONCE = 1
"""Checks for addresses with failed logins at a time. The other thread of PasswordChecks stays free for the others."""
SUSPECTS_WAITING_LIMIT = 8
SUSPECT_TIMEOUT_S = 10
"""How long such an address waits for its turn. A user who mistypes a password during an attack can soon retry."""

FAILURE_S = 0.5
"""How long a wrong password takes at least: an imported hash takes another time than that of an unknown user."""


class PasswordLogin:
    """Checks passwords of users. Each worker has one."""

    def __init__(self, db: Db, audit_log: AuditLog | None = None) -> None:
        self.throttle = LoginThrottle()
        self._audit_log = audit_log
        self._db = db
        self._checks = PasswordChecks()
        self._lanes: dict[str, _Lane] = {}
        self._suspects = asyncio.Semaphore(SUSPECTS_AT_ONCE)
        self._suspects_waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store. Call this before a transaction is opened."""
        return await self._checks.hash(password)

    async def check(self, username: str, password: str, *, address: str, verified_hash: str = "") -> User:
        """Return the user with this name and password. Raise WrongPassword, or a 429 after too many of them.

        `verified_hash`: a hash that this password is known to have.
        """
        began = time.monotonic()
        user = await find_user(self._db, username)
        try:
            if user is None or not user.password_hash or user.password_hash != verified_hash:
                user = await self._verify(user, username, password, throttle_key(address))
            if user.is_disabled:
                raise WrongPassword
        except ApiError as error:
            self._record_failure(user, address, error)
            if isinstance(error, WrongPassword):
                await asyncio.sleep(began + FAILURE_S - time.monotonic())
            raise
        return user

    def _record_failure(self, user: User | None, address: str, error: ApiError) -> None:
        if self._audit_log is None:
            return
        reason = "wrong password" if isinstance(error, WrongPassword) else "not checked: too many logins"
        if user is None:
            self._audit_log.login_failed(None, "", address, PASSWORD, f"unknown user, {reason}")
        else:
            reason = "disabled user" if user.is_disabled else reason
            self._audit_log.login_failed(user.user_id, user.username, address, PASSWORD, reason)

    async def _verify(self, user: User | None, username: str, password: str, address: str) -> User:
        self.throttle.check(address, username)
        lane = self._lanes.setdefault(address, _Lane())
        if lane.waiting >= WAITING_LIMIT:
            raise _too_many_logins()
        lane.waiting += 1
        try:
            async with lane.lock:
                self.throttle.check(address, username)
                stored = user.password_hash if user else None
                is_right = await self._compare(password, stored, is_suspect=self.throttle.is_suspect(address))
                if user is None or stored is None or not is_right:
                    self.throttle.failed(address, username)
                    raise WrongPassword
                return await self._rehash(user, password) if needs_rehash(stored) else user
        finally:
            lane.waiting -= 1
            if not lane.waiting:
                self._lanes.pop(address, None)

    async def _compare(self, password: str, stored: str | None, *, is_suspect: bool) -> bool:
        if not is_suspect:
            return await self._checks.verify(password, stored)
        if self._suspects_waiting >= SUSPECTS_WAITING_LIMIT:
            raise _too_many_logins()
        self._suspects_waiting += 1
        try:
            async with asyncio.timeout(SUSPECT_TIMEOUT_S):
                await self._suspects.acquire()
        except TimeoutError:
            raise _too_many_logins() from None
        finally:
            self._suspects_waiting -= 1
        try:
            return await self._checks.verify(password, stored)
        finally:
            self._suspects.release()

    async def _rehash(self, user: User, password: str) -> User:
        """Replace an imported hash. The password stays the same, so nothing else changes."""
        new = await self._checks.hash(password)
        await self._db.execute(
            "UPDATE railtrack_users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2",
            user.user_id,
            user.password_hash,
            new,
        )
        return msgspec.structs.replace(user, password_hash=new)

    def close(self) -> None:
        self._checks.close()


class _Lane:
    """Logins of one address run one after the other, so that each counts before the next."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


def _too_many_logins() -> ApiError:
    return not_processed("Too many logins at the same time. Please retry, or use a token.")
