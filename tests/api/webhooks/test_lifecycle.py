"""Managing webhooks, where tests/compat can't compare with MLflow: secrets, column limits, pages."""

import json
from dataclasses import replace
from typing import Any

from tests.api.registry.models import assert_invalid
from tests.client import Client, running_app
from tests.servers.databases import WEBHOOK_KEY

from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.webhooks.encryption import SecretCipher

WEBHOOK: dict[str, Any] = {
    "name": "hook",
    "url": "https://8.8.8.8/",
    "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
}


async def create(client: Client, **more: Any) -> str:
    answer = await client.ok("POST", "webhooks", {**WEBHOOK, **more})
    webhook_id: str = answer["webhook"]["webhook_id"]
    return webhook_id


async def stored_secret(db: Db, webhook_id: str) -> str:
    encrypted = await db.fetch_value("SELECT secret FROM webhooks WHERE webhook_id = $1", webhook_id)
    return SecretCipher(WEBHOOK_KEY).decrypt(encrypted)


async def test_a_secret_is_stored_encrypted_and_never_returned(client: Client, db: Db) -> None:
    webhook_id = await create(client, secret="s3cret")
    answers = [
        await client.get("webhooks"),
        await client.get(f"webhooks/{webhook_id}"),
        await client.send("PATCH", f"webhooks/{webhook_id}", json={"name": "other"}),
    ]
    assert not [answer for answer in answers if "secret" in answer.text or "s3cret" in answer.text]
    assert "s3cret" not in str(await db.fetch_value("SELECT secret FROM webhooks"))
    assert await stored_secret(db, webhook_id) == "s3cret"


async def test_a_secret_can_be_replaced_and_deleted(client: Client, db: Db) -> None:
    webhook_id = await create(client, secret="old")
    for change, secret in (({"secret": "new"}, "new"), ({"name": "x"}, "new"), ({"secret": ""}, "")):
        await client.ok("PATCH", f"webhooks/{webhook_id}", change)
        assert await stored_secret(db, webhook_id) == secret


async def test_webhooks_work_without_a_key_but_secrets_are_rejected(db: Db, settings: Settings) -> None:
    async with running_app(replace(settings, webhooks=replace(settings.webhooks, secret_key=""))) as client:
        await create(client)
        assert_invalid(
            await client.post("webhooks", {**WEBHOOK, "secret": "s3cret"}), "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
        )
        assert len((await client.ok("GET", "webhooks"))["webhooks"]) == 1


async def test_a_webhook_whose_secret_has_another_key_is_still_listed(
    db: Db, client: Client, settings: Settings
) -> None:
    webhook_id = await create(client, secret="s3cret")
    async with running_app(replace(settings, webhooks=replace(settings.webhooks, secret_key=""))) as other:
        assert (await other.ok("GET", "webhooks"))["webhooks"][0]["webhook_id"] == webhook_id


async def test_values_too_long_for_their_columns_are_rejected(client: Client) -> None:
    for field, value in (
        ("url", "https://8.8.8.8/" + "x" * 485),
        ("description", "x" * 1001),
        ("secret", "x" * 1000),
    ):
        assert_invalid(await client.post("webhooks", {**WEBHOOK, field: value}), f"'{field}'")
    webhook_id = await create(client, url="https://8.8.8.8/" + "x" * 484, description="x" * 1000)
    assert_invalid(await client.send("PATCH", f"webhooks/{webhook_id}", json={"description": "x" * 1001}), "of 1000")


async def test_a_duplicate_event_is_stored_once(client: Client) -> None:
    webhook_id = await create(client, events=WEBHOOK["events"] * 2)
    assert (await client.ok("GET", f"webhooks/{webhook_id}"))["webhook"]["events"] == WEBHOOK["events"]


async def test_pages_contain_every_webhook_once(client: Client) -> None:
    created = [await create(client, name=f"hook-{number}") for number in range(7)]
    listed: list[str] = []
    query: dict[str, Any] = {"max_results": 3}
    while True:
        page = await client.ok("GET", "webhooks", query=query)
        listed += [webhook["webhook_id"] for webhook in page["webhooks"]]
        if "next_page_token" not in page:
            break
        query["page_token"] = page["next_page_token"]
    assert sorted(listed) == sorted(created)


async def test_deleting_a_webhook_deletes_its_queued_deliveries(client: Client, db: Db) -> None:
    webhook_id, other = await create(client), await create(client)
    async with db.write() as tx:
        for number, one in enumerate((webhook_id, other)):
            await tx.execute(
                """
                INSERT INTO railtrack_webhook_deliveries
                    (delivery_id, webhook_id, payload, created_ms, attempts, due_ms)
                VALUES ($1, $2, $3, 0, 0, 4000000000000)
                """,
                str(number),
                one,
                json.dumps({}),
            )
    await client.ok("DELETE", f"webhooks/{webhook_id}")
    assert await db.fetch("SELECT webhook_id FROM railtrack_webhook_deliveries") == [(other,)]
