"""What is still to be sent: rows that come with the change they tell of, and go when they are delivered or given up.

A row is claimed by moving its `due_ms` past the end of the attempt: whoever dies amid one loses nothing, and the row is
due again. So a payload may arrive twice, with the same delivery id.
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

WAITING_LIMIT = 1000
"""Deliveries that wait for one webhook; what comes while a receiver is away so long is dropped."""
PAYLOAD_LIMIT = 256 * 1024
"""Characters. The text of a prompt has at most 100,000."""


class Claim(NamedTuple):
    """A delivery that is ours until its time has run out. `attempts`: with the one that now begins."""

    delivery_id: str
    webhook_id: str
    payload: str
    attempts: int
    created_ms: int


def payload_of(event: Event, data: Data) -> str:
    """MLflow's JSON, byte for byte but for the time."""
    now = datetime.now(UTC).isoformat()
    return json.dumps({"entity": event.entity, "action": event.action, "timestamp": now, "data": data})


async def subscribers(tx: Tx, events: Sequence[Event]) -> dict[Event, list[str]]:
    """Of these events those that active webhooks ask for, with the webhooks' ids. The events have one action."""
    rows = await tx.fetch(
        """
        SELECT e.entity, e.action, e.webhook_id FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id
        WHERE e.action = $1 AND e.entity = ANY($2) AND w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL
        ORDER BY e.webhook_id
        """,
        events[0].action,
        [event.entity for event in events],
    )
    found: dict[Event, list[str]] = {}
    for entity, action, webhook_id in rows:
        found.setdefault(Event(entity, action), []).append(webhook_id)
    return found


async def keep(tx: Tx, webhook_ids: Sequence[str], event: Event, data: Data) -> int:
    """Put a delivery to each webhook down, to be sent after the commit; returns their number.

    A change is never refused because nobody can be told of it.
    """
    payload = payload_of(event, data)
    if len(payload) > PAYLOAD_LIMIT:
        log.warning("Webhooks are not told of a %s.%s: it is longer than %d", *event, PAYLOAD_LIMIT)
        return 0
    kept = 0
    now = now_ms()
    for webhook_id in webhook_ids:
        added = await tx.execute(
            """
            INSERT INTO railtrack_webhook_deliveries (delivery_id, webhook_id, payload, created_ms, attempts, due_ms)
            SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), 0, CAST($4 AS BIGINT)
            WHERE $5 > (
                SELECT COUNT(*) FROM (
                    SELECT 1 FROM railtrack_webhook_deliveries WHERE webhook_id = $2 LIMIT $5
                ) AS waiting
            )
            """,
            str(uuid.uuid4()),
            webhook_id,
            payload,
            now,
            WAITING_LIMIT,
        )
        kept += added
        if not added:
            log.warning("The webhook %s is not told of a %s.%s: too much waits for it", webhook_id, *event)
    return kept


async def next_due_ms(tx: Tx, busy: Sequence[str]) -> int | None:
    """When something is due, but for the webhooks `busy`; None when nothing waits."""
    due: int | None = await tx.fetch_value(
        "SELECT MIN(due_ms) FROM railtrack_webhook_deliveries WHERE NOT (webhook_id = ANY($1))", list(busy)
    )
    return due


async def claim(tx: Tx, busy: Sequence[str], lease_ms: int) -> Claim | None:
    """The delivery that is due longest, ours for `lease_ms`; nobody waits for what another one is claiming."""
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
        """,  # noqa: S608 (texts of ours)
        now,
        now + lease_ms,
        list(busy),
    )
    return Claim(*row) if row else None


async def settle(tx: Tx, delivery_id: str) -> None:
    """It is delivered, or given up."""
    await tx.execute("DELETE FROM railtrack_webhook_deliveries WHERE delivery_id = $1", delivery_id)


async def postpone(tx: Tx, claimed: Claim, pause_s: float) -> None:
    """Let the next attempt begin after a pause, unless somebody else has taken the delivery over meanwhile."""
    await tx.execute(
        "UPDATE railtrack_webhook_deliveries SET due_ms = $3 WHERE delivery_id = $1 AND attempts = $2",
        claimed.delivery_id,
        claimed.attempts,
        now_ms() + int(pause_s * 1000),
    )
