"""The outbox: deliveries that are due, stored by the transaction of the change and deleted when they are completed.

A claim moves `due_ms` past the end of the attempt, so the delivery of a worker that dies during one becomes due again.
A receiver may therefore get a payload twice, with the same delivery id.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from railtrack.clock import now_ms
from railtrack.db import Tx
from railtrack.webhooks.events import Data, Event

log = logging.getLogger("railtrack")

QUEUE_LIMIT = 1000
"""Deliveries queued for one webhook; further ones are dropped until its receiver is back."""
PAYLOAD_LIMIT = 256 * 1024
"""Characters. The text of a prompt has at most 100,000."""


class ClaimedDelivery(NamedTuple):
    """A delivery that this worker may attempt until its lease expires. `attempts` includes the one that now begins."""

    delivery_id: str
    webhook_id: str
    payload: str
    attempts: int
    created_ms: int


def encode_payload(event: Event, data: Data) -> str:
    """Return MLflow's JSON, byte for byte except for the time."""
    now = datetime.now(UTC).isoformat()
    return json.dumps({"entity": event.entity, "action": event.action, "timestamp": now, "data": data})


async def subscribers(tx: Tx, action: str, entities: Sequence[str]) -> dict[str, list[str]]:
    """Return entity -> ids of the active webhooks that subscribe to its `action`, for entities that have any."""
    rows = await tx.fetch(
        """
        SELECT e.entity, e.webhook_id FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id
        WHERE e.action = $1 AND e.entity = ANY($2) AND w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL
        ORDER BY e.webhook_id
        """,
        action,
        list(entities),
    )
    webhook_ids: dict[str, list[str]] = {}
    for entity, webhook_id in rows:
        webhook_ids.setdefault(entity, []).append(webhook_id)
    return webhook_ids


async def add(tx: Tx, webhook_ids: Sequence[str], event: Event, data: Data) -> int:
    """Queue a delivery to each webhook, to be sent after the commit, and return how many were queued.

    A payload or a queue over its limit is logged and dropped: webhooks never make a change fail.
    """
    payload = encode_payload(event, data)
    if len(payload) > PAYLOAD_LIMIT:
        log.warning("Dropped the webhook event %s.%s: its payload exceeds %d characters", *event, PAYLOAD_LIMIT)
        return 0
    queued = 0
    now = now_ms()
    for webhook_id in webhook_ids:
        inserted = await tx.execute(
            """
            INSERT INTO railtrack_webhook_deliveries (delivery_id, webhook_id, payload, created_ms, attempts, due_ms)
            SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), 0, CAST($4 AS BIGINT)
            WHERE $5 > (
                SELECT COUNT(*) FROM (
                    SELECT 1 FROM railtrack_webhook_deliveries WHERE webhook_id = $2 LIMIT $5
                ) AS queued
            )
            """,
            str(uuid.uuid4()),
            webhook_id,
            payload,
            now,
            QUEUE_LIMIT,
        )
        queued += inserted
        if not inserted:
            log.warning(
                "Dropped the event %s.%s for webhook %s: its queue holds %d deliveries", *event, webhook_id, QUEUE_LIMIT
            )
    return queued


async def next_due_ms(tx: Tx, busy: Sequence[str]) -> int | None:
    """Return when the next delivery is due, ignoring the webhooks `busy`; None if none is queued."""
    due: int | None = await tx.fetch_value(
        "SELECT MIN(due_ms) FROM railtrack_webhook_deliveries WHERE NOT (webhook_id = ANY($1))", list(busy)
    )
    return due


async def claim(tx: Tx, busy: Sequence[str], lease_ms: int) -> ClaimedDelivery | None:
    """Claim the delivery that has been due longest for `lease_ms`; None if there is none or others are claiming it."""
    now = now_ms()
    row = await tx.fetch_row(
        f"""
        UPDATE railtrack_webhook_deliveries SET attempts = attempts + 1, due_ms = $2
        WHERE delivery_id = (
            SELECT delivery_id FROM railtrack_webhook_deliveries
            WHERE due_ms <= $1 AND NOT (webhook_id = ANY($3))
            ORDER BY due_ms, created_ms, delivery_id LIMIT 1
            {tx.per_dialect(postgresql="FOR UPDATE SKIP LOCKED", sqlite="")}
        )
        RETURNING delivery_id, webhook_id, payload, attempts, created_ms
        """,  # noqa: S608 (a constant)
        now,
        now + lease_ms,
        list(busy),
    )
    return ClaimedDelivery(*row) if row else None


async def delete(tx: Tx, delivery_id: str) -> None:
    await tx.execute("DELETE FROM railtrack_webhook_deliveries WHERE delivery_id = $1", delivery_id)


async def reschedule(tx: Tx, claimed: ClaimedDelivery, delay_s: float) -> None:
    """Make the delivery due after a delay, unless its lease has expired and another worker has claimed it since."""
    await tx.execute(
        "UPDATE railtrack_webhook_deliveries SET due_ms = $3 WHERE delivery_id = $1 AND attempts = $2",
        claimed.delivery_id,
        claimed.attempts,
        now_ms() + int(delay_s * 1000),
    )
