"""Compare Railtrack's responses to the scenarios with MLflow's recorded ones, and check the records themselves."""

import difflib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.client import Client, running_app
from tests.compat.differences import DIFFERENCES, entered, expected
from tests.compat.generations import EARLIER, REASONS, reasons
from tests.compat.normalise import Normaliser
from tests.compat.play import ADMINISTRATOR, FIRST_EXPERIMENT, FIRST_IDS, Exchange, Response, Send, new_prefix, play
from tests.compat.record import RECORDED, changed, load, load_earlier
from tests.compat.scenarios import SCENARIOS, WITH_LOGIN

from railtrack.auth import passwords, users
from railtrack.config.settings import Settings
from railtrack.db import Db, Tx


@pytest.fixture
async def send(client: Client, db: Db) -> Send:
    """Return a function that sends exchanges to the application in this process."""
    async with db.write() as tx:
        await tx.execute(
            "INSERT INTO experiments (experiment_id, name, workspace, lifecycle_stage) VALUES ($1, $2, $3, $4)",
            FIRST_EXPERIMENT,
            "numbers begin here",
            "default",
            "deleted",
        )
        if tx.engine == "postgresql":  # SQLite continues from the greatest id
            await tx.fetch_value(f"SELECT setval('experiments_experiment_id_seq', {FIRST_EXPERIMENT})")

    async def send(exchange: Exchange) -> Response:
        response = await client.send(exchange.method, exchange.path, body=exchange.body, headers=exchange.headers)
        return Response(response.status, response.body, response.headers)

    return send


@pytest.fixture
async def send_with_login(db: Db, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Send]:
    """Yield a function that sends exchanges to a server with login, which has an administrator."""
    monkeypatch.setattr(passwords, "N", 2**4)  # a hash takes a millisecond
    username, password = ADMINISTRATOR
    async with db.write() as tx:
        await users.create_user(tx, username, passwords.hash_password(password), is_admin=True)
        await _number_access(tx)
    async with running_app(replace(settings, auth=replace(settings.auth, mode="on"))) as client:

        async def send(exchange: Exchange) -> Response:
            headers = exchange.sent_headers
            response = await client.send(exchange.method, exchange.path, body=exchange.body, headers=headers)
            return Response(response.status, response.body, response.headers)

        yield send


async def _number_access(tx: Tx) -> None:
    user, role = FIRST_IDS["user"], FIRST_IDS["role"]
    await tx.execute(
        f"""
        INSERT INTO railtrack_users (user_id, username, is_admin, is_disabled, must_change_password, created_ms)
        VALUES ({user}, 'numbers begin here', FALSE, FALSE, FALSE, 0)
        """
    )
    await tx.execute(
        f"INSERT INTO railtrack_roles (role_id, name, workspace) VALUES ({role}, 'numbers begin here', 'default')"
    )
    await tx.execute(
        f"""
        INSERT INTO railtrack_role_permissions (permission_id, role_id, resource_type, resource_pattern, permission)
        VALUES ({FIRST_IDS["permission"]}, {role}, 'run', '*', 'READ')
        """
    )
    await tx.execute(
        f"""
        INSERT INTO railtrack_role_assignments (assignment_id, user_id, role_id)
        VALUES ({FIRST_IDS["assignment"]}, {user}, {role})
        """
    )
    if tx.engine == "postgresql":  # SQLite continues from the greatest id
        for kind, table in {
            "user": "users_user",
            "role": "roles_role",
            "permission": "role_permissions_permission",
            "assignment": "role_assignments_assignment",
        }.items():
            await tx.fetch_value(f"SELECT setval('railtrack_{table}_id_seq', {FIRST_IDS[kind]})")


@pytest.mark.parametrize("name", sorted(WITH_LOGIN))
async def test_responses_with_login_equal_those_of_mlflow_except_for_the_listed_differences(
    name: str, engine: str, send_with_login: Send
) -> None:
    await compare(name, engine, send_with_login)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in WITH_LOGIN])
