"""Deliveries: queued with the change, sent after its commit by one worker, retried with backoff, dropped at limits."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.api.registry.models import PROMPT, add_version, create, set_alias
from tests.client import Client, running_app
from tests.servers.processes import TIMEOUT_S
from tests.servers.webhook_receiver import Received, Receiver, Reply

from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.webhooks.delivery import MAX_BACKOFF_S, backoff
from railtrack.webhooks.outbox import PAYLOAD_LIMIT, QUEUE_LIMIT

IMMEDIATELY = {"retry-after": "0"}


async def webhook(client: Client, url: str, *events: str, **more: Any) -> str:
    """Create a webhook for events such as `prompt_tag.set` and return its id."""
    requested = [dict(zip(("entity", "action"), event.upper().split("."), strict=True)) for event in events]
    answer = await client.ok("POST", "webhooks", {"name": "hook", "url": url, "events": requested, **more})
    webhook_id: str = answer["webhook"]["webhook_id"]
    return webhook_id


async def next_received(receiver: Receiver) -> Received:
    return await asyncio.to_thread(receiver.next)


async def queued(db: Db) -> int:
    count: int = await db.fetch_value("SELECT COUNT(*) FROM railtrack_webhook_deliveries")
    return count


async def wait_until_queue_is_empty(db: Db) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await queued(db):  # noqa: ASYNC110 (the database sends no notification)
            await asyncio.sleep(0.02)


ALL_EVENTS = (
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
)


async def test_changes_of_a_model_send_mlflows_payloads(sender: Client, receiver: Receiver) -> None:
    await webhook(sender, receiver.url, *ALL_EVENTS)
    change = ChangeAndReceive(sender, receiver)
    tags = [{"key": "team", "value": "vision"}]
    await change("POST", "registered-models/create", {"name": "cat", "tags": tags})
    assert change.received == (
        "registered_model.created",
        {"name": "cat", "tags": {"team": "vision"}, "description": ""},
    )
    await change("POST", "model-versions/create", {"name": "cat", "source": "s3://b/c", "run_id": "r", "tags": tags})
    assert change.received == (
        "model_version.created",
        {
            "name": "cat",
            "version": "1",
            "source": "s3://b/c",
            "run_id": "r",
            "tags": {"team": "vision"},
            "description": None,
        },
    )
    of_version = {"name": "cat", "version": "1", "key": "k"}
    await change("POST", "model-versions/set-tag", {**of_version, "value": "v"})
    assert change.received == ("model_version_tag.set", {**of_version, "value": "v"})
    await change("DELETE", "model-versions/delete-tag", of_version)
    assert change.received == ("model_version_tag.deleted", of_version)
    await change("POST", "registered-models/alias", {"name": "cat", "alias": "best", "version": "1"})
    assert change.received == ("model_version_alias.created", {"name": "cat", "alias": "best", "version": "1"})
    await change("DELETE", "registered-models/alias", {"name": "cat", "alias": "best"})
    assert change.received == ("model_version_alias.deleted", {"name": "cat", "alias": "best"})


async def test_changes_of_a_prompt_send_mlflows_payloads(sender: Client, receiver: Receiver) -> None:
    await webhook(sender, receiver.url, *ALL_EVENTS)
    change = ChangeAndReceive(sender, receiver)
    tags = [*PROMPT, {"key": "_mlflow_prompt_type", "value": "text"}, {"key": "team", "value": "nlp"}]
    await change("POST", "registered-models/create", {"name": "say", "tags": tags, "description": "d"})
    assert change.received == ("prompt.created", {"name": "say", "tags": {"team": "nlp"}, "description": "d"})
    await change("POST", "model-versions/create", {"name": "say", "source": "dummy-source", "tags": tags})
    assert change.received == (
        "prompt_version.created",
        {"name": "say", "version": "1", "template": "Say {{it}}.", "tags": {"team": "nlp"}, "description": None},
    )
    await change("POST", "registered-models/set-tag", {"name": "say", "key": "k", "value": "v"})
    assert change.received == ("prompt_tag.set", {"name": "say", "key": "k", "value": "v"})
    await change("DELETE", "registered-models/delete-tag", {"name": "say", "key": "k"})
    assert change.received == ("prompt_tag.deleted", {"name": "say", "key": "k"})
    of_version = {"name": "say", "version": "1", "key": "k"}
    await change("POST", "model-versions/set-tag", {**of_version, "value": "v"})
    assert change.received == ("prompt_version_tag.set", {**of_version, "value": "v"})
    await change("DELETE", "model-versions/delete-tag", of_version)
    assert change.received == ("prompt_version_tag.deleted", of_version)
    await change("POST", "registered-models/alias", {"name": "say", "alias": "best", "version": "1"})
    assert change.received == ("prompt_alias.created", {"name": "say", "alias": "best", "version": "1"})
    await change("DELETE", "registered-models/alias", {"name": "say", "alias": "best"})
    assert change.received == ("prompt_alias.deleted", {"name": "say", "alias": "best"})


class ChangeAndReceive:
    """Makes a change and stores the event and data that the receiver gets."""

    def __init__(self, client: Client, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self.received: tuple[str, Any] = ("", None)

    async def __call__(self, method: str, path: str, body: Any) -> None:
        await self._client.ok(method, path, body)
        payload = (await next_received(self._receiver)).json
        assert list(payload) == ["entity", "action", "timestamp", "data"]
        self.received = (f"{payload['entity']}.{payload['action']}", payload["data"])


async def test_only_active_subscribers_of_an_event_get_it(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, "registered_model.created")
    gone = await webhook(sender, receiver.url + "/gone", "registered_model.created")
    await webhook(sender, receiver.url + "/disabled", "registered_model.created", status="DISABLED")
    await sender.ok("DELETE", f"webhooks/{gone}")
    await create(sender, "prompt", tags=PROMPT)
    await create(sender, "cat")
    await add_version(sender, "cat")
    await set_alias(sender, "cat", "best", 1)
    assert (await next_received(receiver)).json["data"]["name"] == "cat"
    await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_a_rejected_change_sends_nothing(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, *ALL_EVENTS)
    await create(sender, "cat")
    await next_received(receiver)
    for method, path, body in (
        ("POST", "registered-models/create", {"name": "cat"}),
        ("POST", "registered-models/alias", {"name": "cat", "alias": "best", "version": "1"}),
        ("POST", "model-versions/set-tag", {"name": "cat", "version": "1", "key": "k", "value": "v"}),
        ("POST", "model-versions/create", {"name": "dog", "source": "s3://b/c"}),
    ):
        assert (await sender.send(method, path, json=body)).status in (400, 404)
    await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_a_delivery_is_retried_with_the_same_id(sender: Client, receiver: Receiver, db: Db) -> None:
    receiver.replies = [Reply(500), Reply(503, headers=IMMEDIATELY), Reply(429, headers=IMMEDIATELY), Reply()]
    await webhook(sender, receiver.url, "registered_model.created", secret="shh")
    await create(sender, "cat")
    attempts = [await next_received(receiver) for _ in range(4)]
    assert len({attempt.delivery_id for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    assert all("x-mlflow-signature" in attempt.headers for attempt in attempts)
    await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_a_client_error_is_not_retried(sender: Client, receiver: Receiver, db: Db) -> None:
    receiver.replies = [Reply(404)]
    await webhook(sender, receiver.url, "registered_model.created")
    await create(sender, "cat")
    await next_received(receiver)
    await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_the_number_of_retries_is_limited(db: Db, delivery_settings: Settings, receiver: Receiver) -> None:
    receiver.replies = [Reply(503, headers=IMMEDIATELY)]
    async with running_app(
        replace(delivery_settings, webhooks=replace(delivery_settings.webhooks, max_retries=3))
    ) as client:
        await webhook(client, receiver.url, "registered_model.created")
        await create(client, "cat")
        assert len({(await next_received(receiver)).delivery_id for _ in range(4)}) == 1
        await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def make_due(db: Db, age_ms: int = 0) -> None:
    """Make all queued deliveries due, and `age_ms` older; the next application to start sends them."""
    async with db.write() as tx:
        await tx.execute(
            "UPDATE railtrack_webhook_deliveries SET due_ms = 0, created_ms = created_ms - CAST($1 AS BIGINT)", age_ms
        )


async def queue_failed_delivery(client: Client, receiver: Receiver, name: str) -> tuple[str, Received]:
    """Return a webhook's id and the request of its delivery, which failed and is retried in an hour."""
    receiver.replies = [Reply(503, headers={"retry-after": "3600"}), Reply(503, headers=IMMEDIATELY)]
    webhook_id = await webhook(client, receiver.url, "registered_model.created")
    await create(client, name)
    return webhook_id, await next_received(receiver)


