"""Create, get and update an issue. The search is in search.py."""

import json
from collections.abc import Sequence
from uuid import uuid4

import msgspec

from railtrack.api.experiments.queries import lock_active
from railtrack.api.issues.schemas import (
    ISSUE_ID,
    SEVERITIES,
    STATUSES,
    TEXT_LIMIT,
    Issue,
    all_columns,
    category_hash,
    check_choice,
    check_issue_name,
    check_metadata,
    check_seen,
    check_texts,
    check_user,
    details,
    from_row,
)
from railtrack.auth import EXPERIMENT_EDIT, ISSUE_EDIT, ISSUE_READ
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx, UniqueViolation
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import exists, invalid, not_found
from railtrack.mlflow.ids import experiment_number
from railtrack.mlflow.validation import check_length
from railtrack.wire.request import Int64, Request, RequiredStr
from railtrack.wire.routing import endpoint


class IssueResponse(msgspec.Struct):
    issue: Issue


class CreateIssue(Request):
    name: RequiredStr
    description: RequiredStr
    experiment_id: RequiredStr
    status: str | None = None
    severity: str | None = None
    root_causes: list[str] = []
    source_run_id: str = ""
    created_by: str = ""
    categories: list[str] = []
    issue_id: str | None = None
    last_seen_timestamp: Int64 | None = None
    metadata: dict[str, str] = {}


@endpoint("POST", "issues", access=EXPERIMENT_EDIT, api="3.0")
async def create_issue(ctx: Context, req: CreateIssue) -> IssueResponse:
    """Create an issue of an active experiment. On a server with login, the caller is its creator."""
    check_choice("status", req.status, STATUSES)
    check_choice("severity", req.severity, SEVERITIES)
    check_issue_name(req.name)
    check_length("description", req.description, TEXT_LIMIT)
    check_length("root_causes", "".join(req.root_causes), TEXT_LIMIT)
    check_texts("categories", req.categories)
    check_metadata(req.metadata)
    check_seen(req.last_seen_timestamp)
    if req.issue_id is not None and not ISSUE_ID.fullmatch(req.issue_id):
        raise invalid("issue_id must be iss-* and at most 36 characters")
    user = _caller(ctx) or req.created_by
    check_user("created_by", user)
    number, now = experiment_number(req.experiment_id), now_ms()
    issue_id = req.issue_id or f"iss-{uuid4().hex}"
    try:
        async with ctx.db.write() as tx:
            await lock_active(tx, number)
            if req.source_run_id:
                await _check_run(tx, req.source_run_id, number)
            await tx.execute(
                *bind(
                    """
                    INSERT INTO issues (issue_id, experiment_id, name, description, status, severity, root_causes,
                        source_run_id, categories, created_timestamp, last_updated_timestamp, created_by)
                    VALUES (:issue_id, :number, :name, :description, :status, :severity, :root_causes, :run_id,
                        :categories, :now, :now, :user)
                    """,
                    issue_id=issue_id,
                    number=number,
                    name=req.name,
                    description=req.description,
                    status=req.status or "pending",
                    severity=req.severity,
                    root_causes=json.dumps(req.root_causes) if req.root_causes else None,
                    run_id=req.source_run_id or None,
                    categories=json.dumps(req.categories) if req.categories else None,
                    now=now,
                    user=user or None,
                )
            )
            if (await details(tx)).are_stored:
                await tx.execute(
                    "UPDATE issues SET last_seen_timestamp = $2, last_updated_by = $3, metadata = $4 "
                    "WHERE issue_id = $1",
                    issue_id,
                    now if req.last_seen_timestamp is None else req.last_seen_timestamp,
                    user or None,
                    json.dumps(req.metadata) if req.metadata else None,
                )
                await _insert_categories(tx, issue_id, req.categories)
            tx.set_commit_check("SELECT 1 FROM issues WHERE issue_id = $1 AND created_timestamp = $2", issue_id, now)
            return IssueResponse(await _load(tx, issue_id))
    except UniqueViolation as error:
        raise exists("Issue ID already exists") from error


def _caller(ctx: Context) -> str:
    return ctx.identity.username if ctx.identity is not None else ""


async def _check_run(tx: Tx, run_id: str, number: int) -> None:
    of_run = await tx.fetch_value("SELECT experiment_id FROM runs WHERE run_uuid = $1", run_id)
    if of_run is None:
        raise not_found(f"Run with id={run_id[:250]} not found")
    if of_run != number:
        raise invalid("Source run must belong to the Issue experiment")


