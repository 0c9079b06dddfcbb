"""The server is killed during or before a webhook delivery: none is lost, and each keeps its id."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers import databases
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server
from tests.servers.webhook_receiver import Receiver, Reply, receiving

SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2",
}
# A killed worker's delivery is due again after its lease: the request timeout and this margin.
CONSTANTS = {"railtrack.webhooks.delivery.LEASE_MARGIN_S": 1.0}


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[RailtrackServer]:
    with railtrack_server(
        tmp_path / "server", database, workers=2, environment=SETTINGS, constants=CONSTANTS
    ) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(server: RailtrackServer, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"{server.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return json.load(response)


def test_a_delivery_in_flight_is_repeated_after_a_kill(
    server: RailtrackServer, receiver: Receiver, database: str
) -> None:
    receiver.replies = [Reply(held=True)]
    event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    post(server, "webhooks", {"name": "hook", "url": receiver.url, "events": [event]})
    post(server, "registered-models/create", {"name": "cat"})
    first = receiver.next()
    server.kill()
    queued = databases.rows(database, "SELECT delivery_id FROM railtrack_webhook_deliveries")
    assert [list(row) for row in queued] == [[first.delivery_id]]
    receiver.replies = [Reply()]
    server.start()
    second = receiver.next()
    assert (second.delivery_id, second.body) == (first.delivery_id, first.body)


def test_a_queued_delivery_is_sent_after_a_kill(server: RailtrackServer, receiver: Receiver, database: str) -> None:
    receiver.replies = [Reply(503, headers={"retry-after": "5"}), Reply()]
    event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    post(server, "webhooks", {"name": "hook", "url": receiver.url, "events": [event]})
    post(server, "registered-models/create", {"name": "cat"})
    first = receiver.next()
    server.kill()
    server.start()
    assert receiver.next().delivery_id == first.delivery_id
