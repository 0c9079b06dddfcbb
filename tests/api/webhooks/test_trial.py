"""The trial of a webhook: the example that is sent, and how its answer is told. Held to what MLflow 3.17.2 did."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.servers.processes import free_port, until
from tests.servers.webhook_receiver import Receiver, Reply, receiving

from railtrack.api.webhooks.send_test import AT_ONCE
from railtrack.config.settings import Settings
from railtrack.db import Db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sender(db: Db, settings: Settings) -> AsyncIterator[Client]:
    """A client of an application that may send to this machine."""
    async with running_app(
        replace(settings, webhooks=replace(settings.webhooks, allowed_schemes=("http",), allow_private_ips=True))
    ) as client:
        yield client


async def create(client: Client, url: str, *events: tuple[str, str], **more: Any) -> str:
    asked = [{"entity": entity, "action": action} for entity, action in events or [("REGISTERED_MODEL", "CREATED")]]
    answer = await client.ok("POST", "webhooks", {"name": "hook", "url": url, "events": asked, **more})
    return f"webhooks/{answer['webhook']['webhook_id']}/test"


async def tried(client: Client, path: str, body: Any = None) -> Any:
    return (await client.ok("POST", path, body or {}))["result"]


async def test_an_example_is_sent_and_the_answer_told(sender: Client, receiver: Receiver) -> None:
    path = await create(sender, receiver.url, secret="shh", status="DISABLED")
    assert await tried(sender, path) == {"success": True, "response_status": 200, "response_body": "thanks"}
    got = receiver.next()
    assert got.json["entity"] == "registered_model"
    assert got.json["action"] == "created"
    assert got.json["data"] == {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    }
    assert got.headers["x-mlflow-signature"].startswith("v1,")


@pytest.mark.parametrize(
    ("entity", "action", "data"),
    [
        ("MODEL_VERSION_TAG", "SET", {"version": "1", "key": "example_key", "value": "example_value"}),
        ("MODEL_VERSION_TAG", "DELETED", {"version": "1", "key": "example_key"}),
        ("MODEL_VERSION_ALIAS", "CREATED", {"alias": "example_alias", "version": "1"}),
        ("MODEL_VERSION_ALIAS", "DELETED", {"alias": "example_alias"}),
    ],
)
async def test_any_event_can_be_tried(
    sender: Client, receiver: Receiver, entity: str, action: str, data: dict[str, str]
) -> None:
    path = await create(sender, receiver.url)
    assert (await tried(sender, path, {"event": {"entity": entity, "action": action}}))["success"]
    got = receiver.next().json
    assert (got["entity"], got["action"]) == (entity.lower(), action.lower())
    assert got["data"] == {"name": "example_model", **data}


async def test_the_first_event_is_tried_when_none_is_named(sender: Client, receiver: Receiver) -> None:
    path = await create(sender, receiver.url, ("PROMPT", "CREATED"), ("MODEL_VERSION", "CREATED"))
    await tried(sender, path)
    assert receiver.next().json["entity"] == "model_version"


async def test_a_refusal_is_told_and_not_tried_again(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(500, b"ill")]
    path = await create(sender, receiver.url)
    assert await tried(sender, path) == {
        "success": False,
        "response_status": 500,
        "response_body": "ill",
        "error_message": "The receiver answered 500.",
    }
    receiver.next()
    assert receiver.received.empty()


async def test_an_empty_answer_is_one(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(204, b"")]
    path = await create(sender, receiver.url)
    assert await tried(sender, path) == {"success": True, "response_status": 204, "response_body": ""}


async def test_that_there_is_no_answer_is_told(sender: Client) -> None:
    result = await tried(sender, await create(sender, f"http://127.0.0.1:{free_port()}"))
    assert set(result) == {"success", "error_message"}
    assert not result["success"]
    assert result["error_message"].startswith("Failed to test webhook: ")


async def test_only_a_few_are_tried_at_once(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(held=True)]
    path = await create(sender, receiver.url)
    trials = [asyncio.create_task(sender.post(path, {})) for _ in range(AT_ONCE + 2)]
    await until(lambda: sum(trial.done() for trial in trials) == 2)
    receiver.release()
    assert sorted([(await trial).status for trial in trials]) == [200] * AT_ONCE + [429] * 2
    receiver.replies = [Reply()]
    assert (await tried(sender, path))["success"]


async def test_a_url_that_leads_to_a_private_address_by_now_is_not_asked(
    sender: Client, client: Client, receiver: Receiver
) -> None:
    result = await tried(client, await create(sender, receiver.url))
    assert result["error_message"].startswith("Failed to test webhook: Invalid webhook URL scheme")
    assert receiver.received.empty()
