"""Scorers: concurrent registrations, limits, and grants on single scorers."""

import asyncio

from tests.api.conftest import Caller, Callers
from tests.client import Client

from railtrack.auth.roles import set_grant
from railtrack.db import Db

SCORERS = "/api/3.0/mlflow/scorers"
SAFE = {"experiment_id": "0", "name": "safe/1", "serialized_scorer": '{"name": "safe"}'}


async def test_simultaneous_registrations_get_versions_in_sequence(client: Client) -> None:
    answers = await asyncio.gather(*(client.ok("POST", f"{SCORERS}/register", SAFE) for _ in range(8)))
    assert sorted(answer["version"] for answer in answers) == list(range(1, 9))
    assert len({answer["scorer_id"] for answer in answers}) == 1


async def test_long_names_and_deep_or_long_scorers_are_rejected(client: Client, db: Db) -> None:
    deep = '{"a":' * 150 + "1" + "}" * 150
    for fields in (
        {"name": "n" * 257},
        {"serialized_scorer": deep},
        {"serialized_scorer": '"' + "x" * 1_000_000 + '"'},
        {"serialized_scorer": "[]"},
    ):
        response = await client.post(f"{SCORERS}/register", {**SAFE, **fields})
        assert (response.status, response.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert await db.fetch_value("SELECT COUNT(*) FROM scorers") == 0


async def grant(db: Db, caller: Caller, resource_type: str, pattern: str, level: str) -> None:
    async with db.write() as tx:
        await set_grant(tx, caller.user.user_id, resource_type, pattern, level)


async def test_a_denied_scorer_is_in_no_list_and_no_request_gets_it(callers: Callers) -> None:
    await callers.root.ok("POST", f"{SCORERS}/register", SAFE)
    await callers.root.ok("POST", f"{SCORERS}/register", {**SAFE, "name": "other"})
    await grant(callers.root.db, callers.ada, "experiment", "0", "MANAGE")
    await grant(callers.root.db, callers.ada, "scorer", "0/safe%2F1", "DENY")
    named = {"experiment_id": "0", "name": "safe/1"}
    for query in ({"experiment_id": "0"}, {"experiment_ids": ["0"]}, {}):
        listed = await callers.ada.ok("GET", f"{SCORERS}/list", query)
        assert [scorer["scorer_name"] for scorer in listed["scorers"]] == ["other"]
    await callers.ada.denied("GET", f"{SCORERS}/get", named)
    await callers.ada.denied("GET", f"{SCORERS}/versions", named)
    await callers.ada.denied("DELETE", f"{SCORERS}/delete", named)
    await callers.ada.denied("POST", f"{SCORERS}/register", SAFE)
    await callers.ada.ok("DELETE", f"{SCORERS}/delete", {**named, "name": "other"})


async def test_who_may_only_read_an_experiment_registers_no_scorer(callers: Callers) -> None:
    await callers.ada.denied("POST", f"{SCORERS}/register", SAFE)
    await callers.root.ok("POST", f"{SCORERS}/register", SAFE)
    await callers.ada.ok("GET", f"{SCORERS}/get", {"experiment_id": "0", "name": "safe/1"})


async def test_a_list_of_all_leaves_out_experiments_that_the_caller_may_not_read(callers: Callers) -> None:
    await callers.root.ok("POST", f"{SCORERS}/register", SAFE)
    await grant(callers.root.db, callers.ada, "experiment", "0", "DENY")
    assert await callers.ada.ok("GET", f"{SCORERS}/list") == {}
    await callers.ada.denied("GET", f"{SCORERS}/list", {"experiment_id": "0"})
