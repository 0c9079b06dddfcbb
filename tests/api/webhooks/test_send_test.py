"""Test deliveries: the example payload that is sent, and the result. Expectations are observed on MLflow 3.17.2."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.servers.processes import free_port, until
from tests.servers.webhook_receiver import Receiver, Reply, receiving

from railtrack.api.webhooks.send_test import CONCURRENT_TESTS
from railtrack.config.settings import Settings
from railtrack.db import Db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sender(db: Db, settings: Settings) -> AsyncIterator[Client]:
    """Yield a client of an application that may send to private addresses."""
    async with running_app(
        replace(settings, webhooks=replace(settings.webhooks, allowed_schemes=("http",), allow_private_ips=True))
    ) as client:
        yield client


async def create(client: Client, url: str, *events: tuple[str, str], **more: Any) -> str:
    requested = [{"entity": entity, "action": action} for entity, action in events or [("REGISTERED_MODEL", "CREATED")]]
    answer = await client.ok("POST", "webhooks", {"name": "hook", "url": url, "events": requested, **more})
    return f"webhooks/{answer['webhook']['webhook_id']}/test"


async def run_test(client: Client, path: str, body: Any = None) -> Any:
    return (await client.ok("POST", path, body or {}))["result"]


async def test_an_example_is_sent_and_the_response_returned(sender: Client, receiver: Receiver) -> None:
    path = await create(sender, receiver.url, secret="shh", status="DISABLED")
    assert await run_test(sender, path) == {"success": True, "response_status": 200, "response_body": "thanks"}
    received = receiver.next()
    assert received.json["entity"] == "registered_model"
    assert received.json["action"] == "created"
    assert received.json["data"] == {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    }
    assert received.headers["x-mlflow-signature"].startswith("v1,")


@pytest.mark.parametrize(
    ("entity", "action", "data"),
    [
        ("MODEL_VERSION_TAG", "SET", {"version": "1", "key": "example_key", "value": "example_value"}),
        ("MODEL_VERSION_TAG", "DELETED", {"version": "1", "key": "example_key"}),
        ("MODEL_VERSION_ALIAS", "CREATED", {"alias": "example_alias", "version": "1"}),
        ("MODEL_VERSION_ALIAS", "DELETED", {"alias": "example_alias"}),
    ],
)
async def test_any_event_can_be_tested(
    sender: Client, receiver: Receiver, entity: str, action: str, data: dict[str, str]
) -> None:
    path = await create(sender, receiver.url)
    assert (await run_test(sender, path, {"event": {"entity": entity, "action": action}}))["success"]
    received = receiver.next().json
    assert (received["entity"], received["action"]) == (entity.lower(), action.lower())
    assert received["data"] == {"name": "example_model", **data}


async def test_the_first_event_is_the_default(sender: Client, receiver: Receiver) -> None:
    path = await create(sender, receiver.url, ("PROMPT", "CREATED"), ("MODEL_VERSION", "CREATED"))
    await run_test(sender, path)
    assert receiver.next().json["entity"] == "model_version"


async def test_an_error_of_the_receiver_is_returned_and_not_retried(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(500, b"broken")]
    path = await create(sender, receiver.url)
    assert await run_test(sender, path) == {
        "success": False,
        "response_status": 500,
        "response_body": "broken",
    }
    receiver.next()
    assert receiver.received.empty()


async def test_an_empty_response_is_a_success(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(204, b"")]
    path = await create(sender, receiver.url)
    assert await run_test(sender, path) == {"success": True, "response_status": 204, "response_body": ""}


async def test_a_failed_connection_is_reported(sender: Client) -> None:
    result = await run_test(sender, await create(sender, f"http://127.0.0.1:{free_port()}"))
    assert set(result) == {"success", "error_message"}
    assert not result["success"]
    assert result["error_message"].startswith("Failed to test webhook: ")


async def test_the_number_of_concurrent_tests_is_limited(sender: Client, receiver: Receiver) -> None:
    receiver.replies = [Reply(held=True)]
    path = await create(sender, receiver.url)
    tests = [asyncio.create_task(sender.post(path, {})) for _ in range(CONCURRENT_TESTS + 2)]
    await until(lambda: sum(test.done() for test in tests) == 2)
    receiver.release()
    assert sorted([(await test).status for test in tests]) == [200] * CONCURRENT_TESTS + [429] * 2
    receiver.replies = [Reply()]
    assert (await run_test(sender, path))["success"]


async def test_a_url_that_is_no_longer_allowed_gets_no_request(
    sender: Client, client: Client, receiver: Receiver
) -> None:
    result = await run_test(client, await create(sender, receiver.url))
    assert result["error_message"].startswith("Failed to test webhook: Invalid webhook URL scheme")
    assert receiver.received.empty()
