"""The audit log: which requests leave an entry, what is in it, and how many entries an attacker can cause."""

import asyncio
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.auth.conftest import PASSWORD, Login, basic, bearer
from tests.auth.world import Example, World, examples
from tests.client import Client, running_app
from tests.servers.processes import TIMEOUT_S

from railtrack.api import endpoints
from railtrack.auth import audit, tokens
from railtrack.auth.audit import BURST, KEYS_LIMIT, LOGIN, REPEAT_S, AuditLog, EventCounters
from railtrack.auth.audit_entries import AuditEntry, AuditFilter, add_entries, search_entries
from railtrack.auth.users import User
from railtrack.config.settings import AuditSettings, Settings
from railtrack.db import Db
from railtrack.wire.forwarded import TrustedProxies

NOT_RECORDED = {
    # What clients do all the time.
    "POST runs/create",
    "POST runs/update",
    "POST runs/log-metric",
    "POST runs/log-parameter",
    "POST runs/log-batch",
    "POST runs/log-inputs",
    "POST runs/outputs",
    "POST runs/log-model",
    "POST runs/set-tag",
    "POST runs/delete-tag",
    "POST upload-artifact",
    "PUT mlflow-artifacts/artifacts/{path...}",
    "POST mlflow-artifacts/mpu/create/{folder...}",
    "POST mlflow-artifacts/mpu/complete/{folder...}",
    "POST mlflow-artifacts/mpu/abort/{folder...}",
    "POST artifacts/presigned-upload-url",
    "POST logged-models",
    "PATCH logged-models/{model_id}",
    "POST logged-models/{model_id}/params",
    "PATCH logged-models/{model_id}/tags",
    "DELETE logged-models/{model_id}/tags/{tag_key...}",
    "POST /v1/traces",
    "POST traces",
    "PATCH traces/{trace_id}",
    "PATCH traces/{trace_id}/tags",
    "DELETE traces/{trace_id}/tags",
    "POST traces/link-prompts",
    "POST traces/link-to-run",
    "POST traces/{trace_id}/assessments",
    "PATCH traces/{trace_id}/assessments/{assessment_id}",
    "DELETE traces/{trace_id}/assessments/{assessment_id}",
    # What reviewers do all the time.
    "POST datasets/create",
    "POST datasets/{dataset_id}/records",
    "POST datasets/{dataset_id}/add-experiments",
    "POST datasets/{dataset_id}/remove-experiments",
    "PATCH datasets/{dataset_id}/tags",
    "DELETE datasets/{dataset_id}/tags/{key...}",
    "POST issues",
    "PATCH issues/{issue_id}",
    "GET label-schemas/list",  # creates the default one
    "POST label-schemas/create",
    "PATCH label-schemas/update",
    "POST review-queues/create",
    "POST review-queues/get-or-create-user",
    "POST review-queues/update",
    "POST review-queues/items/add",
    "POST review-queues/items/remove",
    "POST review-queues/items/set-status",
    "POST scorers/register",
    # What adds or describes, and takes nothing from anybody.
    "POST experiments/create",
    "POST experiments/set-experiment-tag",
    "POST experiments/delete-experiment-tag",
    "POST registered-models/create",
    "PATCH registered-models/update",
    "POST registered-models/set-tag",
    "DELETE registered-models/delete-tag",
    "POST model-versions/create",
    "PATCH model-versions/update",
    "POST model-versions/set-tag",
    "DELETE model-versions/delete-tag",
    "POST ui-telemetry",
    # Reads, and what this server has no data for.
    "PUT scorers/online-config",
    # Recorded if it deletes something, which it does not here.
    "DELETE datasets/{dataset_id}/records",
    "POST artifacts/presigned-download-url",
}
WITH_A_BROWSER = re.compile(r"POST (/login|/logout|/account/.*|users/create-ui)")
"""tests/api/account has these."""


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WRITE_AFTER_S", 0.01)


async def entries(db: Db, **wanted: Any) -> list[AuditEntry]:
    return await search_entries(db, AuditFilter(**wanted), 1000)


async def entry(db: Db, **wanted: Any) -> AuditEntry:
    """Return the newest entry of these, once it is written."""

    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = await entries(db, **wanted)
        if found:
            return found[0]
        assert time.monotonic() < deadline, f"no entry {wanted}"
        await asyncio.sleep(0.01)


