"""The line of each request: what is in it, what never is, and that nobody forges one."""

import dataclasses
import json
import os
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.client import Client, running_app

from railtrack.config.settings import LogSettings, Settings
from railtrack.db import Db
from railtrack.wire import access_log
from railtrack.wire.access_log import AccessLog
from railtrack.wire.forwarded import TrustedProxies
from railtrack.wire.request import HttpRequest

LINE = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[INFO\] (?P<client>\S*) "
    r'"(?P<method>\S+) (?P<path>\S+)" (?P<status>\d{3}|gone) (?P<received>\d+)>(?P<sent>\d+) bytes '
    r"(?P<ms>\d+\.\d) ms request (?P<id>\S+)"
)


class Log:
    """What was written, read through a pipe that stands in for the standard output."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def lines(self) -> list[str]:
        return os.read(self._reader, 65536).decode().splitlines()

    def text(self) -> dict[str, str]:
        """The parts of the one line that was written."""
        [line] = self.lines()
        match = LINE.fullmatch(line)
        assert match, line
        return match.groupdict()

    def json(self) -> dict[str, Any]:
        [line] = self.lines()
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)  # a line that is missing is to fail the test, not to hold it up
    monkeypatch.setattr(access_log, "STDOUT", writer)
    yield Log(reader)
    os.close(reader)
    os.close(writer)


@pytest.fixture
async def logged(db: Db, settings: Settings, log: Log) -> AsyncIterator[Client]:
    async with running_app(dataclasses.replace(settings, logs=LogSettings(access_log=True))) as client:
        yield client


@pytest.fixture
async def logged_as_json(db: Db, settings: Settings, log: Log) -> AsyncIterator[Client]:
    async with running_app(dataclasses.replace(settings, logs=LogSettings(format="json", access_log=True))) as client:
        yield client


async def test_a_line_has_the_client_the_request_and_the_result(logged: Client, log: Log) -> None:
    body = {"experiment_id": "0"}
    answer = await logged.send("POST", "runs/create", json=body, headers={"X-Request-ID": "me-1"}, peer="203.0.113.9")
    parts = log.text()
    assert parts["ms"]
    assert {**parts, "ms": ""} == {
        "client": "203.0.113.9",
        "method": "POST",
        "path": "/api/2.0/mlflow/runs/create",
        "status": "200",
        "received": str(len(json.dumps(body))),
        "sent": str(len(answer.body)),
        "ms": "",
        "id": "me-1",
    }


async def test_a_json_line_has_the_route(logged_as_json: Client, log: Log) -> None:
    await logged_as_json.get("/api/2.0/mlflow/logged-models/m-1", peer="2001:db8::1")
    found = log.json()
    assert found["route"] == "/api/2.0/mlflow/logged-models/{model_id}"
    assert (found["path"], found["status"]) == ("/api/2.0/mlflow/logged-models/m-1", 404)
    assert (found["client"], found["logger"], found["method"]) == ("2001:db8::1", "railtrack.access", "GET")
    assert found["milliseconds"] >= 0


async def test_a_client_that_disconnects_is_logged_as_gone(logged: Client, log: Log) -> None:
    await logged.hang_up("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/half", body=[b"x" * 1000])
    parts = log.text()
    assert (parts["status"], parts["received"]) == ("gone", "1000")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("runs/get?run_id=abc&token=s3cret", "/api/2.0/mlflow/runs/get?run_id=abc&token=***"),
        ("runs/get?run_id=%0A%22x", "/api/2.0/mlflow/runs/get?run_id=%0A%22x"),
        ("/get-artifact?path=a.txt&X-Amz-Signature=s3cret", "/get-artifact?path=a.txt&X-Amz-Signature=***"),
        ("/nowhere?anything=s3cret&s3=s3cret", "/nowhere?anything=***&s3=***"),
        ("/with%0Aa%20line", "/with%0Aa%20line"),
        ('/a"b\x7f', "/a%22b%7F"),
        ("/https://me:s3cret@host/", "/https://me:***@host/"),
    ],
)
async def test_a_path_is_shown_as_sent_without_what_may_be_secret(
    logged: Client, log: Log, sent: str, shown: str
) -> None:
    await logged.get(sent, headers={"Authorization": "Bearer s3cret-s3cret"})
    assert log.text()["path"] == shown


async def test_a_long_path_or_query_does_not_make_a_long_line(logged: Client, log: Log) -> None:
    await logged.get("/" + "x" * 60_000 + "?" + "&".join(f"{number}=1" for number in range(1000)))
    await logged.get("runs/get?" + "&".join(["run_id=" + "%0A" * 5000] * 20))
    lines = log.lines()
    assert len(lines) == 2
    assert max(map(len, lines)) < 4000


async def test_without_the_setting_nothing_is_written(client: Client, log: Log) -> None:
    await client.get("/health")
    os.write(access_log.STDOUT, b"end\n")
    assert log.lines() == ["end"]


@pytest.mark.parametrize("as_json", [False, True])
def test_whatever_bytes_a_request_is_made_of_it_is_one_line_of_the_usual_form(log: Log, as_json: bool) -> None:
    chance = random.Random(7)
    watch = AccessLog(TrustedProxies("*"), as_json=as_json)
    watch.began()
    for _ in range(300):
        forwarded, path, query = (chance.randbytes(chance.randrange(60)) for _ in range(3))
        scope = {
            "method": "GET",
            "path": path.decode("utf-8", "replace"),
            "raw_path": b"/" + path,
            "query_string": query,
            "headers": [(b"x-forwarded-for", forwarded)],
            "client": ("10.0.0.5", 1),
        }
        watch.ended(HttpRequest(scope, _nothing), "id-1", 0.001)
        [line] = log.lines()
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["client"] == "10.0.0.5" if as_json else LINE.fullmatch(line)


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}
