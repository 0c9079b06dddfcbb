"""Deliveries: kept with the change, sent after its commit, sent again or given up, by one of all who could."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.api.registry.models import PROMPT, add_version, create, give_alias
from tests.client import Client, running_app
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.webhook_receiver import Received, Receiver, Reply

from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.webhooks.delivery import LONGEST_PAUSE_S, pause_after
from railtrack.webhooks.outbox import PAYLOAD_LIMIT, QUEUE_LIMIT

AT_ONCE = {"retry-after": "0"}


async def webhook(client: Client, url: str, *events: str, **more: Any) -> str:
    """Creates a webhook for events such as `prompt_tag.set`; returns its id."""
    asked = [dict(zip(("entity", "action"), one.upper().split("."), strict=True)) for one in events]
    answer = await client.ok("POST", "webhooks", {"name": "hook", "url": url, "events": asked, **more})
    webhook_id: str = answer["webhook"]["webhook_id"]
    return webhook_id


async def got(receiver: Receiver) -> Received:
    return await asyncio.to_thread(receiver.next)


async def waiting(db: Db) -> int:
    count: int = await db.fetch_value("SELECT COUNT(*) FROM railtrack_webhook_deliveries")
    return count


async def none_left(db: Db) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await waiting(db):  # noqa: ASYNC110 (the database tells nobody)
            await asyncio.sleep(0.02)


ALL = (
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


async def test_a_models_changes_are_told_as_mlflow_tells_them(sender: Client, receiver: Receiver) -> None:
    await webhook(sender, receiver.url, *ALL)
    told = _Told(sender, receiver)
    tags = [{"key": "team", "value": "vision"}]
    await told("POST", "registered-models/create", {"name": "cat", "tags": tags})
    assert told.last == ("registered_model.created", {"name": "cat", "tags": {"team": "vision"}, "description": ""})
    await told("POST", "model-versions/create", {"name": "cat", "source": "s3://b/c", "run_id": "r", "tags": tags})
    assert told.last == (
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
    await told("POST", "model-versions/set-tag", {**of_version, "value": "v"})
    assert told.last == ("model_version_tag.set", {**of_version, "value": "v"})
    await told("DELETE", "model-versions/delete-tag", of_version)
    assert told.last == ("model_version_tag.deleted", of_version)
    await told("POST", "registered-models/alias", {"name": "cat", "alias": "best", "version": "1"})
    assert told.last == ("model_version_alias.created", {"name": "cat", "alias": "best", "version": "1"})
    await told("DELETE", "registered-models/alias", {"name": "cat", "alias": "best"})
    assert told.last == ("model_version_alias.deleted", {"name": "cat", "alias": "best"})


async def test_a_prompts_changes_are_told_as_mlflow_tells_them(sender: Client, receiver: Receiver) -> None:
    await webhook(sender, receiver.url, *ALL)
    told = _Told(sender, receiver)
    tags = [*PROMPT, {"key": "_mlflow_prompt_type", "value": "text"}, {"key": "team", "value": "nlp"}]
    await told("POST", "registered-models/create", {"name": "say", "tags": tags, "description": "d"})
    assert told.last == ("prompt.created", {"name": "say", "tags": {"team": "nlp"}, "description": "d"})
    await told("POST", "model-versions/create", {"name": "say", "source": "dummy-source", "tags": tags})
    assert told.last == (
        "prompt_version.created",
        {"name": "say", "version": "1", "template": "Say {{it}}.", "tags": {"team": "nlp"}, "description": None},
    )
    await told("POST", "registered-models/set-tag", {"name": "say", "key": "k", "value": "v"})
    assert told.last == ("prompt_tag.set", {"name": "say", "key": "k", "value": "v"})
    await told("DELETE", "registered-models/delete-tag", {"name": "say", "key": "k"})
    assert told.last == ("prompt_tag.deleted", {"name": "say", "key": "k"})
    of_version = {"name": "say", "version": "1", "key": "k"}
    await told("POST", "model-versions/set-tag", {**of_version, "value": "v"})
    assert told.last == ("prompt_version_tag.set", {**of_version, "value": "v"})
    await told("DELETE", "model-versions/delete-tag", of_version)
    assert told.last == ("prompt_version_tag.deleted", of_version)
    await told("POST", "registered-models/alias", {"name": "say", "alias": "best", "version": "1"})
    assert told.last == ("prompt_alias.created", {"name": "say", "alias": "best", "version": "1"})
    await told("DELETE", "registered-models/alias", {"name": "say", "alias": "best"})
    assert told.last == ("prompt_alias.deleted", {"name": "say", "alias": "best"})


class _Told:
    """Makes a change and keeps what the receiver is told of it."""

    def __init__(self, client: Client, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self.last: tuple[str, Any] = ("", None)

    async def __call__(self, method: str, path: str, body: Any) -> None:
        await self._client.ok(method, path, body)
        payload = (await got(self._receiver)).json
        assert list(payload) == ["entity", "action", "timestamp", "data"]
        self.last = (f"{payload['entity']}.{payload['action']}", payload["data"])


async def test_nobody_is_told_of_what_nobody_asked_for(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, "registered_model.created")
    gone = await webhook(sender, receiver.url + "/gone", "registered_model.created")
    await webhook(sender, receiver.url + "/disabled", "registered_model.created", status="DISABLED")
    await sender.ok("DELETE", f"webhooks/{gone}")
    await create(sender, "said", tags=PROMPT)
    await create(sender, "cat")
    await add_version(sender, "cat")
    await give_alias(sender, "cat", "best", 1)
    assert (await got(receiver)).json["data"]["name"] == "cat"
    await none_left(db)
    assert receiver.received.empty()


async def test_a_refused_change_is_not_told_of(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, *ALL)
    await create(sender, "cat")
    await got(receiver)
    for method, path, body in (
        ("POST", "registered-models/create", {"name": "cat"}),
        ("POST", "registered-models/alias", {"name": "cat", "alias": "best", "version": "1"}),
        ("POST", "model-versions/set-tag", {"name": "cat", "version": "1", "key": "k", "value": "v"}),
        ("POST", "model-versions/create", {"name": "dog", "source": "s3://b/c"}),
    ):
        assert (await sender.send(method, path, json=body)).status in (400, 404)
    await none_left(db)
    assert receiver.received.empty()


async def test_a_delivery_is_tried_again_with_the_same_id(sender: Client, receiver: Receiver, db: Db) -> None:
    receiver.replies = [Reply(500), Reply(503, headers=AT_ONCE), Reply(429, headers=AT_ONCE), Reply()]
    await webhook(sender, receiver.url, "registered_model.created", secret="shh")
    await create(sender, "cat")
    attempts = [await got(receiver) for _ in range(4)]
    assert len({one.delivery_id for one in attempts}) == 1
    assert len({one.body for one in attempts}) == 1
    assert all("x-mlflow-signature" in one.headers for one in attempts)
    await none_left(db)
    assert receiver.received.empty()


async def test_a_refusal_is_taken_for_an_answer(sender: Client, receiver: Receiver, db: Db) -> None:
    receiver.replies = [Reply(404)]
    await webhook(sender, receiver.url, "registered_model.created")
    await create(sender, "cat")
    await got(receiver)
    await none_left(db)
    assert receiver.received.empty()


async def test_there_is_an_end_to_the_attempts(db: Db, to_this_machine: Settings, receiver: Receiver) -> None:
    receiver.replies = [Reply(503, headers=AT_ONCE)]
    async with running_app(
        replace(to_this_machine, webhooks=replace(to_this_machine.webhooks, max_retries=3))
    ) as client:
        await webhook(client, receiver.url, "registered_model.created")
        await create(client, "cat")
        assert len({(await got(receiver)).delivery_id for _ in range(4)}) == 1
        await none_left(db)
    assert receiver.received.empty()


async def make_due(db: Db, age_ms: int = 0) -> None:
    """Let what waits be due, and be so much older; who starts next finds it."""
    async with db.write() as tx:
        await tx.execute(
            "UPDATE railtrack_webhook_deliveries SET due_ms = 0, created_ms = created_ms - CAST($1 AS BIGINT)", age_ms
        )


async def kept(client: Client, receiver: Receiver, name: str) -> tuple[str, Received]:
    """A webhook, and what it got of a delivery that is to be made again in an hour."""
    receiver.replies = [Reply(503, headers={"retry-after": "3600"}), Reply(503, headers=AT_ONCE)]
    webhook_id = await webhook(client, receiver.url, "registered_model.created")
    await create(client, name)
    return webhook_id, await got(receiver)


async def test_what_waits_too_long_is_given_up(db: Db, to_this_machine: Settings, receiver: Receiver) -> None:
    async with running_app(to_this_machine) as client:
        await kept(client, receiver, "cat")
    await make_due(db, age_ms=25 * 3600 * 1000)
    async with running_app(to_this_machine):
        await got(receiver)
        await none_left(db)
    assert receiver.received.empty()


@pytest.mark.parametrize("change", [{"status": "DISABLED"}, None], ids=["disabled", "deleted"])
async def test_a_webhook_that_is_gone_by_then_is_not_told(
    db: Db, to_this_machine: Settings, receiver: Receiver, change: dict[str, str] | None
) -> None:
    async with running_app(to_this_machine) as client:
        webhook_id, _ = await kept(client, receiver, "cat")
        await client.ok("PATCH" if change else "DELETE", f"webhooks/{webhook_id}", change)
    await make_due(db)
    async with running_app(to_this_machine):
        await none_left(db)
    assert receiver.received.empty()


async def test_a_receiver_that_hangs_holds_up_nobody_else(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(held=True)]
    await webhook(sender, receiver.url, "registered_model.created")
    await create(sender, "one")
    await got(receiver)
    await webhook(sender, receiver.url + "/other", "registered_model.created")
    await create(sender, "two")
    assert (await got(receiver)).path == "/other"
    assert receiver.received.empty()  # the first webhook's second delivery waits for the first


async def test_a_secret_sealed_with_another_key_sends_nothing_unsigned(
    db: Db, sender: Client, to_this_machine: Settings, receiver: Receiver
) -> None:
    await webhook(sender, receiver.url, "registered_model.created", secret="shh")
    async with running_app(
        replace(to_this_machine, webhooks=replace(to_this_machine.webhooks, secret_key=""))
    ) as other:
        await create(other, "cat")
        await none_left(db)
    assert receiver.received.empty()


async def test_several_workers_send_each_delivery_once(
    sender: Client, to_this_machine: Settings, receiver: Receiver, db: Db
) -> None:
    async with running_app(to_this_machine) as other:
        for number in range(4):
            await webhook(sender, f"{receiver.url}/{number}", "registered_model.created")
        await asyncio.gather(*(create((sender, other)[number % 2], f"model {number}") for number in range(10)))
        ids = [(await got(receiver)).delivery_id for _ in range(40)]
        await none_left(db)
    assert len(set(ids)) == 40
    assert receiver.received.empty()


async def test_a_worker_that_ends_leaves_what_waits_to_the_next(
    db: Db, to_this_machine: Settings, receiver: Receiver
) -> None:
    async with running_app(to_this_machine) as client:
        _, first = await kept(client, receiver, "cat")
    assert await waiting(db) == 1
    receiver.replies = [Reply()]
    await make_due(db)
    async with running_app(to_this_machine):
        assert (await got(receiver)).delivery_id == first.delivery_id
        await none_left(db)


async def test_what_waits_for_one_webhook_is_bounded_and_no_change_is_refused_for_it(
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
    assert await waiting(db) == QUEUE_LIMIT


async def test_a_payload_is_bounded(sender: Client, receiver: Receiver, db: Db) -> None:
    await webhook(sender, receiver.url, "model_version.created")
    await create(sender, "cat")
    tags = [{"key": f"k{number}", "value": "x" * 100_000} for number in range(PAYLOAD_LIMIT // 100_000 + 1)]
    await add_version(sender, "cat", tags=tags)
    assert await waiting(db) == 0


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 1.5, 2.5), (2, 3, 5), (10, 768, 1280), (30, 2700, 4500)])
def test_pauses_grow_to_an_hour(attempts: int, least: float, most: float) -> None:
    assert least <= pause_after(attempts, None) <= most


def test_a_receiver_may_name_the_pause_up_to_an_hour() -> None:
    assert pause_after(9, 0) == 0
    assert pause_after(1, 7) == 7
    assert pause_after(1, 86400) == LONGEST_PAUSE_S
