"""A webhook's life: create, list, get, update, delete. What a trial sends is in trial.py."""

import re
import uuid
from collections.abc import Sequence

import msgspec

from railtrack.api.webhooks.queries import (
    NOT_DELETED,
    WEBHOOK_COLUMNS,
    WEBHOOK_WIDTH,
    WORKSPACE,
    load_webhook,
    load_webhooks,
    lock_webhook,
)
from railtrack.api.webhooks.schemas import Status, Webhook, WebhookEvent, checked_events
from railtrack.auth import WEBHOOK_MANAGE
from railtrack.clock import now_ms
from railtrack.context import Context
from railtrack.db import Row, Tx
from railtrack.errors import invalid
from railtrack.search.fields import Term, Values
from railtrack.search.page_token import Query
from railtrack.search.sql import Order
from railtrack.webhooks.events import Event
from railtrack.wire.paged import paged_reply
from railtrack.wire.request import Int32, Request, RequiredStr
from railtrack.wire.response import EMPTY, Reply
from railtrack.wire.routing import endpoint

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DESCRIPTION_LIMIT = 1000
PAGE_LIMIT = 1000
NEWEST_FIRST = Order(
    (),
    (
        Term("webhooks.creation_timestamp", Values.BIGINT, descending=True, nullable=True),
        Term("webhooks.webhook_id", Values.TEXT),
    ),
)

_encode = msgspec.json.Encoder().encode


class WebhookResponse(msgspec.Struct):
    webhook: Webhook


class CreateWebhook(Request):
    name: RequiredStr
    url: RequiredStr
    events: list[WebhookEvent]
    description: str | None = None
    secret: str = ""
    status: Status = Status.ACTIVE


@endpoint("POST", "webhooks", access=WEBHOOK_MANAGE)
async def create_webhook(ctx: Context, req: CreateWebhook) -> Reply:
    """A new webhook. Two may have one name. Its URL is judged now and at every delivery."""
    events = checked_events(req.events)
    _check_name(req.name)
    _check_description(req.description)
    await ctx.webhooks.sender.check(req.url)
    if not events:
        raise invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].")
    sealed = ctx.webhooks.vault.seal(req.secret)
    webhook_id = str(uuid.uuid4())
    async with ctx.db.write() as tx:
        await tx.execute(
            """
            INSERT INTO webhooks (webhook_id, name, description, url, status, secret, creation_timestamp,
                last_updated_timestamp, workspace)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
            """,
            webhook_id,
            req.name,
            req.description,
            req.url,
            req.status.value,
            sealed,
            now_ms(),
            WORKSPACE,
        )
        await _ask_for(tx, webhook_id, events)
        return WebhookResponse(await load_webhook(tx, webhook_id))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise invalid(
            f"Webhook name {name[:1000]!r} is invalid. It must start and end with a letter or digit, be less than 63 "
            "characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )


def _check_description(description: str | None) -> None:
    """The column's own limit, which PostgreSQL enforces and SQLite does not."""
    if len(description or "") > DESCRIPTION_LIMIT:
        raise invalid(f"'description' exceeds the maximum length of {DESCRIPTION_LIMIT} characters")


async def _ask_for(tx: Tx, webhook_id: str, events: Sequence[Event]) -> None:
    await tx.execute_rows(
        """
        INSERT INTO webhook_events (webhook_id, entity, action)
        SELECT r.webhook_id, r.entity, r.action FROM {rows} WHERE true
        """,
        {"webhook_id": "TEXT", "entity": "TEXT", "action": "TEXT"},
        [(webhook_id, *event) for event in events],
    )


class ListWebhooks(Request):
    max_results: Int32 = 100
    page_token: str = ""


@endpoint("GET", "webhooks", access=WEBHOOK_MANAGE)
async def list_webhooks(ctx: Context, req: ListWebhooks) -> Reply:
    """A page of the webhooks, the newest first. As with MLflow, zero results are the usual hundred."""
    wanted = req.max_results or 100
    if not 1 <= wanted <= PAGE_LIMIT:
        raise invalid(f"max_results must be between 1 and {PAGE_LIMIT}.")
    where = [f"webhooks.workspace = '{WORKSPACE}'", NOT_DELETED]
    query = Query(WEBHOOK_COLUMNS, "webhooks", where, NEWEST_FIRST, ())
    last = query.last_of(req.page_token)

    async def encode(rows: Sequence[Row]) -> bytes:
        return _encode(await load_webhooks(ctx.db, [row[:WEBHOOK_WIDTH] for row in rows]))

    return await paged_reply(ctx.db, query, last, wanted, "webhooks", encode)


class GetWebhook(Request):
    webhook_id: RequiredStr


@endpoint("GET", "webhooks/{webhook_id}", access=WEBHOOK_MANAGE)
async def get_webhook(ctx: Context, req: GetWebhook) -> Reply:
    async with ctx.db.read() as tx:
        return WebhookResponse(await load_webhook(tx, req.webhook_id))


class UpdateWebhook(Request):
    webhook_id: RequiredStr
    name: str = ""
    description: str | None = None
    url: str = ""
    events: list[WebhookEvent] = []
    secret: str | None = None
    status: Status | None = None


@endpoint("PATCH", "webhooks/{webhook_id}", access=WEBHOOK_MANAGE)
async def update_webhook(ctx: Context, req: UpdateWebhook) -> Reply:
    """Change what is given; an empty name, URL or list of events is not given. An empty secret takes it away."""
    events = checked_events(req.events)
    async with ctx.db.read() as tx:
        await load_webhook(tx, req.webhook_id)
    if req.name:
        _check_name(req.name)
    _check_description(req.description)
    if req.url:
        await ctx.webhooks.sender.check(req.url)
    sealed = ctx.webhooks.vault.seal(req.secret or "")
    async with ctx.db.write() as tx:
        await lock_webhook(tx, req.webhook_id)
        await tx.execute(
            """
            UPDATE webhooks SET name = COALESCE($2, name), description = COALESCE($3, description),
                url = COALESCE($4, url), status = COALESCE($5, status),
                secret = CASE WHEN $6 THEN $7 ELSE secret END, last_updated_timestamp = $8
            WHERE webhook_id = $1
            """,
            req.webhook_id,
            req.name or None,
            req.description,
            req.url or None,
            req.status.value if req.status else None,
            req.secret is not None,
            sealed,
            now_ms(),
        )
        if events:
            await tx.execute("DELETE FROM webhook_events WHERE webhook_id = $1", req.webhook_id)
            await _ask_for(tx, req.webhook_id, events)
        return WebhookResponse(await load_webhook(tx, req.webhook_id))


class DeleteWebhook(Request):
    webhook_id: RequiredStr


@endpoint("DELETE", "webhooks/{webhook_id}", access=WEBHOOK_MANAGE)
async def delete_webhook(ctx: Context, req: DeleteWebhook) -> Reply:
    """Delete a webhook, and what still waits for it. As MLflow has it, its row stays, marked."""
    async with ctx.db.write() as tx:
        await lock_webhook(tx, req.webhook_id)
        await tx.execute(
            "UPDATE webhooks SET deleted_timestamp = $2, last_updated_timestamp = $2 WHERE webhook_id = $1",
            req.webhook_id,
            now_ms(),
        )
        await tx.execute("DELETE FROM railtrack_webhook_deliveries WHERE webhook_id = $1", req.webhook_id)
    return EMPTY
