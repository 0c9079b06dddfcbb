"""Generated requests of users to a server with login cause no 5xx, and rejected ones change nothing.

The policy reads the request before the handler does, so it meets every odd value first.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.conftest import Login, ada, admin, login, login_settings, low_cost, password_hash, server, world
from tests.auth.world import World
from tests.client import Client
from tests.fuzz.requests import body_of, texts
from tests.fuzz.test_fuzz import EXAMPLES, WITH_STRUCT, check, fuzz, name_of, path_of, query_of, state

from railtrack.db import Db
from railtrack.wire.routing import Route

__all__ = ["ada", "admin", "login", "login_settings", "low_cost", "password_hash", "server", "world"]

few = settings(fuzz, max_examples=max(10, EXAMPLES // 4))


@pytest.fixture(params=["editor", "administrator"])
async def caller(
    request: pytest.FixtureRequest, server: Client, world: World, login: Login, ada: dict[str, str]
) -> dict[str, str]:
    """Return the credentials of a user who may edit one experiment, or of an administrator."""
    credentials = ada
    if request.param == "editor":
        credentials = await login("bob", ("experiment", world.experiment_id, "EDIT"))
    assert (await server.get("/api/2.0/mlflow/users/current", headers=credentials)).status == 200
    return credentials


@pytest.mark.parametrize("route", WITH_STRUCT, ids=name_of)
@few
@given(data=st.data())
async def test_a_generated_request_succeeds_or_changes_nothing(
    server: Client, db: Db, world: World, caller: dict[str, str], route: Route, data: st.DataObject
) -> None:
    known = {
        "run_id": [world.run_id],
        "run_uuid": [world.run_id],
        "experiment_id": [world.experiment_id],
        "model_id": [world.model_id],
        "username": ["bob"],
    }
    body = data.draw(body_of(route, known))
    path = path_of(route, known, data.draw(texts))
    before = await state(db)
    if route.method == "GET":
        response = await server.send("GET", f"{path}?{query_of(body)}", headers=caller)
    else:
        response = await server.send(route.method, path, json=body, headers=caller)
    check(response, f"{name_of(route)} {body!r}")
    if response.status >= 400:
        assert await state(db) == before, f"{name_of(route)} {body!r} changed the database"
