"""Reads of webhooks: one, or a page of them in two statements."""

from collections.abc import Sequence

from railtrack.api.webhooks.schemas import Webhook, WebhookAction, WebhookEntity, WebhookEvent
from railtrack.db import Row, Tx
from railtrack.errors import ApiError, not_found
from railtrack.mlflow.ids import DEFAULT_WORKSPACE

WEBHOOK_COLUMNS = """
    webhooks.webhook_id, webhooks.name, NULLIF(webhooks.description, ''), webhooks.url, webhooks.status,
    webhooks.creation_timestamp, webhooks.last_updated_timestamp
"""
"""The fields of Webhook up to `last_updated_timestamp`, in their order."""
NOT_DELETED = "webhooks.deleted_timestamp IS NULL"


def no_such_webhook(webhook_id: str) -> ApiError:
    return not_found(f"Webhook with ID {webhook_id[:300]} not found.")


async def load_webhook(tx: Tx, webhook_id: str) -> Webhook:
    """Return a webhook with its events. Raise RESOURCE_DOES_NOT_EXIST if there is none of this id."""
    row = await tx.fetch_row(
        f"SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED}",  # noqa: S608
        DEFAULT_WORKSPACE,
        webhook_id,
    )
    if row is None:
        raise no_such_webhook(webhook_id)
    [webhook] = await load_webhooks(tx, [row])
    return webhook


async def load_webhooks(tx: Tx, rows: Sequence[Row]) -> list[Webhook]:
    """Return the webhooks of rows of WEBHOOK_COLUMNS with their events, in their order. The caller bounds the page."""
    webhooks = {row[0]: Webhook(*row) for row in rows}
    for webhook_id, entity, action in await tx.fetch(
        "SELECT webhook_id, entity, action FROM webhook_events WHERE webhook_id = ANY($1) ORDER BY entity, action",
        list(webhooks),
    ):
        event = WebhookEvent(WebhookEntity[entity.upper()], WebhookAction[action.upper()])
        webhooks[webhook_id].events.append(event)
    return list(webhooks.values())


async def lock_webhook(tx: Tx, webhook_id: str) -> None:
    """Lock a webhook until the transaction ends. Raise RESOURCE_DOES_NOT_EXIST if there is none of this id."""
    exists = await tx.fetch_value(
        f"SELECT 1 FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED} FOR NO KEY UPDATE",  # noqa: S608
        DEFAULT_WORKSPACE,
        webhook_id,
    )
    if not exists:
        raise no_such_webhook(webhook_id)
