"""Webhooks from the database, a page of them in two statements. No endpoint."""

from collections.abc import Sequence

from railtrack.api.webhooks.schemas import Action, Entity, Webhook, WebhookEvent
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, not_found

WORKSPACE = "default"
"""MLflow's workspace for those who have none."""
WEBHOOK_COLUMNS = """
    webhooks.webhook_id, webhooks.name, NULLIF(webhooks.description, ''), webhooks.url, webhooks.status,
    webhooks.creation_timestamp, webhooks.last_updated_timestamp
"""
"""The columns of a Webhook, in its order, without its events."""
WEBHOOK_WIDTH = 7
NOT_DELETED = "webhooks.deleted_timestamp IS NULL"


def no_such_webhook(webhook_id: str) -> ApiError:
    return not_found(f"Webhook with ID {webhook_id[:300]} not found.")


async def load_webhook(tx: Tx, webhook_id: str) -> Webhook:
    """Raises RESOURCE_DOES_NOT_EXIST."""
    row = await tx.fetch_row(
        f"SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED}",  # noqa: S608
        WORKSPACE,
        webhook_id,
    )
    if row is None:
        raise no_such_webhook(webhook_id)
    [webhook] = await load_webhooks(tx, [row])
    return webhook


async def load_webhooks(tx: Tx, rows: Sequence[Row]) -> list[Webhook]:
    """The webhooks of rows of WEBHOOK_COLUMNS, with their events, in their order. The caller bounds the page."""
    webhooks = {row[0]: Webhook(*row) for row in rows}
    for webhook_id, entity, action in await tx.fetch(
        "SELECT webhook_id, entity, action FROM webhook_events WHERE webhook_id = ANY($1) ORDER BY entity, action",
        list(webhooks),
    ):
        webhooks[webhook_id].events.append(WebhookEvent(Entity[entity.upper()], Action[action.upper()]))
    return list(webhooks.values())


async def lock_webhook(tx: Tx, webhook_id: str) -> None:
    """Keep the webhook as it is until the transaction ends. Raises RESOURCE_DOES_NOT_EXIST."""
    there = await tx.fetch_value(
        f"SELECT 1 FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED} FOR NO KEY UPDATE",  # noqa: S608
        WORKSPACE,
        webhook_id,
    )
    if not there:
        raise no_such_webhook(webhook_id)
