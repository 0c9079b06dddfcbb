"""The entries of the audit log, and their SQL: add, search, and delete old ones. What is recorded: audit.py."""

from collections.abc import Sequence
from typing import Any

import msgspec

from railtrack.db import Db, Tx
from railtrack.db.sql import bind

DELETED_AT_ONCE = 1000
DENIED_SHARE = 5
"""Entries of denied requests and failed logins are at most one of so many: an attacker must not displace the others."""

ADDRESS_LIMIT = 64
NAME_LIMIT = 255
TEXT_LIMIT = 512


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`action` is an endpoint ("POST experiments/delete"), "login", or a command ("railtrack users create").

    `count`: how many equal events the entry is for; `timestamp` (milliseconds) is that of the first.
    """

    id: int = 0
    timestamp: int
    is_denied: bool = False
    user_id: int | None = None
    """None for a user who does not exist, and for commands."""
    username: str = ""
    credential: str = ""
    """"token 12", "session 0a1b2c3d" (the first digits of its hash), "password" or "command"."""
    address: str = ""
    action: str
    resource_type: str = ""
    resource_id: str = ""
    detail: str = ""
    count: int = 1


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to return; a default excludes none. `before_id`: only older ones."""

    username: str = ""
    action: str = ""
    """A part of the action, in any case."""
    resource_type: str = ""
    resource_id: str = ""
    is_denied: bool | None = None
    since_ms: int = 0
    until_ms: int | None = None
    before_id: int | None = None


_COLUMNS = {
    "time_ms": "bigint",
    "is_denied": "boolean",
    "user_id": "bigint",
    "username": "text",
    "credential": "text",
    "address": "text",
    "action": "text",
    "resource_type": "text",
    "resource_id": "text",
    "detail": "text",
    "count": "bigint",
}
_NAMES = ", ".join(_COLUMNS)


async def add_entries(tx: Tx, entries: Sequence[AuditEntry]) -> None:
    await tx.execute_rows(
        f"INSERT INTO railtrack_audit_log ({_NAMES}) SELECT {_NAMES} FROM {{rows}} WHERE true",  # noqa: S608 (constants)
        _COLUMNS,
        [
            (
                entry.timestamp,
                entry.is_denied,
                entry.user_id,
                printable(entry.username, NAME_LIMIT),
                printable(entry.credential, ADDRESS_LIMIT),
                printable(entry.address, ADDRESS_LIMIT),
                printable(entry.action, NAME_LIMIT),
                printable(entry.resource_type, ADDRESS_LIMIT),
                printable(entry.resource_id, TEXT_LIMIT),
                printable(entry.detail, TEXT_LIMIT),
                entry.count,
            )
            for entry in entries
        ],
    )


def printable(text: str, limit: int) -> str:
    """Return the beginning of a text, without what a database cannot store and what changes a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text[:limit])


async def search_entries(tx: Tx, wanted: AuditFilter, limit: int) -> list[AuditEntry]:
    """Return the entries that match the filter, the newest first."""
    conditions = ["time_ms >= :since_ms"]
    values: dict[str, Any] = {"since_ms": wanted.since_ms, "limit": limit}

    def where(condition: str, name: str, value: Any) -> None:
        conditions.append(condition)
        values[name] = value

    if wanted.username:
        where("username = :username", "username", wanted.username)
    if wanted.action:
        pattern = "%" + wanted.action.lower().replace("~", "~~").replace("%", "~%").replace("_", "~_") + "%"
        where("LOWER(action) LIKE :action ESCAPE '~'", "action", pattern)
    if wanted.resource_type:
        where("resource_type = :resource_type", "resource_type", wanted.resource_type)
    if wanted.resource_id:
        where("resource_id = :resource_id", "resource_id", wanted.resource_id)
    if wanted.is_denied is not None:
        where("is_denied = :is_denied", "is_denied", wanted.is_denied)
    if wanted.until_ms is not None:
        where("time_ms < :until_ms", "until_ms", wanted.until_ms)
    if wanted.before_id is not None:
        where("entry_id < :before_id", "before_id", wanted.before_id)
    rows = await tx.fetch(
        *bind(
            f"""
            SELECT entry_id, {_NAMES} FROM railtrack_audit_log WHERE {" AND ".join(conditions)}
            ORDER BY entry_id DESC LIMIT :limit
            """,  # noqa: S608 (constants)
            **values,
        )
    )
    return [
        AuditEntry(
            id=entry_id,
            timestamp=time_ms,
            is_denied=bool(is_denied),
            user_id=user_id,
            username=username,
            credential=credential,
            address=address,
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            detail=detail,
            count=count,
        )
        for (
            entry_id,
            time_ms,
            is_denied,
            user_id,
            username,
            credential,
            address,
            action,
            resource_type,
            resource_id,
            detail,
            count,
        ) in rows
    ]


async def delete_older(db: Db, before_ms: int) -> int:
    """Delete up to DELETED_AT_ONCE entries from before this time. Return how many it deleted."""
    return await db.execute(
        """
        DELETE FROM railtrack_audit_log WHERE entry_id IN (
            SELECT entry_id FROM railtrack_audit_log WHERE time_ms < $1 ORDER BY time_ms LIMIT $2
        )
        """,
        before_ms,
        DELETED_AT_ONCE,
    )


async def delete_surplus(db: Db, limit: int, *, is_denied: bool) -> int:
    """Delete up to DELETED_AT_ONCE of the oldest entries beyond the newest `limit` of this kind."""
    newest_surplus: int | None = await db.fetch_value(
        """
        SELECT entry_id FROM railtrack_audit_log WHERE is_denied = $1 ORDER BY entry_id DESC LIMIT 1 OFFSET $2
        """,
        is_denied,
        limit,
    )
    if newest_surplus is None:
        return 0
    return await db.execute(
        """
        DELETE FROM railtrack_audit_log WHERE entry_id IN (
            SELECT entry_id FROM railtrack_audit_log WHERE is_denied = $1 AND entry_id <= $2 ORDER BY entry_id LIMIT $3
        )
        """,
        is_denied,
        newest_surplus,
        DELETED_AT_ONCE,
    )
