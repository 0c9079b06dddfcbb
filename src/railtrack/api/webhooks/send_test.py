"""Test deliveries: send an example payload at once and return the receiver's response."""

import asyncio
import uuid

import msgspec

from railtrack.api.webhooks.queries import NOT_DELETED, no_such_webhook
from railtrack.api.webhooks.schemas import WebhookEvent, check_events
from railtrack.auth import ADMINISTRATION
from railtrack.context import Context
from railtrack.errors import not_processed
from railtrack.mlflow.ids import DEFAULT_WORKSPACE
from railtrack.webhooks.events import EXAMPLES, Event
from railtrack.webhooks.outbox import encode_payload
from railtrack.wire.request import Request, RequiredStr
from railtrack.wire.routing import endpoint

CONCURRENT_TESTS = 4
"""Per worker: each may take as long as the delivery timeout."""

_slots = asyncio.Semaphore(CONCURRENT_TESTS)


class TestWebhook(Request):
    webhook_id: RequiredStr
    event: WebhookEvent | None = None


class WebhookTestResult(msgspec.Struct, omit_defaults=True):
    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


class TestWebhookResponse(msgspec.Struct):
    result: WebhookTestResult


@endpoint("POST", "webhooks/{webhook_id}/test", access=ADMINISTRATION)
async def test_webhook(ctx: Context, req: TestWebhook) -> TestWebhookResponse:
    """Send an example of the event, or of the webhook's first one, without retries, even to a disabled webhook."""
    event = check_events([req.event])[0] if req.event else None
    async with ctx.db.read() as tx:
        webhook = await tx.fetch_row(
            f"SELECT url, secret FROM webhooks WHERE workspace = $1 AND webhook_id = $2 AND {NOT_DELETED}",  # noqa: S608
            DEFAULT_WORKSPACE,
            req.webhook_id,
        )
        if webhook is None:
            raise no_such_webhook(req.webhook_id)
        if event is None:
            first = await tx.fetch_row(
                "SELECT entity, action FROM webhook_events WHERE webhook_id = $1 ORDER BY entity, action LIMIT 1",
                req.webhook_id,
            )
            event = Event(*first) if first else next(iter(EXAMPLES))
    if _slots.locked():
        raise not_processed(f"{CONCURRENT_TESTS} webhook tests are already running. Please retry.")
    await ctx.audit(ctx.db, "webhook", req.webhook_id)
    url, encrypted_secret = webhook
    async with _slots:
        payload = encode_payload(event, EXAMPLES[event])
        result = await ctx.webhooks.send(url, encrypted_secret, payload, str(uuid.uuid4()))
    if result.status is None:
        return TestWebhookResponse(WebhookTestResult(False, error_message=f"Failed to test webhook: {result.error}"))
    return TestWebhookResponse(WebhookTestResult(result.is_delivered, result.status, result.body))
