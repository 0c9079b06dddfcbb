"""Every route of the server, requested by callers of each kind: nobody gets more than the route declares.

A new route fails these tests until it has an example, or is on the list of those that need a login only.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_origin

import pytest
from msgspec import structs
from tests.auth.conftest import basic, bearer
from tests.auth.world import Example, World, create_world, examples
from tests.client import Client, Response, running_app

from railtrack.api import endpoints
from railtrack.auth import AccessTarget, Action, tokens
from railtrack.auth.roles import set_grant
from railtrack.auth.sessions import ABSOLUTE_MS, cookie_name, create_session
from railtrack.auth.users import User, create_user
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.wire.routing import Route

PUBLIC = {
    "GET /health",
    "GET /ready",
    "GET /version",
    "GET server-info",
    "GET /login",
    "POST /login",
    "GET /login/files/{name}",
    "GET /login/oidc",
    "GET /login/oidc/callback",
}
"""All that a caller without login may request."""

Credentials = Mapping[str, str]


class Callers(NamedTuple):
    admin: Credentials
    reader: Credentials
    """May read everything in the world."""
    editor: Credentials
    """May manage other resources than those in the world, and create new ones."""
    denied: Credentials
    read_token: Credentials
    """A token of the administrator that may only read."""
    other_token: Credentials
    """A token of the administrator that may only use another experiment."""
    invalid: Mapping[str, Credentials]


@pytest.fixture
async def server(db: Db, login_settings: Settings) -> AsyncIterator[Client]:
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    metrics = replace(login_settings.metrics, enabled=True)
    async with running_app(replace(login_settings, auth=auth, metrics=metrics)) as client:
        yield client


@pytest.fixture
async def world(server: Client, db: Db, admin: User) -> World:
    return await create_world(server, db, basic("ada"))


@pytest.fixture
async def callers(db: Db, admin: User, world: World, password_hash: str) -> Callers:
    async def token(user: User, scope: str = "all") -> str:
        async with db.write() as tx:
            return await tokens.create_token(tx, user.user_id, "test", scope=scope)

    async def user(name: str, *grants: tuple[str, str, str]) -> User:
        async with db.write() as tx:
            created = await create_user(tx, name, password_hash)
            for resource_type, resource_id, permission in grants:
                await set_grant(tx, created.user_id, resource_type, resource_id, permission)
        return created

    resources = (("experiment", world.experiment_id), ("registered_model", "detector"), ("prompt", "greeting"))
    reader = await user("rea", *((kind, one, "READ") for kind, one in resources))
    editor = await user("edi", ("experiment", world.other_experiment_id, "MANAGE"))
    denied = await user("den", *((kind, "*", "DENY") for kind, _ in resources))
    revoked, expired = await token(admin), await token(admin)
    async with db.write() as tx:
        for one in await tokens.list_tokens(tx, admin.user_id):
            if revoked.startswith(one.hint):
                await tokens.revoke_token(tx, one.token_id, admin.user_id)
            elif expired.startswith(one.hint):
                await tx.execute("UPDATE railtrack_tokens SET expires_ms = 1 WHERE token_id = $1", one.token_id)
        session = await create_session(tx, admin.user_id, address="127.0.0.1", user_agent="test")
        await tx.execute("UPDATE railtrack_sessions SET expires_ms = expires_ms - $1", ABSOLUTE_MS)
    return Callers(
        bearer(await token(admin)),
        bearer(await token(reader)),
        bearer(await token(editor)),
        bearer(await token(denied)),
        bearer(await token(admin, "read")),
        bearer(await token(admin, f"experiment:{world.other_experiment_id}")),
        {
            "nothing": {},
            "a wrong password": basic("ada", "correct horse batterie"),
            "a wrong token": bearer(tokens.generate_token()),
            "garbage": {"Authorization": "Basic ////"},
            "a revoked token": bearer(revoked),
            "an expired token": bearer(expired),
            "an ended session": {"Cookie": f"{cookie_name('', is_tls=False)}={session}"},
        },
    )


def documented(route: Route) -> str:
    """Return the method and the path without its prefix, as in tests/auth/world.py."""
    return f"{route.method} {re.sub(r'^/(ajax-)?api/[0-9.]+/mlflow(-artifacts)?/', '', route.path)}"


def all_routes() -> list[Route]:
    return list(endpoints().values())


async def send(
    server: Client, route: Route, example: Example, headers: Credentials, *, unusually: bool = False
) -> Response:
    """Send the example. `unusually`: the path begins with two slashes, and a GET has its parameters in the body."""
    path = re.sub(r"\{(\w+)(?:\.\.\.)?\}", lambda match: example.path.get(match[1], "x"), route.path)
    path = "/" + path if unusually else path
    headers = {**example.headers, **headers}
    if (route.method == "GET" and not unusually) or example.body:
        return await server.send(route.method, path, query=example.fields, body=example.body, headers=headers)
    json = None if route.method == "PUT" else _as_body(route, example.fields)
    return await server.send(route.method, path, json=json, headers=headers)


def _as_body(route: Route, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields, with a list where a query has one of its items."""
    lists = (
        {one.name for one in structs.fields(route.struct) if get_origin(one.type) is list} if route.struct else set()
    )
    return {name: [value] if name in lists and isinstance(value, str) else value for name, value in fields.items()}


