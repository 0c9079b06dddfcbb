"""Webhooks: create, list, get, update, delete. Test deliveries are in send_test.py."""

import re
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec

from railtrack.api.webhooks.queries import (
    NOT_DELETED,
    WEBHOOK_COLUMNS,
    load_webhook,
    load_webhooks,
    lock_webhook,
)
from railtrack.api.webhooks.schemas import Webhook, WebhookEvent, WebhookStatus, check_events
from railtrack.auth import ADMINISTRATION
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.db.retry import idempotent
from railtrack.db.sql import bind
from railtrack.errors import invalid
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.mlflow.validation import check_length
from railtrack.search.fields import SortKey, ValueType
from railtrack.search.page import fetch_page
from railtrack.search.paged_query import Order, PagedQuery
from railtrack.webhooks.events import Event
from railtrack.wire.list_response import list_response
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY_RESPONSE, EmptyResponse, Response
from railtrack.wire.routing import endpoint

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DESCRIPTION_LIMIT = 1000
DEFAULT_RESULTS = 100
PAGE_LIMIT = 1000
NEWEST_FIRST = Order(
    (),
    (
        SortKey("webhooks.creation_timestamp", ValueType.BIGINT, descending=True, nullable=True),
        SortKey("webhooks.webhook_id", ValueType.TEXT),
    ),
)


class WebhookResponse(msgspec.Struct):
    webhook: Webhook


class CreateWebhook(Request):
    name: RequiredStr
    url: RequiredStr
    events: list[WebhookEvent]
    description: str | None = None
    secret: str = ""
    status: WebhookStatus = WebhookStatus.ACTIVE


