"""The HTTP client with given addresses, as webhooks use it. Its other behaviour: tests/artifacts/s3."""

import pytest
from tests.servers.processes import free_port
from tests.servers.webhook_receiver import receiving

from railtrack.http_client.client import HttpClient, Origin, TransferError

HEADERS = {"Host": "nowhere.invalid"}


async def test_it_connects_to_the_given_addresses_without_resolving_the_host() -> None:
    with receiving() as receiver:
        port = Origin.of(receiver.url).port
        client = HttpClient(Origin(False, "nowhere.invalid", port), ["127.0.0.1"])
        answer = await client.send("POST", "/", HEADERS, b"{}")
        assert (answer.status, await answer.read(100)) == (200, b"thanks")
        client.close()
        assert receiver.next().headers["host"] == "nowhere.invalid"


async def test_it_tries_the_addresses_in_turn() -> None:
    with receiving() as receiver:
        port = Origin.of(receiver.url).port
        client = HttpClient(Origin(False, "nowhere.invalid", port), ["127.0.0.2", "127.0.0.1"])
        answer = await client.send("POST", "/", HEADERS, b"{}")
        assert answer.status == 200
        answer.close()


async def test_it_raises_if_no_address_accepts() -> None:
    client = HttpClient(Origin(False, "nowhere.invalid", free_port()), ["127.0.0.2", "127.0.0.1"])
    with pytest.raises(TransferError):
        await client.send("POST", "/", HEADERS, b"{}")