async def test_a_delivery_older_than_a_day_is_dropped(db: Db, delivery_settings: Settings, receiver: Receiver) -> None:
    async with running_app(delivery_settings) as client:
        await queue_failed_delivery(client, receiver, "cat")
    await make_due(db, age_ms=25 * 3600 * 1000)
    async with running_app(delivery_settings):
        await next_received(receiver)
        await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


@pytest.mark.parametrize("change", [{"status": "DISABLED"}, None], ids=["disabled", "deleted"])
async def test_a_disabled_or_deleted_webhook_gets_no_retry(
    db: Db, delivery_settings: Settings, receiver: Receiver, change: dict[str, str] | None
) -> None:
    async with running_app(delivery_settings) as client:
        webhook_id, _ = await queue_failed_delivery(client, receiver, "cat")
        await client.ok("PATCH" if change else "DELETE", f"webhooks/{webhook_id}", change)
    await make_due(db)
    async with running_app(delivery_settings):
        await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_a_hanging_receiver_does_not_delay_others(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(held=True)]
    await webhook(sender, receiver.url, "registered_model.created")
    await create(sender, "one")
    await next_received(receiver)
    await webhook(sender, receiver.url + "/other", "registered_model.created")
    await create(sender, "two")
    assert (await next_received(receiver)).path == "/other"
    assert receiver.received.empty()  # the second delivery of the first webhook waits for its first


