"""Record who did what in the audit log: changes in their own transactions, the rest in the background.

A change must have its entry. Denied requests and logins change nothing, and anybody can cause any number of them: they
are counted in memory, and stored as few entries. The entries and their SQL: audit_entries.py.
"""

import asyncio
import getpass
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from railtrack.auth.audit_entries import (
    DENIED_SHARE,
    NAME_LIMIT,
    TEXT_LIMIT,
    AuditEntry,
    add_entries,
    delete_older,
    delete_surplus,
)
from railtrack.auth.identity import Identity
from railtrack.auth.throttle import throttle_key
from railtrack.clock import now_ms
from railtrack.config.settings import AuditSettings
from railtrack.db import Conflict, Db, Tx
from railtrack.errors import ApiError
from railtrack.logs.throttle import ThrottledLog

log = logging.getLogger("railtrack")

LOGIN = "login"
LOGOUT = "logout"
COMMAND = "command"
PASSWORD = "password"  # noqa: S105 (the name of a kind of credential)
WRITE_AFTER_S = 2.0
"""How long an entry waits for others, to be stored with them."""
REPEAT_S = 60.0
"""Equal events within this time become one entry."""
KEYS_LIMIT = 256
"""Different events that a worker counts at a time. What exceeds them becomes one entry for all."""
BURST, ENTRY_EVERY_S = 100, 10.0
"""Entries of this kind that a worker stores at once, and how long until one more may follow."""
QUEUE_LIMIT = 1000
"""Entries that wait while the database cannot be reached."""
RETRY_S = 10.0

DAY_MS = 24 * 60 * 60 * 1000
FIRST_CLEANUP_S = 60.0
CLEANUP_EVERY_S = 3600.0
CLEANUP_PAUSE_S = 0.05


class ClientAddress(Protocol):
    """TrustedProxies of wire/ implements it."""

    def client(self, http: Any, /) -> str: ...


def session_credential(session_hash: str) -> str:
    """Return the text for a session in entries: enough of its hash to recognize it."""
    return f"session {session_hash[:8]}"


def credential_of(identity: Identity) -> str:
    return identity.credential or identity.via


class AuditLog:
    """The audit log of one worker. `cleans_up`: it also deletes old entries, which one worker of a server does."""

    def __init__(self, db: Db, connection: ClientAddress, settings: AuditSettings, *, cleans_up: bool) -> None:
        self._db = db
        self._connection = connection
        self._settings = settings
        self._cleans_up = cleans_up
        # Two of them: nobody without a login can displace what users were denied.
        self._logins = EventCounters(LOGIN)
        self._denials = EventCounters("several")
        self._waiting: deque[AuditEntry] = deque()
        self._lost = 0
        self._warnings = ThrottledLog(interval_s=60)
        self._wake_up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._write_in_background())]
        if self._cleans_up:
            self._tasks.append(asyncio.create_task(self._clean_up_in_background()))

    async def stop(self) -> None:
        """Store what waits, as far as the database can be reached."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._write(everything=True)
        if unwritten := self._lost + sum(entry.count for entry in self._waiting):
            log.warning("Lost %d events of the audit log: the database could not be reached", unwritten)

    async def record(
        self,
        tx: Tx,
        identity: Identity,
        http: Any,
        action: str,
        resource_type: str,
        resource_id: str,
        detail: str = "",
    ) -> None:
        """Record a change in the transaction that makes it."""
        entry = AuditEntry(
            timestamp=now_ms(),
            user_id=identity.user_id,
            username=identity.username,
            credential=credential_of(identity),
            address=self._connection.client(http),
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            detail=detail,
        )
        await add_entries(tx, [entry])

    async def record_login(
        self, tx: Tx, user_id: int, username: str, address: str, credential: str, *, detail: str = ""
    ) -> None:
        """Record a login, and what it has changed, in the transaction that creates its session."""
        await add_entries(tx, [_login(user_id, username, address, credential, detail=detail)])

    async def record_logout(self, tx: Tx, user_id: int, username: str, address: str, credential: str) -> None:
        """Record a logout in the transaction that ends the session."""
        entry = _login(user_id, username, address, credential)
        await add_entries(tx, [msgspec.structs.replace(entry, action=LOGOUT)])

    def denied(self, identity: Identity, http: Any, action: str, resource_type: str, resource_id: str) -> None:
        """Record that a user was denied a request."""
        self._denials.add(
            AuditEntry(
                timestamp=now_ms(),
                is_denied=True,
                user_id=identity.user_id,
                username=identity.username,
                credential=credential_of(identity),
                address=self._connection.client(http),
                action=action,
                # What waits in memory must be small, whatever the request names.
                resource_type=resource_type[:NAME_LIMIT],
                resource_id=resource_id[:TEXT_LIMIT],
            )
        )
        self._wake_up.set()

    def logged_in(self, user_id: int, username: str, address: str, credential: str) -> None:
        """Record a login that changes nothing in the database. That of a session is recorded in its transaction."""
        self._logins.add(_login(user_id, username, address, credential))
        self._wake_up.set()

    def login_failed(self, user_id: int | None, username: str, address: str, credential: str, reason: str) -> None:
        """Record a failed login. `username`: "" unless the user exists, because people mistype passwords there."""
        self._logins.add(_login(user_id, username, address, credential, is_denied=True, detail=reason))
        self._wake_up.set()

    async def _write_in_background(self) -> None:
        while True:
            await self._wake_up.wait()
            await asyncio.sleep(WRITE_AFTER_S)
            self._wake_up.clear()
            is_written = await self._write()
            if not is_written:
                await asyncio.sleep(RETRY_S)
            if self._waiting or self._logins.has_events or self._denials.has_events:
                self._wake_up.set()

    async def _write(self, *, everything: bool = False) -> bool:
        """Store the entries that are due. Return False if that failed, so that they wait."""
        now = time.monotonic()
        for counters in (self._logins, self._denials):
            self._waiting.extend(counters.take(now, everything=everything))
        while len(self._waiting) > QUEUE_LIMIT:
            self._lost += self._waiting.popleft().count
        if not self._waiting:
            return True
        entries = list(self._waiting)
        try:
            async with self._db.write() as tx:
                await add_entries(tx, entries)
        except (ApiError, Conflict) as error:
            self._warnings.warning("Entries of the audit log wait for the database: %s", error)
            return False
        except Exception:
            log.exception("Entries of the audit log could not be stored")
            self._lost += sum(entry.count for entry in entries)
        for _ in entries:
            self._waiting.popleft()
        if self._lost:
            log.warning("Lost %d events of the audit log", self._lost)
            self._lost = 0
        return True

    async def _clean_up_in_background(self) -> None:
        await asyncio.sleep(FIRST_CLEANUP_S)
        while True:
            try:
                await self.clean_up()
            except (ApiError, Conflict) as error:
                log.info("Old entries of the audit log are deleted later: %s", error)
            except Exception:
                log.exception("Old entries of the audit log could not be deleted")
            await asyncio.sleep(CLEANUP_EVERY_S)

    async def clean_up(self) -> None:
        """Delete the entries that exceed the age or the number of the settings, a few at a time."""
        if self._settings.days:
            before_ms = now_ms() - self._settings.days * DAY_MS
            await _repeat(lambda: delete_older(self._db, before_ms))
        denied_limit = self._settings.max_rows // DENIED_SHARE
        await _repeat(lambda: delete_surplus(self._db, denied_limit, is_denied=True))
        await _repeat(lambda: delete_surplus(self._db, self._settings.max_rows - denied_limit, is_denied=False))


async def _repeat(delete: Callable[[], Awaitable[int]]) -> None:
    """Delete a few entries at a time, with pauses, until none is left to delete."""
    while True:
        if not await delete():
            return
        await asyncio.sleep(CLEANUP_PAUSE_S)


async def record_command(tx: Tx, action: str, resource_type: str, resource_id: str, detail: str = "") -> None:
    """Record a change by a command, or by the start of the server, in its transaction."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = str(os.getuid())
    entry = AuditEntry(
        timestamp=now_ms(),
        username=user[:NAME_LIMIT],
        credential=COMMAND,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        detail=detail,
    )
    await add_entries(tx, [entry])