# What is recorded


def access_requests(role_id: int, permission_id: int) -> dict[str, dict[str, Any]]:
    """Return a valid request for each endpoint that changes users, roles and grants, in an order that works."""
    grant = {"username": "bob", "resource_type": "experiment", "resource_id": "0"}
    older, older_model = {"experiment_id": "0", "username": "bob"}, {"name": "detector", "username": "bob"}
    role = {"role_id": role_id}
    return {
        "POST users/create": {"username": "new", "password": PASSWORD},
        "PATCH users/update-password": {"username": "bob", "password": "another battery"},
        "PATCH users/update-admin": {"username": "bob", "is_admin": False},
        "POST users/permissions/grant": {**grant, "permission": "READ"},
        "POST users/permissions/revoke": grant,
        "POST experiments/permissions/create": {**older, "permission": "READ"},
        "PATCH experiments/permissions/update": {**older, "permission": "EDIT"},
        "DELETE experiments/permissions/delete": older,
        "POST registered-models/permissions/create": {**older_model, "permission": "READ"},
        "PATCH registered-models/permissions/update": {**older_model, "permission": "EDIT"},
        "DELETE registered-models/permissions/delete": older_model,
        "POST roles/create": {"name": "others", "workspace": "default"},
        "PATCH roles/update": {**role, "description": "d"},
        "POST roles/assign": {**role, "username": "bob"},
        "DELETE roles/unassign": {**role, "username": "bob"},
        "POST roles/permissions/add": {
            **role, "resource_type": "experiment", "resource_pattern": "*", "permission": "READ",
        },
        "PATCH roles/permissions/update": {"role_permission_id": permission_id, "permission": "EDIT"},
        "DELETE roles/permissions/remove": {"role_permission_id": permission_id},
        "DELETE roles/delete": role,
        "DELETE users/delete": {"username": "bob"},
    }  # fmt: skip


OF_SUBREQUESTS = {"POST demo/generate", "POST demo/delete"}
"""They send requests to the server, each of which has its own entry or none."""
LAST = ("POST registered-models/rename", "DELETE model-versions/delete", "DELETE registered-models/delete")


@pytest.mark.slow
async def test_every_change_has_an_entry_unless_it_is_listed(
    server: Client, world: World, ada: dict[str, str], user: User, db: Db
) -> None:
    """A new endpoint that changes something fails this test until it is recorded, or listed."""
    api = "/api/3.0/mlflow/"
    role = await server.post(f"{api}roles/create", {"name": "team", "workspace": "default"}, headers=ada)
    role_id = role.json["role"]["id"]
    added = {"role_id": role_id, "resource_type": "run", "resource_pattern": "*", "permission": "READ"}
    permission = await server.post(f"{api}roles/permissions/add", added, headers=ada)
    requests = examples(world) | {
        name: Example(fields)
        for name, fields in access_requests(role_id, permission.json["role_permission"]["id"]).items()
    }
    requests["POST experiments/update"] = Example({"experiment_id": world.experiment_id, "new_name": "renamed"})
    requests["POST registered-models/rename"] = Example({"name": "greeting", "new_name": "welcome"})
    routes = {route.name: route for route in endpoints().values() if not route.is_read}
    order = list(requests)
    ordered = sorted(routes, key=lambda name: (name in LAST, LAST.index(name) if name in LAST else _rank(name, order)))
    unrecorded = set()
    for name in ordered:
        if WITH_A_BROWSER.fullmatch(name) or name in OF_SUBREQUESTS:
            continue
        route = routes[name]
        if route.handler.__module__ == "railtrack.api.server.out_of_scope":
            continue  # it changes nothing
        example = requests.get(_documented(name), Example())
        path = re.sub(r"\{(\w+)(?:\.\.\.)?\}", lambda match, has=example: has.path[match[1]], route.path)
        query = example.fields if example.body else None
        json = None if example.body or route.method == "PUT" else dict(example.fields)
        before = len(await entries(db))
        response = await server.send(route.method, path, json=json, query=query, body=example.body, headers=ada)
        assert response.status < 500 or response.status == 501, (name, response.text)
        recorded = await entries(db, action=name)
        if response.status == 200 and not recorded:
            unrecorded.add(name)
        assert len(await entries(db)) - before == (1 if recorded else 0), name
        if response.status != 200:
            assert name in NOT_RECORDED, (name, response.text)
    assert unrecorded <= NOT_RECORDED
    assert routes.keys() >= NOT_RECORDED