async def test_responses_equal_those_of_mlflow_except_for_the_listed_differences(
    name: str, engine: str, send: Send
) -> None:
    await compare(name, engine, send)


async def compare(name: str, engine: str, send: Send) -> None:
    prefix = new_prefix()
    ours = Normaliser(prefix).play(await play(SCENARIOS[name], prefix, send))
    report = list(difference_reports(name, engine, load(name), ours))
    assert not report, f"{len(report)} of {len(ours)} exchanges:\n\n" + "\n\n".join(report)


def difference_reports(name: str, engine: str, recorded: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    """Yield a readable report for each exchange whose response is not the recorded or listed one."""
    if list(recorded) != list(ours):
        yield "The scenario and its record have different exchanges. Record MLflow again: make compat-record"
    for exchange, one in ours.items():
        if exchange not in recorded:
            continue
        wanted = expected(name, exchange, recorded[exchange]["request"], response_on(engine, recorded[exchange]))
        if dumped(one["answer"]) != dumped(wanted):
            line = json.dumps(one["request"], ensure_ascii=False)[:500]
            yield f"[{exchange}]\n{line}\n" + "\n".join(diff(wanted, one["answer"]))


def response_on(engine: str, recorded: dict[str, Any]) -> Any:
    return recorded["answers"][engine] if "answers" in recorded else recorded["answer"]


def dumped(response: Any) -> str:
    return json.dumps(response, indent=1, sort_keys=True, ensure_ascii=False)


def diff(wanted: Any, got: Any) -> Iterator[str]:
    lines = difflib.unified_diff(dumped(wanted).splitlines(), dumped(got).splitlines(), n=2)
    return (line.rstrip() for line in lines if not line.startswith(("---", "+++", "@@")))


@pytest.mark.parametrize("name", DIFFERENCES)
def test_every_listed_difference_differs_from_the_response_of_mlflow(name: str) -> None:
    recorded = load(name)
    same = [
        entry
        for entry, exchanges in entered(name, recorded).items()
        if not any(differs(name, exchange, recorded[exchange]) for exchange in exchanges)
    ]
    assert not same, f"listed, but equal to the response of MLflow: {same}"


def differs(name: str, exchange: str, recorded: dict[str, Any]) -> bool:
    theirs = [response_on(engine, recorded) for engine in ("sqlite", "postgresql")]
    return any(dumped(expected(name, exchange, recorded["request"], one)) != dumped(one) for one in theirs)


def test_each_difference_between_the_versions_of_mlflow_has_a_reason() -> None:
    earlier = load_earlier(EARLIER)
    differing = [(scenario, exchange) for scenario, of_scenario in earlier.items() for exchange in of_scenario]
    assert [each for each in differing if not list(reasons(*each))] == []
    listed = {(why, scenario) for why, scenarios in REASONS.items() for scenario in scenarios}
    assert listed == {(why, scenario) for scenario, exchange in differing for why in reasons(scenario, exchange)}
    assert {scenario: changed(responses, load(scenario)) for scenario, responses in earlier.items()} == earlier


def test_each_scenario_has_a_record() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(SCENARIOS)
    assert set(DIFFERENCES) <= set(SCENARIOS)


def test_the_records_have_2000_exchanges_and_almost_half_are_errors() -> None:
    responses = [response_on("sqlite", one) for name in SCENARIOS for one in load(name).values()]
    rejections = [response for response in responses if response["status"] >= 400]
    assert len(responses) >= 2000
    assert len(rejections) >= 0.45 * len(responses)


def test_the_records_contain_no_detail_of_the_recording_machine() -> None:
    for name in SCENARIOS:
        text = (RECORDED / f"{name}.json").read_text("utf-8")
        assert "127.0.0.1" not in text
        assert "[SQL:" not in text
        assert "/home/" not in text
