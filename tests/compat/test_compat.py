"""Railtrack's answers to the scenarios beside MLflow's recorded ones, and what the records must hold."""

import difflib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client import Client
from tests.compat.differences import DIFFERENCES
from tests.compat.normalise import Normaliser
from tests.compat.play import Answer, Exchange, Script, Send, play
from tests.compat.record import load
from tests.compat.scenarios import SCENARIOS

from railtrack.db import Db

FAR = 1_000_000
"""Experiments of a play are numbered from here, so that no other number in a text is mistaken for one of their ids."""


@pytest.fixture
async def send(client: Client, db: Db) -> Send:
    """Sends exchanges to the application in this process."""
    await db.fetchval(
        db.pick(
            postgresql=f"SELECT setval('experiments_experiment_id_seq', {FAR})",
            sqlite="SELECT 1",  # counts from the greatest id there is; FAR is inserted below
        )
    )
    async with db.write() as tx:
        await tx.execute(
            "INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage) VALUES ($1, $2, $3, $4)",
            FAR,
            "far",
            "default",
            "deleted",
        )

    async def send(exchange: Exchange) -> Answer:
        answer = await client.send(exchange.method, exchange.path, body=exchange.body, headers=exchange.headers)
        return Answer(answer.status, answer.body, answer.headers)

    return send


@pytest.mark.parametrize("name", SCENARIOS)
async def test_answers_are_those_of_mlflow_but_for_the_listed_differences(name: str, engine: str, send: Send) -> None:
    prefix = f"compat-{secrets.token_hex(4)}-"
    ours = Normaliser(prefix).play(await play(SCENARIOS[name], prefix, send))
    report = list(differences_of(name, engine, load(name), ours))
    assert not report, f"{len(report)} of {len(ours)} exchanges:\n\n" + "\n\n".join(report)


def differences_of(name: str, engine: str, recorded: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    """One readable text for each exchange whose answer isn't the one that the record, or the list, asks for."""
    wanted = DIFFERENCES.get(name, {})
    if list(recorded) != list(ours):
        yield "the scenario's exchanges are not those of the record; make compat-record"
    for exchange in recorded.keys() & ours.keys():
        theirs = recorded[exchange].get("answers", {}).get(engine) or recorded[exchange]["answer"]
        expected = wanted[exchange].answer if exchange in wanted else theirs
        got = ours[exchange]["answer"]
        if dumped(got) != dumped(expected):
            line = json.dumps(ours[exchange]["request"], ensure_ascii=False)[:500]
            yield f"[{exchange}]\n{line}\n" + "\n".join(diff(expected, got))


def dumped(answer: Any) -> str:
    return json.dumps(answer, indent=1, sort_keys=True, ensure_ascii=False)


def diff(expected: Any, got: Any) -> Iterator[str]:
    lines = difflib.unified_diff(dumped(expected).splitlines(), dumped(got).splitlines(), "expected", "ours", n=2)
    return (line.rstrip() for line in lines if not line.startswith(("---", "+++", "@@")))