def _documented(name: str) -> str:
    return name.replace(" mlflow-artifacts/", " ")


def _rank(name: str, order: list[str]) -> int:
    return order.index(_documented(name)) if _documented(name) in order else 0


async def test_a_change_is_recorded_with_its_user_credential_and_address(
    server: Client, world: World, login: Login, db: Db
) -> None:
    max_ = await login("max", ("experiment", world.experiment_id, "MANAGE"))
    before = {one.id for one in await entries(db)}
    response = await server.post(
        "runs/delete", {"run_id": world.run_id}, headers={**max_, "X-Forwarded-For": "192.0.2.7"}
    )
    assert response.status == 200
    [found] = [one for one in await entries(db) if one.id not in before]
    [token] = [one for one in await tokens.list_tokens(db) if one.name == "test" and one.user_id == found.user_id]
    assert (found.username, found.credential, found.address) == ("max", f"token {token.token_id}", "192.0.2.7")
    assert (found.action, found.resource_type, found.resource_id) == ("POST runs/delete", "run", world.run_id)
    assert (found.is_denied, found.count) == (False, 1)


async def test_a_change_that_fails_has_no_entry(server: Client, ada: dict[str, str], db: Db) -> None:
    api = "/api/2.0/mlflow/users/"
    assert (await server.post("runs/delete", {"run_id": "f" * 32}, headers=ada)).status == 404
    assert (await server.send("DELETE", f"{api}delete", json={"username": "nobody"}, headers=ada)).status == 404
    revoked = {"username": "ada", "is_admin": False}
    assert (await server.send("PATCH", f"{api}update-admin", json=revoked, headers=ada)).status == 400
    assert await entries(db) == []


async def test_a_denied_request_is_recorded_once_with_its_count(
    server: Client, world: World, login: Login, db: Db
) -> None:
    bob = await login("bob", ("experiment", world.experiment_id, "READ"))
    for _ in range(5):
        response = await server.post("runs/delete", {"run_id": world.run_id}, headers=bob)
        assert response.status == 403
    denied = await entry(db, is_denied=True)
    assert (denied.username, denied.action) == ("bob", "POST runs/delete")
    assert (denied.resource_type, denied.resource_id) == ("run", world.run_id)
    file = f"/api/2.0/mlflow-artifacts/artifacts/{world.file}"
    assert (await server.send("DELETE", file, headers=bob)).status == 403
    denied = await entry(db, is_denied=True, resource_type="artifact")
    assert (denied.action, denied.resource_id) == ("DELETE mlflow-artifacts/artifacts/{path...}", world.file)


async def test_a_denied_request_that_names_much_takes_little_memory(
    server: Client, world: World, login: Login, db: Db
) -> None:
    bob = await login("bob", ("experiment", "*", "DENY"))
    name = "x" * 1_000_000
    assert (await server.post("registered-models/set-tag", {"name": name, "key": "k"}, headers=bob)).status != 200
    grant = {"username": "ada", "resource_type": "registered_model", "resource_id": name, "permission": "READ"}
    response = await server.post("/api/3.0/mlflow/users/permissions/grant", grant, headers=bob)
    assert response.status == 403
    audit_log = server._app._audit_log
    assert audit_log is not None
    assert all(len(event.first.resource_id) <= 512 for event in audit_log._denials._events.values())
    assert (await entry(db, is_denied=True, action="permissions/grant")).resource_id == "x" * 512


async def test_a_query_for_something_denied_is_recorded(server: Client, world: World, login: Login, db: Db) -> None:
    bob = await login("bob", ("experiment", "*", "DENY"))
    query = f'{{ mlflowGetRun(input: {{runId: "{world.run_id}"}}) {{ run {{ info {{ runId }} }} }} }}'
    response = await server.post("/graphql", {"query": query}, headers=bob)
    assert response.json["data"] == {"mlflowGetRun": None}
    assert (await entry(db, is_denied=True)).action == "GET runs/get"