def only_reads(route: Route) -> bool:
    return all(need.action in (Action.READ, Action.NOT_DENIED) for need in route.access.needs)


def test_the_public_routes_are_exactly_the_listed_ones() -> None:
    public = {documented(route) for route in all_routes() if route.access.is_public}
    assert public <= PUBLIC, sorted(public - PUBLIC)


@pytest.mark.slow
async def test_no_route_but_the_public_ones_responds_without_a_valid_login(
    server: Client, world: World, callers: Callers
) -> None:
    requests = examples(world)
    for route in all_routes():
        if documented(route) in PUBLIC:
            continue
        example = requests.get(documented(route), Example())
        for name, headers in callers.invalid.items():
            response = await send(server, route, example, headers)
            assert response.status == 401, (documented(route), name, response.status)


async def test_an_unknown_path_needs_a_login_first(server: Client, callers: Callers) -> None:
    for path in ("/nothing", "/api/2.0/mlflow/nothing", "/API/2.0/mlflow/experiments/search", "/health/"):
        assert (await server.get(path)).status == 401
        assert (await server.get(path, headers=callers.admin)).status == 404
    assert (await server.send("DELETE", "/api/2.0/mlflow/experiments/get")).status == 401


async def test_a_path_with_more_slashes_needs_the_same_login(server: Client, world: World, callers: Callers) -> None:
    for path in ("//api/2.0/mlflow/experiments/search?max_results=1", "//metrics", "//"):
        assert (await server.get(path)).status == 401
        assert (await server.get(path, headers=callers.admin)).status == 200
    redirected = "/api/2.0//mlflow/experiments/get?experiment_id=" + world.experiment_id
    assert (await server.get(redirected)).status == 401
    for headers in (callers.denied, callers.admin):
        response = await server.get(redirected, headers=headers)
        assert (response.status, response.body) == (308, b"")
        assert response.headers["location"] == redirected.replace("//", "/")
    for path in ("//health", "//version", "//login"):
        assert (await server.get(path)).status == 200


def needs_a_target(route: Route) -> bool:
    return bool(route.access.needs) or "(new)" in route.access.describe() or route.access.describe() == "administrator"


def test_every_route_that_needs_a_permission_has_an_example() -> None:
    world = World("1", "2", "r", "m", "w", "1/f", "t", "a", "d", "i", "s", "q")
    known = examples(world)
    missing = {documented(route) for route in all_routes() if needs_a_target(route)} - known.keys()
    assert missing <= {"GET /metrics"}
    assert not known.keys() - {documented(route) for route in all_routes()}


@pytest.mark.slow
@pytest.mark.parametrize("unusually", [False, True])
async def test_a_denied_user_gets_nothing_of_it(
    server: Client, world: World, callers: Callers, unusually: bool
) -> None:
    await _expect_denied(server, world, callers.denied, unusually=unusually)


@pytest.mark.slow
async def test_a_manager_of_another_experiment_gets_nothing_of_it(
    server: Client, world: World, callers: Callers
) -> None:
    await _expect_denied(server, world, callers.editor, may_create=True)


