"""Data that MLflow's migrations move or change, by the revision that does so. Those of traces are in trace_figures.py.

A conversion works in batches, each a transaction on PostgreSQL. It may be killed after any of them and run again.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from railtrack.clock import now_ms
from railtrack.db import Tx
from railtrack.db.upgrade import trace_figures
from railtrack.db.upgrade.releases import is_between

Batch = Callable[[Tx, Any], Awaitable[Any]]
"""Convert the rows after a key, which is None at first. Return the last key, or None at the end."""

PENDING, RUNNING, CANCELED = 0, 1, 5
ISSUES_PER_BATCH = 250


class Conversion(NamedTuple):
    revision: str
    title: str
    run_batch: Batch
    tables: frozenset[str] = frozenset()
    """The tables in which it inserts or deletes rows."""


def conversions_between(start: str, target: str) -> list[Conversion]:
    """Return the conversions of an upgrade, in the order in which MLflow has them."""
    return [one for one in CONVERSIONS if is_between(one.revision, start, target)]


async def add_default_workspace(tx: Tx, _key: None) -> None:
    await tx.execute(
        """
        INSERT INTO workspaces (name, description)
        SELECT 'default', 'Default workspace for legacy resources'
        WHERE NOT EXISTS (SELECT 1 FROM workspaces WHERE name = 'default')
        """
    )


async def end_jobs(tx: Tx, _key: None) -> None:
    """Cancel jobs of MLflow's server that have not ended: the new version cannot know who runs them."""
    await tx.execute(
        "UPDATE jobs SET status = $1, last_update_time = $2 WHERE status = ANY($3)",
        CANCELED,
        now_ms(),
        [PENDING, RUNNING],
    )


async def set_last_seen(tx: Tx, _key: None) -> None:
    await tx.execute("UPDATE issues SET last_seen_timestamp = created_timestamp WHERE last_seen_timestamp IS NULL")


async def index_issue_categories(tx: Tx, key: str | None) -> str | None:
    """Copy the categories of issues into a table that can be searched."""
    rows = await tx.fetch(
        """
        SELECT issue_id, CAST(categories AS text) FROM issues WHERE categories IS NOT NULL AND issue_id > $1
        ORDER BY issue_id LIMIT $2
        """,
        key or "",
        ISSUES_PER_BATCH,
    )
    for issue_id, categories in rows:
        for category_hash, category in categories_by_hash(categories).items():
            await tx.execute(
                """
                INSERT INTO issue_categories (issue_id, category_hash, category)
                SELECT CAST($1 AS VARCHAR), CAST($2 AS VARCHAR), $3 WHERE NOT EXISTS (
                    SELECT 1 FROM issue_categories
                    WHERE issue_id = CAST($1 AS VARCHAR) AND category_hash = CAST($2 AS VARCHAR)
                )
                """,
                issue_id,
                category_hash,
                category,
            )
    return rows[-1][0] if len(rows) == ISSUES_PER_BATCH else None


def categories_by_hash(categories: str) -> dict[str, str]:
    """Return the categories of an issue by the hash of their normalized text. Of equal ones the last counts."""
    try:
        values = json.loads(categories)
    except ValueError:
        return {}
    texts = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    return {hashlib.sha256(text.strip().lower().encode()).hexdigest(): text for text in texts}


CONVERSIONS = (
    Conversion("1b5f0d9ad7c1", "Add the workspace default", add_default_workspace, frozenset({"workspaces"})),
    Conversion(
        "75868b020152",
        "Move names, sessions, tokens and costs of traces into columns",
        trace_figures.convert_traces,
        frozenset({"trace_tags", "trace_request_metadata", "trace_metrics"}),
    ),
    Conversion(
        "75868b020152",
        "Move costs and models of spans into columns",
        trace_figures.convert_spans,
        frozenset({"span_metrics"}),
    ),
    Conversion("75868b020152", "Sum the costs of gateway traces", trace_figures.sum_gateway_costs),
    Conversion("75868b020152", "Compute numbers of assessments", trace_figures.convert_assessments),
    Conversion("dc11669786a5", "End unfinished jobs", end_jobs),
    Conversion("8b6ad64cb8f5", "Set when issues were last seen", set_last_seen),
    Conversion(
        "8b6ad64cb8f5", "Index the categories of issues", index_issue_categories, frozenset({"issue_categories"})
    ),
)
