"""The part of each worker that delivers: takes what is due out of the outbox, sends it, and decides what comes after.

It sleeps until the next delivery is due. Without webhooks it asks the database for one number every five minutes.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from railtrack.clock import now_ms
from railtrack.db import Conflict, Db, Tx
from railtrack.db.retry import retry_on_conflict
from railtrack.errors import ApiError
from railtrack.webhooks import outbox
from railtrack.webhooks.outbox import ClaimedDelivery
from railtrack.webhooks.registry_events import RegistryEvents
from railtrack.webhooks.secret import CannotOpen, Vault
from railtrack.webhooks.sending import Outcome, Sender

log = logging.getLogger("railtrack")
T = TypeVar("T")

AT_ONCE = 8
"""Deliveries of one worker under way, each to another webhook: a receiver that hangs holds up only its own."""
LOOK_S = 300.0
"""How often a worker looks for what others left behind: a machine that is gone for good, say."""
TROUBLE_S = 10.0
"""The pause when the database is away."""
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 3600.0
LIFE_MS = 24 * 3600 * 1000
"""What could not be delivered for so long is given up, however many attempts there were."""
LEASE_MARGIN_S = 5.0
END_S = 5.0
"""How long a worker that ends waits for what is under way."""


class Webhooks:
    """The deliveries of one worker. `retries`: attempts after the first one."""

    def __init__(self, db: Db, sender: Sender, vault: Vault, *, retries: int) -> None:
        self.sender = sender
        self.vault = vault
        self._db = db
        self._retries = retries
        self._awake = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._running: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def registry_events(self) -> AsyncIterator[RegistryEvents]:
        """Wrap a transaction: deliveries that it queues are sent right after its commit."""
        events = RegistryEvents()
        yield events
        if events.queued:
            self._awake.set()

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Begin nothing more; what doesn't end soon is left for another worker or the next start."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._under_way:
            _, late = await asyncio.wait(self._under_way.values(), timeout=END_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            try:
                pause = await self._begin_due()
            except (ApiError, Conflict) as error:
                log.info("Webhooks have to wait for the database: %s", error)
                pause = TROUBLE_S
            except Exception:
                log.exception("Webhooks could not be looked after")
                pause = LOOK_S
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _begin_due(self) -> float:
        """Begin what is due, as far as there is room; returns the seconds until there may be more to do."""
        while len(self._under_way) < AT_ONCE:
            due = await outbox.next_due_ms(self._db, list(self._under_way))
            if due is None:
                return LOOK_S
            if (early := due - now_ms()) > 0:
                return min(early / 1000 + 0.001, LOOK_S)
            claimed = await self._writing(self._claim)
            if claimed is None:
                return 1.0  # another worker is at it
            task = asyncio.create_task(self._deliver(claimed))
            self._under_way[claimed.webhook_id] = task
            task.add_done_callback(partial(self._ended, claimed.webhook_id))
        return LOOK_S

    async def _claim(self, tx: Tx) -> ClaimedDelivery | None:
        lease_s = self.sender.limit_s + LEASE_MARGIN_S
        return await outbox.claim(tx, list(self._under_way), int(lease_s * 1000))

    def _ended(self, webhook_id: str, _task: asyncio.Task[None]) -> None:
        del self._under_way[webhook_id]
        self._awake.set()

    async def _writing(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async def once() -> T:
            async with self._db.write() as tx:
                return await work(tx)

        return await retry_on_conflict(once)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        try:
            pause_s = await self._attempt(claimed)
            if pause_s is None:
                await self._writing(lambda tx: outbox.delete(tx, claimed.delivery_id))
            else:
                await self._writing(lambda tx: outbox.reschedule(tx, claimed, pause_s))
        except asyncio.CancelledError:
            await self._writing(lambda tx: outbox.reschedule(tx, claimed, 0))
            raise
        except Exception as error:
            # Its time runs out, and it is due again.
            log.warning("The webhook delivery %s was not seen to its end: %r", claimed.delivery_id, error)

    async def _attempt(self, claimed: ClaimedDelivery) -> float | None:
        """Send it; returns the pause before the next attempt, None when there is to be none."""
        webhook = await self._db.fetch_row(
            "SELECT url, secret FROM webhooks "
            "WHERE webhook_id = $1 AND status = 'ACTIVE' AND deleted_timestamp IS NULL",
            claimed.webhook_id,
        )
        if webhook is None:
            return None
        url, sealed = webhook
        outcome = await self.send(url, sealed, claimed.payload, claimed.delivery_id)
        if outcome.delivered:
            return None
        late = now_ms() - claimed.created_ms > LIFE_MS
        if not outcome.passing or claimed.attempts > self._retries or late:
            log.warning("Gave up on %s", _told(claimed, outcome))
            return None
        log.info("Will try again: %s", _told(claimed, outcome))
        return pause_after(claimed.attempts, outcome.retry_after_s)

    async def send(self, url: str, sealed: str | None, payload: str, delivery_id: str) -> Outcome:
        """One attempt. Nothing is sent unsigned because its secret can't be read."""
        try:
            secret = self.vault.open(sealed)
        except CannotOpen as error:
            return Outcome(error=str(error), final=True)
        return await self.sender.send(url, payload.encode(), delivery_id, secret)


def pause_after(attempts: int, retry_after_s: float | None) -> float:
    """Seconds: what the receiver asks for, else twice as long each time, so or so."""
    if retry_after_s is not None:
        return min(retry_after_s, LONGEST_PAUSE_S)
    return min(FIRST_PAUSE_S * 2.0 ** (attempts - 1), LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311 (jitter)


def _told(claimed: ClaimedDelivery, outcome: Outcome) -> str:
    """For the log: without the URL, which may hold a password."""
    said = f"it answered {outcome.status}" if outcome.status else outcome.error
    return f"delivery {claimed.delivery_id} to the webhook {claimed.webhook_id}, attempt {claimed.attempts}: {said}"