@pytest.mark.parametrize(
    ("username", "reason"), [("ada", "wrong password"), ("ada's secret", "unknown user, wrong password")]
)
async def test_failed_logins_are_recorded_without_what_was_entered(
    server: Client, admin: User, db: Db, username: str, reason: str
) -> None:
    """People enter their password as the user name: that of nobody is not stored."""
    assert (await server.get("experiments/search", headers=basic(username, "wrong secret"))).status == 401
    failed = await entry(db, is_denied=True)
    assert (failed.action, failed.credential, failed.detail) == (LOGIN, "password", reason)
    assert failed.username == ("ada" if username == "ada" else "")
    assert "secret" not in str(await db.fetch("SELECT * FROM railtrack_audit_log"))


async def test_tokens_that_have_ended_are_recorded_with_their_user(server: Client, admin: User, db: Db) -> None:
    async with db.write() as tx:
        token = await tokens.create_token(tx, admin.user_id, "old")
        [stored] = await tokens.list_tokens(tx, admin.user_id)
        await tokens.revoke_token(tx, stored.token_id, admin.user_id)
    assert (await server.get("experiments/search", headers=bearer(token))).status == 401
    failed = await entry(db, is_denied=True)
    assert (failed.username, failed.credential, failed.detail) == ("ada", f"token {stored.token_id}", "revoked token")
    assert (await server.get("experiments/search", headers=bearer(tokens.generate_token()))).status == 401
    assert (await entry(db, is_denied=True, action=LOGIN, username="")).username in ("", "ada")
    assert token not in str(await db.fetch("SELECT * FROM railtrack_audit_log"))


async def test_a_password_login_is_recorded_once_while_it_is_cached(server: Client, admin: User, db: Db) -> None:
    for _ in range(3):
        assert (await server.get("experiments/search?max_results=1", headers=basic("ada"))).status == 200
    login = await entry(db, action=LOGIN)
    assert (login.username, login.credential, login.is_denied, login.count) == ("ada", "password", False, 1)
    assert PASSWORD not in str(await db.fetch("SELECT * FROM railtrack_audit_log"))


async def test_the_log_can_be_switched_off(db: Db, login_settings: Settings, ada: dict[str, str]) -> None:
    settings = replace(login_settings, audit=replace(login_settings.audit, enabled=False))
    async with running_app(settings) as client:
        created = await client.post("experiments/create", {"name": "e"}, headers=ada)
        deleted = await client.post("experiments/delete", created.json, headers=ada)
        assert deleted.status == 200
        assert (await client.get("experiments/search", headers=basic("ada", "wrong"))).status == 401
    assert await entries(db) == []


async def test_what_waits_is_written_when_the_server_stops(
    db: Db, login_settings: Settings, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "WRITE_AFTER_S", 3600)
    async with running_app(login_settings) as client:
        assert (await client.get("experiments/search", headers=basic("ada", "wrong"))).status == 401
    assert [one.detail for one in await entries(db)] == ["wrong password"]


# How many entries there can be


def event(number: int, *, is_denied: bool = True) -> AuditEntry:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return AuditEntry(timestamp=number, is_denied=is_denied, credential="password", address=address, action=LOGIN)


