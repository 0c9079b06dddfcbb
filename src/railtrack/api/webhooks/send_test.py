"""The trial of a webhook: an example is sent at once, and the answer of its receiver told."""

import asyncio
import uuid

import msgspec

from railtrack.api.webhooks.queries import NOT_DELETED, WORKSPACE, no_such_webhook
from railtrack.api.webhooks.schemas import WebhookEvent, checked_events
from railtrack.auth import WEBHOOK_MANAGE
from railtrack.context import Context
from railtrack.db import Tx
from railtrack.errors import not_processed
from railtrack.webhooks.events import EXAMPLES, Event
from railtrack.webhooks.outbox import encode_payload
from railtrack.webhooks.sending import Outcome
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.response import Reply
from railtrack.wire.routing import endpoint

AT_ONCE = 4
"""Trials of one worker under way; each may take as long as its receiver is allowed to."""


class TestWebhook(Request):
    webhook_id: RequiredStr
    event: WebhookEvent | None = None


class Result(msgspec.Struct, omit_defaults=True):
    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


class TestWebhookResponse(msgspec.Struct):
    result: Result


_room = asyncio.Semaphore(AT_ONCE)


@endpoint("POST", "webhooks/{webhook_id}/test", access=WEBHOOK_MANAGE)
async def test_webhook(ctx: Context, req: TestWebhook) -> Reply:
    """Send an example of the event, or of the webhook's first one, once, also for a webhook that is disabled."""
    asked = checked_events([req.event])[0] if req.event else None
    async with ctx.db.read() as tx:
        url, sealed, event = await _addressee(tx, req.webhook_id, asked)
    if _room.locked():
        raise not_processed("Too many webhooks are being tried. Please retry.")
    async with _room:
        payload = encode_payload(event, EXAMPLES[event])
        return TestWebhookResponse(_told(await ctx.webhooks.send(url, sealed, payload, str(uuid.uuid4()))))


async def _addressee(tx: Tx, webhook_id: str, asked: Event | None) -> tuple[str, str | None, Event]:
    row = await tx.fetch_row(
        f"SELECT url, secret FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED}",  # noqa: S608
        WORKSPACE,
        webhook_id,
    )
    if row is None:
        raise no_such_webhook(webhook_id)
    if asked is None:
        first = await tx.fetch_row(
            "SELECT entity, action FROM webhook_events WHERE webhook_id = $1 ORDER BY entity, action LIMIT 1",
            webhook_id,
        )
        asked = Event(*first) if first else next(iter(EXAMPLES))
    return row[0], row[1], asked


def _told(outcome: Outcome) -> Result:
    if outcome.status is None:
        return Result(False, error_message=f"Failed to test webhook: {outcome.error}")
    # MLflow tells no reason here, which its page shows as "no error message".
    refusal = None if outcome.delivered else f"The receiver answered {outcome.status}."
    return Result(outcome.delivered, outcome.status, outcome.body, refusal)
