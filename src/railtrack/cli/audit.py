"""`railtrack audit`: list the audit log, the newest entries first."""

import argparse
import re
from datetime import UTC, datetime
from typing import Any

from railtrack.auth.audit_entries import AuditEntry, AuditFilter, search_entries
from railtrack.cli.access_database import add_options, print_rows, run
from railtrack.clock import now_ms
from railtrack.db import Db
from railtrack.errors import invalid
from railtrack.logs.format import rfc3339

__all__ = ["configure", "run"]

ENTRIES, ENTRIES_LIMIT = 100, 100_000
UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser, list_entries)
    parser.add_argument("--user", metavar="NAME", default="", help="List the entries of this user only.")
    parser.add_argument("--action", metavar="TEXT", default="", help="List actions that contain this text only.")
    parser.add_argument(
        "--since", metavar="TIME", default="", help="List entries from then on: 30m, 24h, 7d or 2026-01-31 (UTC)."
    )
    outcomes = parser.add_mutually_exclusive_group()
    outcomes.add_argument("--denied", action="store_true", help="List denied requests and failed logins only.")
    outcomes.add_argument("--allowed", action="store_true", help="List the others only.")
    parser.add_argument("--limit", metavar="NUMBER", type=int, default=ENTRIES, help=f"Default: {ENTRIES}.")


async def list_entries(db: Db, options: argparse.Namespace) -> None:
    if not 1 <= options.limit <= ENTRIES_LIMIT:
        raise invalid(f"Invalid limit: {options.limit}. Use 1 to {ENTRIES_LIMIT}.")
    wanted = AuditFilter(
        username=options.user,
        action=options.action,
        is_denied=True if options.denied else False if options.allowed else None,
        since_ms=_milliseconds(options.since) if options.since else 0,
    )
    print_rows([_row(entry) for entry in await search_entries(db, wanted, options.limit)], options)


def _milliseconds(time: str) -> int:
    """Return the time of `30m`, `24h`, `7d`, or of a date with or without the time of day."""
    if match := re.fullmatch(r"(\d{1,6})([mhd])", time, re.ASCII):
        return now_ms() - int(match[1]) * UNITS_MS[match[2]]
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        raise invalid(f"Invalid time: {time[:100]!r}. Use 30m, 24h, 7d, or a date such as 2026-01-31.") from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": rfc3339(entry.timestamp / 1000),
        "user": entry.username or None,
        "credential": entry.credential or None,
        "address": entry.address or None,
        "outcome": "denied" if entry.is_denied else "allowed",
        "action": entry.action,
        "resource": f"{entry.resource_type} {entry.resource_id}".strip() or None,
        "detail": entry.detail or None,
        "count": entry.count,
    }
