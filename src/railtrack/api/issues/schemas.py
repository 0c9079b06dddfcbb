"""Structs of an issue as clients see it, the rules for its fields, and the columns that it is built from."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from railtrack.db import Row, Tx
from railtrack.errors import invalid

STATUSES = ("pending", "rejected", "resolved")
SEVERITIES = ("not_an_issue", "low", "medium", "high")
NAME_LIMIT = 250
USER_LIMIT = 255
TEXT_LIMIT = 1_000_000
"""Characters of a description, and of all root causes."""
ITEMS_LIMIT = 100
METADATA_VALUE_LIMIT = 65_536
ISSUE_ID = re.compile(r"iss-[A-Za-z0-9_-]{1,32}")


class Issue(msgspec.Struct, omit_defaults=True):
    issue_id: str
    experiment_id: str
    name: str
    description: str
    status: str
    created_timestamp: int
    last_updated_timestamp: int
    severity: str | None = None
    root_causes: list[str] = []
    source_run_id: str | None = None
    created_by: str | None = None
    categories: list[str] = []
    trace_count: int | None = None
    last_seen_timestamp: int | None = None
    last_updated_by: str | None = None
    metadata: dict[str, str] = {}


COLUMNS = """
    issues.issue_id, CAST(issues.experiment_id AS TEXT), issues.name, issues.description, issues.status,
    issues.created_timestamp, issues.last_updated_timestamp, issues.severity, issues.root_causes,
    issues.source_run_id, issues.created_by, issues.categories
"""
TRACE_COUNT = (
    "(SELECT COUNT(DISTINCT a.trace_id) FROM assessments a "
    "WHERE a.name = issues.issue_id AND a.assessment_type = 'issue')"
)


class Details(NamedTuple):
    """The SQL of what MLflow 3.18 added. A database of 3.17 has none of it."""

    last_seen: str
    last_updated_by: str
    metadata: str

    @property
    def are_stored(self) -> bool:
        return self.metadata != "NULL"


STORED = Details(
    "COALESCE(issues.last_seen_timestamp, issues.created_timestamp)", "issues.last_updated_by", "issues.metadata"
)
NOT_STORED = Details("issues.created_timestamp", "NULL", "NULL")


async def details(tx: Tx) -> Details:
    """Return the SQL of the columns that only databases of MLflow 3.18 have."""
    columns = tx.per_dialect(  # each engine has its own catalog
        postgresql="SELECT 1 FROM pg_attribute WHERE attrelid = CAST('issues' AS regclass) AND attname = 'metadata'",
        sqlite="SELECT 1 FROM pragma_table_info('issues') WHERE name = 'metadata'",
    )
    return STORED if await tx.fetch_value(columns) else NOT_STORED


def all_columns(of: Details, trace_count: str = "NULL") -> str:
    return f"{COLUMNS}, {trace_count}, {of.last_seen}, {of.last_updated_by}, {of.metadata}"


def from_row(row: Row) -> Issue:
    """Return the issue of a row of all_columns()."""
    causes, run_id, creator, categories, count, seen, updater, metadata = row[8:]
    issue = Issue(*row[:8])
    issue.root_causes = json.loads(causes) if causes else []
    issue.source_run_id = run_id
    issue.created_by = creator
    issue.categories = json.loads(categories) if categories else []
    issue.trace_count = count
    issue.last_seen_timestamp = seen
    issue.last_updated_by = updater
    issue.metadata = json.loads(metadata) if metadata else {}
    return issue


def check_choice(field: str, value: str | None, choices: Sequence[str]) -> None:
    if value is not None and value not in choices:
        raise invalid(f"Invalid issue {field}: {value[:250]!r}")


def check_issue_name(name: str | None) -> None:
    if name is not None and not 1 <= len(name) <= NAME_LIMIT:
        raise invalid("Issue name must contain 1 to 250 characters")


def check_texts(field: str, values: Sequence[str] | None) -> None:
    if values and (len(values) > ITEMS_LIMIT or not all(1 <= len(one) <= NAME_LIMIT for one in values)):
        raise invalid(f"{field} must contain at most 100 nonempty strings of at most 250 characters")


def check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > ITEMS_LIMIT or not all(
        1 <= len(key) <= NAME_LIMIT and len(value) <= METADATA_VALUE_LIMIT for key, value in metadata.items()
    ):
        raise invalid("metadata must be a string map with at most 100 entries")


def check_seen(time: int | None) -> None:
    if time is not None and time < 0:
        raise invalid("last_seen_timestamp must be nonnegative milliseconds")


def check_user(field: str, user: str) -> None:
    if len(user) > USER_LIMIT:
        raise invalid(f"Invalid {field}")


def category_hash(category: str) -> str:
    """Return the key by which MLflow finds a category in any spelling."""
    return sha256(category.strip().lower().encode()).hexdigest()
