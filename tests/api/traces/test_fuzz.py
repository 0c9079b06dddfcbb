"""Exports that no client sends: truncated, mutated, huge, deep, compressed. Never a 5xx, and nothing half-written."""

import gzip
import random
import zlib
from typing import Any

import pytest
from tests.api.traces.conftest import Traces
from tests.otlp import PROTOBUF, START_NS, as_json, as_protobuf, export, nested, span

from railtrack.db import Db

EVENT = {"name": "e", "timeUnixNano": str(START_NS), "attributes": [{"key": "k", "value": {"doubleValue": 1.5}}]}
ATTRIBUTES: dict[str, Any] = {
    "a": [1, "x", {"b": None}],
    "gen_ai.usage.input_tokens": 5,
    "mlflow.spanInputs": '{"a": 1}',
}
SPANS = [
    span(attributes=ATTRIBUTES, events=[EVENT], status={"code": 1}),
    span("child", ATTRIBUTES, spanId="1" * 16, parentSpanId="2" * 16, traceId="3" * 32),
]
RESOURCE = {"service.name": "claude-code"}
ROUNDS = 150


async def _check(traces: Traces, db: Db, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
    answer = await traces.send(body, media_type, headers)
    assert answer.status in (200, 400, 404, 413, 422), (answer.status, answer.text, body[:2000])
    if answer.status != 200:
        assert not await db.fetch_value("SELECT COUNT(*) FROM trace_info"), body[:2000]
        assert not await db.fetch_value("SELECT COUNT(*) FROM spans"), body[:2000]
    else:
        await db.execute("DELETE FROM trace_info")


@pytest.mark.parametrize("media_type", [PROTOBUF, "application/json"])
async def test_a_truncated_export_is_rejected(traces: Traces, db: Db, media_type: str) -> None:
    message = export(*SPANS, resource=RESOURCE)
    body = as_protobuf(message) if media_type == PROTOBUF else as_json(message)
    for length in range(0, len(body), max(1, len(body) // ROUNDS)):
        await _check(traces, db, body[:length], media_type)


@pytest.mark.parametrize("media_type", [PROTOBUF, "application/json"])
async def test_a_mutated_export_causes_no_server_error(traces: Traces, db: Db, media_type: str) -> None:
    message = export(*SPANS, resource=RESOURCE)
    original = as_protobuf(message) if media_type == PROTOBUF else as_json(message)
    chance = random.Random(20)
    for _ in range(ROUNDS):
        body = bytearray(original)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(body))
            match chance.randrange(4):
                case 0:
                    body[at] = chance.randrange(256)
                case 1:
                    del body[at : at + chance.randint(1, 30)]
                case 2:
                    body[at:at] = bytes(chance.choices(b'"{}[],:0\\\x00\xff', k=chance.randint(1, 8)))
                case _:
                    body[at : at + 8] = b"\xff" * 8
        await _check(traces, db, bytes(body), media_type)


STRANGE: dict[str, Any] = {
    "times beyond 64 bits": span(endTimeUnixNano=str(2**64 - 1)),
    "an end before the start": span(endTimeUnixNano="0"),
    "no times": span(startTimeUnixNano="0", endTimeUnixNano="0"),
    "an unknown kind": span(kind=99),
    "an unknown status": span(status={"code": 99}),
    "usage that is not a number": span(attributes={"mlflow.chat.tokenUsage": '{"input_tokens": "many"}'}),
    "usage beyond 64 bits": span(attributes={"mlflow.chat.tokenUsage": f'{{"input_tokens": {2**70}}}'}),
    "usage that is NaN": span(attributes={"mlflow.chat.tokenUsage": '{"input_tokens": NaN}'}),
    "cost that is infinite": span(attributes={"mlflow.llm.cost": '{"total_cost": Infinity}'}),
    "usage that is a list": span(attributes={"mlflow.chat.tokenUsage": "[1]"}),
    "a session that is a number": span(attributes={"session.id": 5}),
    "a user that is a list": span(attributes={"user.id": [1]}),
    "half of a surrogate pair": span(attributes={"session.id": '"\\ud800"', "mlflow.spanType": '"\\ud800"'}),
    "a deep JSON text": span(attributes={"mlflow.spanInputs": "[" * 5000 + "]" * 5000}),
    "a span that is its own parent": span(parentSpanId="b7ad6b7169203331"),
    "a long name": span("n" * 100_000),
    "deep attributes": span(attributes={"a": nested(90)}),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_span_causes_no_server_error(traces: Traces, db: Db, name: str) -> None:
    for _ in range(2):
        answer = await traces.send(as_protobuf(export(STRANGE[name])), PROTOBUF)
        assert answer.status in (200, 400, 422), answer.text
    for trace in (await traces.search()).get("traces", ()):
        path = "/api/3.0/mlflow/traces/get"
        found = await traces.client.get(path, {"trace_id": trace["trace_id"], "allow_partial": "true"})
        assert found.status == 200, found.text


async def test_a_compressed_bomb_is_rejected(traces: Traces, db: Db) -> None:
    bomb = gzip.compress(b"\n" * 30_000_000)
    await _check(traces, db, bomb, PROTOBUF, {"content-encoding": "gzip"})
    await _check(traces, db, bomb + bomb, PROTOBUF, {"content-encoding": "gzip"})
    await _check(traces, db, zlib.compress(bomb), PROTOBUF, {"content-encoding": "deflate"})
    await _check(traces, db, gzip.compress(b""), PROTOBUF, {"content-encoding": "gzip"})


async def test_more_values_than_the_limit_are_rejected(traces: Traces, db: Db) -> None:
    await _check(traces, db, b"\n\x00" * 600_000, PROTOBUF)
    await _check(traces, db, b'{"resourceSpans": [' + b"{}," * 600_000 + b"{}]}", "application/json")
