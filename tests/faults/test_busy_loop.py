"""Requests that take a worker's processor for long: others are served meanwhile, and no worker counts as stuck."""

import asyncio
from pathlib import Path

import pytest
from tests.faults.http_load import Connection, Response, request
from tests.servers.processes import TIMEOUT_S
from tests.servers.railtrack import RailtrackServer, railtrack_server

from railtrack.wire.json_limits import VALUES_LIMIT

BATCHES = 200
HOST = "127.0.0.1"
HEALTH_WHILE_BUSY = 40
"""Responses of /health, one after the other, before the last of BATCHES: with turns of the loop there are
300, without them there were 18."""


def batch_of_texts(metrics: int) -> bytes:
    """Return a batch with numbers as strings, which need lenient decoding."""
    points = [{"key": f"m{at}", "value": "1.5", "timestamp": "1700000000000", "step": "1"} for at in range(metrics)]
    return request(HOST, "/api/2.0/mlflow/runs/log-batch", {"run_id": "0" * 32, "metrics": points})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (VALUES_LIMIT // 8 - 10, "can contain at most 1000 metrics"),  # 0.6 MB, as many names and values as are decoded
        (10_000, f"more than {VALUES_LIMIT} names and values"),  # 0.9 MB
    ],
)
def test_batches_with_numbers_as_strings_keep_no_one_waiting(tmp_path: Path, metrics: int, message: str) -> None:
    with railtrack_server(tmp_path / "server", None, workers=1) as server:
        [worker] = server.workers()
        answers, health = asyncio.run(send_at_once(server, [batch_of_texts(metrics)] * BATCHES))
        assert server.workers() == [worker]
        assert "Traceback" not in server.log()
    assert {answer.status for answer in answers} <= {400, 429}
    assert any(message in answer.json["message"] for answer in answers)
    assert health >= HEALTH_WHILE_BUSY


async def send_at_once(server: RailtrackServer, requests: list[bytes]) -> tuple[list[Response], int]:
    """Send the requests on a connection each. Return the responses and how often /health responded meanwhile."""
    sending = asyncio.gather(*(Connection(server.port).send(one) for one in requests))
    probe = Connection(server.port)
    count = 0
    while not sending.done():
        assert (await probe.get("/health")).status == 200
        count += 1
    return await asyncio.wait_for(sending, TIMEOUT_S), count