def _login(
    user_id: int | None, username: str, address: str, credential: str, *, is_denied: bool = False, detail: str = ""
) -> AuditEntry:
    return AuditEntry(
        timestamp=now_ms(),
        is_denied=is_denied,
        user_id=user_id,
        username=username,
        credential=credential,
        address=address,
        action=LOGIN,
        resource_type="user" if username else "",
        resource_id=username,
        detail=detail,
    )


class _Key(NamedTuple):
    user_id: int | None
    credential: str
    network: str
    action: str
    is_denied: bool


class _Event:
    """Equal events: the first one since the last entry, and their number."""

    __slots__ = ("count", "due", "first")

    def __init__(self, first: AuditEntry) -> None:
        self.first = first
        self.count = 0
        self.due = 0.0
        """When the next entry may be stored, by time.monotonic()."""


class EventCounters:
    """Turns any number of events into a bounded number of entries, whose counts add up to that of the events."""

    def __init__(self, action_of_others: str) -> None:
        self._action_of_others = action_of_others
        self._events: dict[_Key, _Event] = {}
        self._others: dict[bool, _Event] = {}
        """What exceeded the limits, by `is_denied`."""
        self._allowance = float(BURST)
        self._refilled_at = time.monotonic()

    @property
    def has_events(self) -> bool:
        return any(event.count for event in (*self._events.values(), *self._others.values()))

    def add(self, entry: AuditEntry) -> None:
        key = _Key(entry.user_id, entry.credential, throttle_key(entry.address), entry.action, entry.is_denied)
        event = self._events.get(key)
        if event is None:
            if len(self._events) >= KEYS_LIMIT:
                return self._add_to_others(entry, 1)
            event = self._events[key] = _Event(entry)
        if not event.count:
            event.first = entry
        event.count += 1
        return None

    def _add_to_others(self, entry: AuditEntry, count: int) -> None:
        """Count events whose user, address and resource are not kept."""
        event = self._others.get(entry.is_denied)
        if event is None:
            event = self._others[entry.is_denied] = _Event(entry)
        if not event.count:
            event.first = AuditEntry(
                timestamp=entry.timestamp,
                is_denied=entry.is_denied,
                action=self._action_of_others,
                detail="further events, of any user and address",
            )
        event.count += count

    def take(self, now: float, *, everything: bool = False) -> Iterator[AuditEntry]:
        """Yield the entries to store now, or all of them."""
        self._allowance = min(BURST, self._allowance + (now - self._refilled_at) / ENTRY_EVERY_S)
        self._refilled_at = now
        for key, event in list(self._events.items()):
            if now < event.due and not everything:
                continue
            if not event.count:
                del self._events[key]
            elif self._allowance >= 1 or everything:
                self._allowance -= 1
                yield self._entry(event, now)
            else:
                self._add_to_others(event.first, event.count)
                del self._events[key]
        for event in self._others.values():
            if event.count and (now >= event.due or everything):
                yield self._entry(event, now)

    @staticmethod
    def _entry(event: _Event, now: float) -> AuditEntry:
        entry = msgspec.structs.replace(event.first, count=event.count)
        event.count, event.due = 0, now + REPEAT_S
        return entry