@endpoint("POST", "webhooks", access=ADMINISTRATION)
async def create_webhook(ctx: Context, req: CreateWebhook) -> WebhookResponse:
    """Create a webhook. Names need not be unique. Its URL is checked now and again at every delivery."""
    events = check_events(req.events)
    _check_name(req.name)
    check_length("description", req.description or "", DESCRIPTION_LIMIT)
    await ctx.webhooks.sender.check_url(req.url)
    if not events:
        raise invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].")
    encrypted_secret = ctx.webhooks.cipher.encrypt(req.secret)
    webhook_id = str(uuid.uuid4())
    async with ctx.db.write() as tx:
        await tx.execute(
            *bind(
                """
                INSERT INTO webhooks (webhook_id, name, description, url, status, secret, creation_timestamp,
                    last_updated_timestamp, workspace)
                VALUES (:webhook_id, :name, :description, :url, :status, :secret, :now, :now, :workspace)
                """,
                webhook_id=webhook_id,
                name=req.name,
                description=req.description,
                url=req.url,
                status=req.status.value,
                secret=encrypted_secret,
                now=now_ms(),
                workspace=DEFAULT_WORKSPACE,
            )
        )
        await _insert_events(tx, webhook_id, events)
        tx.set_commit_check("SELECT 1 FROM webhooks WHERE webhook_id = $1", webhook_id)
        await ctx.audit(tx, "webhook", webhook_id, req.name)
        return WebhookResponse(await load_webhook(tx, webhook_id))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(
            f"Webhook name {name[:1000]!r} is invalid. It must start and end with a letter or digit, be less than 63 "
            "characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )


async def _insert_events(tx: Tx, webhook_id: str, events: Sequence[Event]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO webhook_events (webhook_id, entity, action)
        SELECT r.webhook_id, r.entity, r.action FROM {rows} WHERE true
        """,
        {"webhook_id": "TEXT", "entity": "TEXT", "action": "TEXT"},
        [(webhook_id, *event) for event in events],
    )


class ListWebhooks(Request):
    max_results: Int32 = DEFAULT_RESULTS
    page_token: str = ""


class ListWebhooksResponse(msgspec.Struct):
    webhooks: list[Webhook] = []
    next_page_token: str = ""


@endpoint("GET", "webhooks", access=ADMINISTRATION)
async def list_webhooks(ctx: Context, req: ListWebhooks) -> Annotated[Response, ListWebhooksResponse]:
    """Return a page of webhooks, the newest first. As in MLflow, `max_results` of 0 means the default."""
    max_results = req.max_results or DEFAULT_RESULTS
    if not 1 <= max_results <= PAGE_LIMIT:
        raise invalid(f"max_results must be between 1 and {PAGE_LIMIT}.")
    where = [f"webhooks.workspace = '{DEFAULT_WORKSPACE}'", NOT_DELETED]
    query = PagedQuery(WEBHOOK_COLUMNS, "webhooks", where, NEWEST_FIRST, ()).starting_at(req.page_token)
    chunks = fetch_page(ctx.db.fetch, query, max_results)
    return await list_response(ctx.http, ListWebhooksResponse, chunks, max_results, partial(load_webhooks, ctx.db))


class GetWebhook(Request):
    webhook_id: RequiredStr


@endpoint("GET", "webhooks/{webhook_id}", access=ADMINISTRATION)
async def get_webhook(ctx: Context, req: GetWebhook) -> WebhookResponse:
    """Return a webhook, without its secret."""
    async with ctx.db.read() as tx:
        return WebhookResponse(await load_webhook(tx, req.webhook_id))


class UpdateWebhook(Request):
    webhook_id: RequiredStr
    name: str = ""
    description: str | None = None
    url: str = ""
    events: list[WebhookEvent] = []
    secret: str | None = None
    status: WebhookStatus | None = None


@endpoint("PATCH", "webhooks/{webhook_id}", access=ADMINISTRATION)
@idempotent
async def update_webhook(ctx: Context, req: UpdateWebhook) -> WebhookResponse:
    """Replace the fields that the request has. Empty names, URLs and event lists count as absent.

    An empty secret deletes the stored one.
    """
    events = check_events(req.events)
    async with ctx.db.read() as tx:
        await load_webhook(tx, req.webhook_id)
    if req.name:
        _check_name(req.name)
    check_length("description", req.description or "", DESCRIPTION_LIMIT)
    if req.url:
        await ctx.webhooks.sender.check_url(req.url)
    encrypted_secret = ctx.webhooks.cipher.encrypt(req.secret or "")
    async with ctx.db.write() as tx:
        await lock_webhook(tx, req.webhook_id)
        await tx.execute(
            *bind(
                """
                UPDATE webhooks SET name = COALESCE(:name, name), description = COALESCE(:description, description),
                    url = COALESCE(:url, url), status = COALESCE(:status, status),
                    secret = CASE WHEN :replaces_secret THEN :secret ELSE secret END, last_updated_timestamp = :now
                WHERE webhook_id = :webhook_id
                """,
                webhook_id=req.webhook_id,
                name=req.name or None,
                description=req.description,
                url=req.url or None,
                status=req.status.value if req.status else None,
                replaces_secret=req.secret is not None,
                secret=encrypted_secret,
                now=now_ms(),
            )
        )
        if events:
            await tx.execute("DELETE FROM webhook_events WHERE webhook_id = $1", req.webhook_id)
            await _insert_events(tx, req.webhook_id, events)
        await ctx.audit(tx, "webhook", req.webhook_id)
        return WebhookResponse(await load_webhook(tx, req.webhook_id))


class DeleteWebhook(Request):
    webhook_id: RequiredStr


@endpoint("DELETE", "webhooks/{webhook_id}", access=ADMINISTRATION)
async def delete_webhook(ctx: Context, req: DeleteWebhook) -> EmptyResponse:
    """Delete a webhook and its queued deliveries. As in MLflow, its row remains, marked as deleted."""
    async with ctx.db.write() as tx:
        await lock_webhook(tx, req.webhook_id)
        await tx.execute(
            "UPDATE webhooks SET deleted_timestamp = $2, last_updated_timestamp = $2 WHERE webhook_id = $1",
            req.webhook_id,
            now_ms(),
        )
        await tx.execute("DELETE FROM railtrack_webhook_deliveries WHERE webhook_id = $1", req.webhook_id)
        tx.set_commit_check(
            "SELECT 1 FROM webhooks WHERE webhook_id = $1 AND deleted_timestamp IS NOT NULL", req.webhook_id
        )
        await ctx.audit(tx, "webhook", req.webhook_id)
    return EMPTY_RESPONSE