async def test_nothing_is_sent_unsigned_when_the_secret_cannot_be_decrypted(
    db: Db, sender: Client, delivery_settings: Settings, receiver: Receiver
) -> None:
    await webhook(sender, receiver.url, "registered_model.created", secret="shh")
    async with running_app(
        replace(delivery_settings, webhooks=replace(delivery_settings.webhooks, secret_key=""))
    ) as other:
        await create(other, "cat")
        await wait_until_queue_is_empty(db)
    assert receiver.received.empty()


async def test_several_workers_send_each_delivery_once(
    sender: Client, delivery_settings: Settings, receiver: Receiver, db: Db
) -> None:
    async with running_app(delivery_settings) as other:
        for number in range(4):
            await webhook(sender, f"{receiver.url}/{number}", "registered_model.created")
        await asyncio.gather(*(create((sender, other)[number % 2], f"model {number}") for number in range(10)))
        ids = [(await next_received(receiver)).delivery_id for _ in range(40)]
        await wait_until_queue_is_empty(db)
    assert len(set(ids)) == 40
    assert receiver.received.empty()


async def test_a_stopped_worker_leaves_queued_deliveries_to_the_next(
    db: Db, delivery_settings: Settings, receiver: Receiver
) -> None:
    async with running_app(delivery_settings) as client:
        _, first = await queue_failed_delivery(client, receiver, "cat")
    assert await queued(db) == 1
    receiver.replies = [Reply()]
    await make_due(db)
    async with running_app(delivery_settings):
        assert (await next_received(receiver)).delivery_id == first.delivery_id
        await wait_until_queue_is_empty(db)


async def test_the_queue_of_a_webhook_is_limited_and_no_change_fails_for_it(
    sender: Client, receiver: Receiver, db: Db
) -> None:
    receiver.replies = [Reply(503, headers={"retry-after": "3000"})]
    webhook_id = await webhook(sender, receiver.url, "registered_model.created", "prompt_version.created")
    async with db.write() as tx:
        await tx.execute_rows(
            """
            INSERT INTO railtrack_webhook_deliveries (delivery_id, webhook_id, payload, created_ms, attempts, due_ms)
            SELECT r.id, r.webhook_id, 'x', 0, 1, 4000000000000 FROM {rows} WHERE true
            """,
            {"id": "TEXT", "webhook_id": "TEXT"},
            [(f"old {number}", webhook_id) for number in range(QUEUE_LIMIT)],
        )
    await create(sender, "cat")
    assert await queued(db) == QUEUE_LIMIT


async def test_a_payload_over_the_limit_is_dropped(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, "model_version.created")
    await create(sender, "cat")
    tags = [{"key": f"k{number}", "value": "x" * 100_000} for number in range(PAYLOAD_LIMIT // 100_000 + 1)]
    await add_version(sender, "cat", tags=tags)
    assert await queued(db) == 0


@pytest.mark.parametrize(("attempts", "minimum", "maximum"), [(1, 1, 3), (2, 2, 6), (10, 512, 1536), (30, 1800, 5400)])
def test_backoff_grows_to_an_hour(attempts: int, minimum: float, maximum: float) -> None:
    assert minimum <= backoff(attempts, None) <= maximum


def test_retry_after_is_respected_up_to_an_hour() -> None:
    assert backoff(9, 0) == 0
    assert backoff(1, 7) == 7
    assert backoff(1, 86400) == MAX_BACKOFF_S