def test_an_attack_from_many_addresses_becomes_few_entries_whose_counts_add_up() -> None:
    counters = EventCounters("login")
    now = counters._refilled_at  # the time at which the counters were created
    stored: list[AuditEntry] = []
    events = 20_000
    for second in range(100):
        for number in range(events // 100):
            counters.add(event(second * events // 100 + number))
        stored += counters.take(now + second)
    assert len(stored) <= BURST + 10 + 2
    assert len(counters._events) <= KEYS_LIMIT
    stored += counters.take(now + 100, everything=True)
    assert sum(one.count for one in stored) == events


def test_an_event_that_repeats_becomes_an_entry_a_minute() -> None:
    counters = EventCounters("login")
    now = counters._refilled_at
    stored: list[AuditEntry] = []
    for second in range(int(3 * REPEAT_S)):
        counters.add(event(1))
        stored += counters.take(now + second)
    assert [one.count for one in stored] == [1, REPEAT_S, REPEAT_S]


def test_failures_do_not_displace_the_login_that_follows_them() -> None:
    counters = EventCounters("login")
    counters.add(event(1))
    counters.add(event(1, is_denied=False))
    assert sorted(one.is_denied for one in counters.take(counters._refilled_at)) == [False, True]


@pytest.fixture
async def small_log(db: Db) -> AuditLog:
    return AuditLog(db, TrustedProxies(()), AuditSettings(days=30, max_rows=1000), cleans_up=True)


async def test_old_entries_and_surplus_ones_are_deleted_in_chunks(
    db: Db, small_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CLEANUP_PAUSE_S", 0)
    now = audit.now_ms()
    month = 31 * audit.DAY_MS
    async with db.write() as tx:
        await add_entries(tx, [AuditEntry(timestamp=now - month, action=LOGIN) for _ in range(1500)])
        await add_entries(tx, [AuditEntry(timestamp=now, action="change") for _ in range(900)])
        await add_entries(tx, [AuditEntry(timestamp=now, action=LOGIN, is_denied=True) for _ in range(2300)])
        await add_entries(tx, [AuditEntry(timestamp=now, action="last", is_denied=True)])
    await small_log.clean_up()
    rows = await db.fetch("SELECT action, COUNT(*) FROM railtrack_audit_log GROUP BY action ORDER BY action")
    assert [tuple(row) for row in rows] == [("change", 800), ("last", 1), (LOGIN, 199)]


# Reading it

SEARCH = "/api/3.0/mlflow/audit-log/search"


@pytest.fixture
async def log(db: Db) -> None:
    async with db.write() as tx:
        await add_entries(
            tx,
            [
                AuditEntry(
                    timestamp=1000 * number,
                    username="bob" if number % 2 else "eve",
                    is_denied=number % 5 == 0,
                    action="POST runs/delete" if number % 3 else "DELETE users/delete",
                    resource_type="run",
                    resource_id=f"r{number}\0\x1b[2J",
                )
                for number in range(1, 31)
            ],
        )


async def test_an_administrator_pages_through_the_log(server: Client, log: None, ada: dict[str, str]) -> None:
    times: list[int] = []
    token = ""
    while True:
        query = {"max_results": 7, "page_token": token}
        page = (await server.get(SEARCH, query, headers=ada)).json
        times += [one["timestamp"] for one in page["entries"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert times == [1000 * number for number in range(30, 0, -1)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"username": "bob", "is_denied": "true"}, [25, 15, 5]),
        ({"action": "USERS/", "is_denied": "false"}, [27, 24, 21, 18, 12, 9, 6, 3]),
        ({"since": 10_000, "until": 13_000}, [12, 11, 10]),
        ({"resource_type": "experiment"}, []),
        ({"action": "%"}, []),
    ],
)
async def test_filters_are_combined(
    server: Client, log: None, ada: dict[str, str], query: dict[str, Any], expected: list[int]
) -> None:
    response = await server.get(SEARCH, query, headers=ada)
    assert [one["timestamp"] // 1000 for one in response.json.get("entries", [])] == expected


async def test_entries_have_no_control_characters(server: Client, log: None, ada: dict[str, str]) -> None:
    response = await server.get(SEARCH, {"max_results": 1}, headers=ada)
    assert response.json["entries"][0]["resource_id"] == "r30��[2J"


@pytest.mark.parametrize("query", [{"max_results": 0}, {"max_results": 1001}, {"page_token": "x"}, {"since": "x"}])
async def test_an_invalid_search_is_rejected(server: Client, ada: dict[str, str], query: dict[str, Any]) -> None:
    assert (await server.get(SEARCH, query, headers=ada)).status == 400


async def test_only_administrators_read_the_log(server: Client, admin: User, login: Login, db: Db) -> None:
    workspace_admin = await login("wendy", ("workspace", "*", "MANAGE"))
    async with db.write() as tx:
        reading = bearer(await tokens.create_token(tx, admin.user_id, "test", scope="read"))
    for headers in (workspace_admin, reading):
        assert (await server.get(SEARCH, headers=headers)).status == 403
