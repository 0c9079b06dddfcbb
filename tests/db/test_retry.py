"""Which failed transactions are run again, and what a client gets that broke a constraint for good, on both engines."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.client import Client

from railtrack.db import Conflict, ConstraintViolation, Db, ForeignKeyViolation, UniqueViolation
from railtrack.db.retry import ATTEMPTS, retry_on_conflict
from railtrack.errors import ApiError


class Work:
    """Raises the given errors, one per attempt, then returns "done"."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        self._errors = list(errors)
        self.attempts = 0

    async def __call__(self) -> str:
        self.attempts += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.mark.parametrize(
    "errors",
    [
        [Conflict("deadlock")] * (ATTEMPTS - 1),
        [UniqueViolation("pk", "(5)")],
        [UniqueViolation("pk", "(5)"), UniqueViolation("pk", "(6)"), UniqueViolation("pk", "(7)")],
        [UniqueViolation("pk", "(5)"), UniqueViolation("other", "(5)")],
        [UniqueViolation("pk", "(5)"), Conflict("deadlock"), UniqueViolation("pk", "(5)")],
        [ForeignKeyViolation("fk", "(5)")],
    ],
)
async def test_work_that_lost_against_a_concurrent_transaction_is_run_again(errors: list[Exception]) -> None:
    work = Work(errors)
    assert await retry_on_conflict(work) == "done"
    assert work.attempts == len(errors) + 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UniqueViolation("own_index", "(a)"), "RESOURCE_ALREADY_EXISTS"),
        (ForeignKeyViolation("own_key", "(a)"), "BAD_REQUEST"),
    ],
)
async def test_a_violation_that_the_second_attempt_repeats_is_the_requests_error(
    error: ConstraintViolation, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work([error] * ATTEMPTS)
    with pytest.raises(ApiError) as caught:
        await retry_on_conflict(work)
    assert (caught.value.code, caught.value.status, caught.value.__cause__) == (code, 400, error)
    assert error.constraint in caught.value.message
    assert work.attempts == 2
    assert [error.constraint in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize("kind", [Conflict, UniqueViolation])
async def test_conflicts_without_end_are_answered_with_429(kind: type[Exception]) -> None:
    errors = [kind(f"number {number}") for number in range(ATTEMPTS)]
    with pytest.raises(ApiError) as caught:
        await retry_on_conflict(Work(errors))
    assert (caught.value.status, caught.value.__cause__) == (429, errors[-1])


@asynccontextmanager
async def made(db: Db, create: str, drop: str) -> AsyncIterator[None]:
    await db.execute(create)
    try:
        yield
    finally:
        await db.execute(drop)


async def test_a_unique_index_of_the_operator_rejects_a_request_at_once(
    client: Client, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    async with made(db, "CREATE UNIQUE INDEX own_names ON runs (name)", "DROP INDEX own_names"):
        names = ["a", "b", "b", "c"]
        caplog.set_level(logging.WARNING)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(client.post("runs/create", {"experiment_id": "0", "run_name": name}) for name in names)
        )
        assert time.monotonic() - began < 1
        stored = [name for (name,) in await db.fetch("SELECT name FROM runs ORDER BY name")]
    rejected = [answer for answer in answers if answer.status != 200]
    assert [(answer.status, answer.json["error_code"]) for answer in rejected] == [(400, "RESOURCE_ALREADY_EXISTS")]
    constraint = "own_names" if db.engine == "postgresql" else "runs.name"
    assert constraint in rejected[0].json["message"]
    assert constraint in caplog.text
    assert stored == ["a", "b", "c"]


async def test_a_foreign_key_of_the_operator_rejects_a_request_at_once(client: Client, db: Db) -> None:
    await client.ok("POST", "registered-models/create", {"name": "kept"})
    await client.ok("POST", "registered-models/create", {"name": "free"})
    create = """
        CREATE TABLE own_notes (workspace VARCHAR(63), name VARCHAR(256),
            CONSTRAINT own_key FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name))
    """
    async with made(db, create, "DROP TABLE own_notes"):
        await db.execute("INSERT INTO own_notes VALUES ('default', 'kept')")
        answers = [
            await client.send("DELETE", "registered-models/delete", json={"name": name}) for name in ("kept", "free")
        ]
    assert [answer.status for answer in answers] == [400, 200]
    assert answers[0].json["error_code"] == "BAD_REQUEST"
    assert ("own_key" in answers[0].json["message"]) == (db.engine == "postgresql")


async def test_racing_creations_of_one_name_and_of_versions_end_without_errors_of_the_server(client: Client) -> None:
    creations = [client.post("registered-models/create", {"name": "m"}) for _ in range(8)]
    statuses = [answer.status for answer in await asyncio.gather(*creations)]
    assert sorted(statuses) == [200] + [400] * 7
    run = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    info = run["run"]["info"]
    version = {"name": "m", "source": info["artifact_uri"], "run_id": info["run_id"]}
    answers = await asyncio.gather(*(client.post("model-versions/create", version) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert sorted(int(answer.json["model_version"]["version"]) for answer in answers) == list(range(1, 13))
