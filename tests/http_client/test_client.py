"""The HTTP client where S3 doesn't use it: a connection to addresses that somebody has judged."""

import pytest
from tests.servers.processes import free_port
from tests.servers.webhook_receiver import receiving

from railtrack.http_client.client import HttpClient, Origin, TransferError

HEADERS = {"Host": "nowhere.invalid"}


async def test_it_connects_to_the_addresses_given_and_asks_no_name_server() -> None:
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


async def test_it_tells_when_none_answers() -> None:
    client = HttpClient(Origin(False, "nowhere.invalid", free_port()), ["127.0.0.2", "127.0.0.1"])
    with pytest.raises(TransferError):
        await client.send("POST", "/", HEADERS, b"{}")