async def _insert_categories(tx: Tx, issue_id: str, categories: Sequence[str]) -> None:
    by_hash = {category_hash(category): category for category in categories}
    await tx.execute_rows(
        "INSERT INTO issue_categories (issue_id, category_hash, category) "
        "SELECT r.issue_id, r.category_hash, r.category FROM {rows} WHERE true",
        {"issue_id": "text", "category_hash": "text", "category": "text"},
        [(issue_id, each, category) for each, category in by_hash.items()],
    )


async def _load(tx: Tx, issue_id: str) -> Issue:
    columns = all_columns(await details(tx))
    row = await tx.fetch_row(f"SELECT {columns} FROM issues WHERE issue_id = $1", issue_id)  # noqa: S608 (our own text)
    if row is None:
        raise not_found(f"Issue with ID '{issue_id[:250]}' not found")
    return from_row(row)


class GetIssue(Request):
    issue_id: RequiredStr


@endpoint("GET", "issues/{issue_id}", access=ISSUE_READ, api="3.0")
async def get_issue(ctx: Context, req: GetIssue) -> IssueResponse:
    """Return an issue."""
    return IssueResponse(await _load(ctx.db, req.issue_id))


class UpdateIssue(Request):
    issue_id: RequiredStr
    name: str | None = None
    description: str | None = None
    status: str | None = None
    severity: str | None = None
    categories: list[str] | None = None
    last_seen_timestamp: Int64 | None = None
    last_updated_by: str = ""
    metadata: dict[str, str] = {}
    delete_metadata_keys: list[str] = []


@endpoint("PATCH", "issues/{issue_id}", access=ISSUE_EDIT, api="3.0")
@idempotent
async def update_issue(ctx: Context, req: UpdateIssue) -> IssueResponse:
    """Update the fields that the request has. Metadata is merged, categories are replaced, times only advance."""
    check_choice("status", req.status, STATUSES)
    check_choice("severity", req.severity, SEVERITIES)
    check_issue_name(req.name)
    check_length("description", req.description or "", TEXT_LIMIT)
    check_texts("categories", req.categories)
    check_metadata(req.metadata)
    check_texts("delete_metadata_keys", req.delete_metadata_keys)
    check_seen(req.last_seen_timestamp)
    user = _caller(ctx) or req.last_updated_by
    check_user("last_updated_by", user)
    if req.metadata.keys() & set(req.delete_metadata_keys):
        raise invalid("Cannot update and delete the same key")
    async with ctx.db.write() as tx:
        if not await tx.fetch_row("SELECT 1 FROM issues WHERE issue_id = $1 FOR NO KEY UPDATE", req.issue_id):
            raise not_found(f"Issue with ID '{req.issue_id[:250]}' not found")
        issue = await _load(tx, req.issue_id)
        categories = issue.categories if req.categories is None else list(dict.fromkeys(req.categories))
        await tx.execute(
            *bind(
                """
                UPDATE issues SET name = COALESCE(:name, name), description = COALESCE(:description, description),
                    status = COALESCE(:status, status), severity = COALESCE(:severity, severity),
                    categories = :categories, last_updated_timestamp = :now
                WHERE issue_id = :issue_id
                """,
                issue_id=req.issue_id,
                name=req.name,
                description=req.description,
                status=req.status,
                severity=req.severity,
                categories=json.dumps(categories) if categories else None,
                now=now_ms(),
            )
        )
        if (await details(tx)).are_stored:
            metadata = {**issue.metadata, **req.metadata}
            for key in req.delete_metadata_keys:
                metadata.pop(key, None)
            check_metadata(metadata)
            assert issue.last_seen_timestamp is not None, "an issue has at least the time of its creation"
            await tx.execute(
                "UPDATE issues SET last_seen_timestamp = $2, last_updated_by = COALESCE($3, last_updated_by), "
                "metadata = $4 WHERE issue_id = $1",
                req.issue_id,
                max(issue.last_seen_timestamp, req.last_seen_timestamp or 0),
                user or None,
                json.dumps(metadata) if metadata else None,
            )
            if req.categories is not None:
                await tx.execute("DELETE FROM issue_categories WHERE issue_id = $1", req.issue_id)
                await _insert_categories(tx, req.issue_id, categories)
        return IssueResponse(await _load(tx, req.issue_id))