@pytest.mark.slow
async def test_a_token_for_another_experiment_gets_nothing_of_it(
    server: Client, world: World, callers: Callers
) -> None:
    await _expect_denied(server, world, callers.other_token)


async def _expect_denied(
    server: Client, world: World, headers: Credentials, *, may_create: bool = False, unusually: bool = False
) -> None:
    requests = examples(world)
    checked = 0
    for route in all_routes():
        if not needs_a_target(route) or route.path == "/metrics":
            continue
        response = await send(server, route, requests[documented(route)], headers, unusually=unusually)
        access = route.access.describe()
        if access == "read listed experiments" or route.access.target is AccessTarget.TRACES:
            assert (response.status, response.json) == (200, {}), documented(route)
        elif "(new)" in access and may_create:
            assert response.status == 200 or "already exists" in response.text, documented(route)
        else:
            assert response.status == 403, (documented(route), response.status, response.text)
            assert response.json["error_code"] == "PERMISSION_DENIED"
        checked += 1
    assert checked > 100
    listed = await server.get("experiments/search", {"max_results": 100}, headers=headers)
    assert "theirs" not in listed.text
    assert "detector" not in (await server.get("registered-models/search", headers=headers)).text
    assert "detector" not in (await server.get("model-versions/search", headers=headers)).text


@pytest.mark.slow
@pytest.mark.parametrize("caller", ["reader", "read_token"])
async def test_a_reader_may_read_and_change_nothing(
    server: Client, world: World, callers: Callers, caller: str
) -> None:
    requests = examples(world)
    headers: Credentials = getattr(callers, caller)
    for route in all_routes():
        access = route.access.describe()
        if not needs_a_target(route) or route.path == "/metrics" or ("(new)" in access and caller == "reader"):
            continue
        response = await send(server, route, requests[documented(route)], headers)
        is_allowed = only_reads(route) and access != "administrator" and "(new)" not in access
        is_rejected = response.status in (401, 403)
        assert is_rejected is not is_allowed, (documented(route), response.status, response.text)
        assert response.status != 500, (documented(route), response.text)


QUERIES = {
    "experiment": '{ mlflowGetExperiment(input: {experimentId: "%(experiment)s"}) { experiment { name } } }',
    "run": """{ mlflowGetRun(input: {runId: "%(run)s"}) {
        run { info { runId } experiment { name } modelVersions { name } }
    } }""",
    "artifacts": '{ mlflowListArtifacts(input: {runId: "%(run)s"}) { rootUri files { path } } }',
    "runs": '{ mlflowSearchRuns(input: {experimentIds: ["%(experiment)s"]}) { runs { info { runId } } } }',
    "versions": "{ mlflowSearchModelVersions(input: {}) { modelVersions { name source } } }",
    "samples": """{ mlflowGetMetricHistoryBulkInterval(input: {runIds: ["%(run)s"], metricKey: "loss"}) {
        metrics { value }
    } }""",
    "datasets": """mutation { mlflowSearchDatasets(input: {experimentIds: ["%(experiment)s"]}) {
        datasetSummaries { name }
    } }""",
}
"""A query for each field that has a resolver."""


async def test_graphql_shows_no_more_than_the_rest_api(server: Client, world: World, callers: Callers) -> None:
    from railtrack.api.graphql.execute import SCHEMA

    fields = set(re.findall(r"\b(mlflow\w+)\(", SCHEMA)) | set(re.findall(r"\b(mlflow\w+)\(\n", SCHEMA))
    assert fields == {re.search(r"mlflow\w+", query)[0] for query in QUERIES.values()}  # type: ignore[index]
    secrets = (world.run_id, "theirs", "detector", "model", world.experiment_id + "/")
    for name, template in QUERIES.items():
        query = {"query": template % {"experiment": world.experiment_id, "run": world.run_id}}
        assert (await server.post("/graphql", query)).status == 401
        shown = (await server.post("/graphql", query, headers=callers.reader)).json["data"]
        assert shown is not None, name
        for headers in (callers.editor, callers.denied, callers.other_token):
            response = await server.post("/graphql", query, headers=headers)
            values = re.findall(r'"(?:name|path|runId|rootUri|source)":"([^"]*)"', response.text)
            assert response.status == 200
            assert not [value for value in values if any(secret in value for secret in secrets)], (name, response.text)
