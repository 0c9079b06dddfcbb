"""The delivery task of each worker: claims due deliveries from the outbox, sends them, and reschedules failed ones.

It sleeps until the next delivery is due. Without webhooks it runs one query every five minutes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from railtrack.backoff import backoff_s
from railtrack.clock import now_ms
from railtrack.db import Conflict, Db, Tx
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import ApiError
from railtrack.webhooks import outbox
from railtrack.webhooks.encryption import DecryptionError, SecretCipher
from railtrack.webhooks.outbox import ClaimedDelivery
from railtrack.webhooks.registry_events import RegistryEvents
from railtrack.webhooks.sender import DeliveryResult, WebhookSender

log = logging.getLogger("railtrack")
T = TypeVar("T")

CONCURRENT_DELIVERIES = 8
"""Per worker, each to a different webhook, so that a receiver that hangs delays only its own deliveries."""
POLL_INTERVAL_S = 300.0
"""How often a worker checks for deliveries that other workers left behind, such as those of a lost machine."""
DATABASE_RETRY_S = 10.0
CLAIM_RETRY_S = 1.0
FIRST_BACKOFF_S = 2.0
MAX_BACKOFF_S = 3600.0
MAX_AGE_MS = 24 * 3600 * 1000
"""A delivery that is older when an attempt fails is dropped, even if attempts are left."""
LEASE_MARGIN_S = 5.0
DRAIN_TIMEOUT_S = 5.0


class Webhooks:
    """The webhooks of one worker. `max_retries`: attempts after the first one."""

    def __init__(self, db: Db, sender: WebhookSender, cipher: SecretCipher, *, max_retries: int) -> None:
        self.sender = sender
        self.cipher = cipher
        self._db = db
        self._max_retries = max_retries
        self._wake_up = asyncio.Event()
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        """By webhook id."""
        self._loop_task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def registry_events(self) -> AsyncIterator[RegistryEvents]:
        """Wrap a transaction: deliveries that it queues are sent right after its commit."""
        events = RegistryEvents()
        yield events
        if events.queued:
            self._wake_up.set()

    def start(self) -> None:
        self._loop_task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Start no more deliveries, wait for those in flight, and release what doesn't finish in time."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        if self._in_flight:
            _, unfinished = await asyncio.wait(self._in_flight.values(), timeout=DRAIN_TIMEOUT_S)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished)

    async def send(self, url: str, encrypted_secret: str | None, payload: str, delivery_id: str) -> DeliveryResult:
        """Make one attempt. Send nothing if the secret can't be decrypted: the payload would be unsigned."""
        try:
            secret = self.cipher.decrypt(encrypted_secret)
        except DecryptionError as error:
            return DeliveryResult(error=str(error), is_permanent=True)
        return await self.sender.send(url, payload.encode(), delivery_id, secret)

    async def _run(self) -> None:
        while True:
            self._wake_up.clear()
            try:
                sleep_s = await self._start_due_deliveries()
            except (ApiError, Conflict) as error:
                log.info("Webhook deliveries wait for the database, next attempt in %g s: %s", DATABASE_RETRY_S, error)
                sleep_s = DATABASE_RETRY_S
            except Exception:
                log.exception("Webhook deliveries failed unexpectedly, next attempt in %g s", POLL_INTERVAL_S)
                sleep_s = POLL_INTERVAL_S
            try:
                async with asyncio.timeout(sleep_s):
                    await self._wake_up.wait()
            except TimeoutError:
                pass

    async def _start_due_deliveries(self) -> float:
        """Start due deliveries up to the concurrency limit; return the seconds to sleep unless woken up."""
        while len(self._in_flight) < CONCURRENT_DELIVERIES:
            due_ms = await outbox.next_due_ms(self._db, list(self._in_flight))
            if due_ms is None:
                return POLL_INTERVAL_S
            if (wait_ms := due_ms - now_ms()) > 0:
                return min(wait_ms / 1000 + 0.001, POLL_INTERVAL_S)
            claimed = await self._write(self._claim)
            if claimed is None:
                return CLAIM_RETRY_S
            task = asyncio.create_task(self._deliver(claimed))
            self._in_flight[claimed.webhook_id] = task
            task.add_done_callback(partial(self._finished, claimed.webhook_id))
        return POLL_INTERVAL_S

    async def _claim(self, tx: Tx) -> ClaimedDelivery | None:
        lease_s = self.sender.timeout_s + LEASE_MARGIN_S
        return await outbox.claim(tx, list(self._in_flight), int(lease_s * 1000))

    def _finished(self, webhook_id: str, _task: asyncio.Task[None]) -> None:
        del self._in_flight[webhook_id]
        self._wake_up.set()

    async def _write(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async def transaction() -> T:
            async with self._db.write() as tx:
                return await work(tx)

        return await retry_on_conflict(transaction)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        try:
            backoff_s = await self._attempt(claimed)
            if backoff_s is None:
                await self._write(lambda tx: outbox.delete(tx, claimed.delivery_id))
            else:
                await self._write(lambda tx: outbox.reschedule(tx, claimed, backoff_s))
        except asyncio.CancelledError:
            await self._write(lambda tx: outbox.reschedule(tx, claimed, 0))
            raise
        except Exception as error:
            log.warning("Webhook delivery %s failed; it is retried when its lease ends: %r", claimed.delivery_id, error)

    async def _attempt(self, claimed: ClaimedDelivery) -> float | None:
        """Send the delivery; return the seconds until the next attempt, None if it is completed or dropped."""
        webhook = await self._db.fetch_row(
            "SELECT url, secret FROM webhooks "
            "WHERE webhook_id = $1 AND status = 'ACTIVE' AND deleted_timestamp IS NULL",
            claimed.webhook_id,
        )
        if webhook is None:
            return None
        url, encrypted_secret = webhook
        result = await self.send(url, encrypted_secret, claimed.payload, claimed.delivery_id)
        if result.is_delivered:
            return None
        # Without the URL, which may contain a password.
        described = f"delivery {claimed.delivery_id} to webhook {claimed.webhook_id}, attempt {claimed.attempts}: " + (
            f"status {result.status}" if result.status else result.error
        )
        is_expired = now_ms() - claimed.created_ms > MAX_AGE_MS
        if not result.is_retryable or claimed.attempts > self._max_retries or is_expired:
            log.warning("Dropped webhook %s", described)
            return None
        pause_s = backoff(claimed.attempts, result.retry_after_s)
        log.info("Retrying in %.0f s: webhook %s", pause_s, described)
        return pause_s


def backoff(attempts: int, retry_after_s: float | None) -> float:
    """Return the seconds before the next attempt: the receiver's Retry-After, else exponential with jitter."""
    if retry_after_s is not None:
        return min(retry_after_s, MAX_BACKOFF_S)
    return backoff_s(attempts - 1, FIRST_BACKOFF_S, MAX_BACKOFF_S)
