"""Password hashes: scrypt, in the format of MLflow's (werkzeug's), whose older hashes are verified as well.

Also the rules that a new password has to fulfil. Nothing here reads the database.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from railtrack.errors import invalid, not_processed

T = TypeVar("T")

N, R, P = 2**13, 8, 10
"""scrypt's cost: 8 MB and about 0.15 s, which OWASP lists as equivalent to N = 2**17, p = 1 with 128 MB."""
MEMORY_LIMIT = 64 * 1024 * 1024
"""Bytes that verifying an imported hash may take. MLflow's take 32 MB."""
PBKDF2_ITERATIONS_LIMIT = 5_000_000

NO_MATCH = f"scrypt:{N}:{R}:{P}${'0' * 32}$"
"""A hash that no password has. Comparing with it takes as long as with a user's."""

CHECKS_AT_ONCE = 2
CHECKS_QUEUED = 64
NICENESS = 5
"""The priority of the threads that compute hashes, below that of the event loops."""

MIN_LENGTH, MAX_LENGTH = 12, 1000
COMMON = frozenset(("password1234", "passwordpassword", "administrator", "adminadminadmin"))


def check_new_password(username: str, password: str) -> None:
    """Raise INVALID_PARAMETER_VALUE for a password that is too easy to guess. The message doesn't contain it."""
    if len(password) < MIN_LENGTH:
        raise invalid(f"Password must be at least {MIN_LENGTH} characters.")
    if len(password) > MAX_LENGTH:
        raise invalid(f"Invalid password: use up to {MAX_LENGTH} characters.")
    if "\0" in password:
        raise invalid("Invalid password: it contains a NUL character.")
    lower = password.lower()
    if lower in COMMON or lower == username.lower() or len(set(password)) <= 2:
        raise invalid("Invalid password: it is easy to guess. Use another one.")


def generate_password() -> str:
    """Return a password of 144 random bits."""
    return secrets.token_urlsafe(18)


def hash_password(password: str) -> str:
    """Return the salted hash to store. It takes a while: call it in a thread (PasswordChecks.hash)."""
    salt = secrets.token_hex(16)
    return f"scrypt:{N}:{R}:{P}${salt}${_scrypt(password, salt, N, R, P).hex()}"


def verify_password(password: str, stored: str) -> bool:
    """Return whether the password has this hash. An unknown or too expensive format is no match."""
    method, _, rest = stored.partition("$")
    salt, _, expected = rest.partition("$")
    try:
        digest = _digest(password, method, salt)
    except ValueError:
        return False
    return hmac.compare_digest(digest.hex(), expected)


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was imported, or made with another cost."""
    return not stored.startswith(f"scrypt:{N}:{R}:{P}$")


def _digest(password: str, method: str, salt: str) -> bytes:
    match method.split(":"):
        case ["scrypt", n, r, p]:
            return _scrypt(password, salt, int(n), int(r), int(p))
        case ["pbkdf2", "sha256" | "sha512" as algorithm, iterations]:
            if not 0 < int(iterations) <= PBKDF2_ITERATIONS_LIMIT:
                raise ValueError("too many iterations")
            return hashlib.pbkdf2_hmac(algorithm, password.encode(), salt.encode(), int(iterations))
    raise ValueError("unknown method")


def _scrypt(password: str, salt: str, n: int, r: int, p: int) -> bytes:
    if not 0 < 128 * n * r <= MEMORY_LIMIT or not 0 < p <= 16:
        raise ValueError("the parameters of scrypt are out of range")
    memory = 132 * n * r + 256 * r * p + 1024 * 1024
    return hashlib.scrypt(password.encode(errors="surrogatepass"), salt=salt.encode(), n=n, r=r, p=p, maxmem=memory)


class PasswordChecks:
    """Computes hashes in at most CHECKS_AT_ONCE threads of low priority, so that the event loop goes on."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, "password", initializer=_lower_priority)
        self._queued = 0

    async def hash(self, password: str) -> str:
        return await self._run(hash_password, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether the password matches. For an unknown user (None) it takes as long and never does."""
        return await self._run(verify_password, password, stored or NO_MATCH)

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._queued >= CHECKS_QUEUED:
            raise not_processed("Too many logins at the same time. Please retry.")
        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._queued -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    # Linux has a priority for each thread; elsewhere this would change the whole process.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
