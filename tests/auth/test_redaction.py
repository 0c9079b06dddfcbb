"""What others show of runs and logged models that the caller is denied, as MLflow 3.17.2 redacts them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.auth.conftest import Login
from tests.auth.world import MODEL, World
from tests.client import Client, running_app

from railtrack.config.settings import Settings
from railtrack.db import Db

RUN_DENIED = (("experiment", "*", "READ"), ("registered_model", "*", "READ"), ("run", "*", "DENY"))
MODEL_DENIED = (("experiment", "*", "READ"), ("registered_model", "*", "READ"), ("logged_model", "*", "DENY"))


@pytest.fixture
async def server(db: Db, login_settings: Settings) -> AsyncIterator[Client]:
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    async with running_app(replace(login_settings, auth=auth)) as client:
        yield client


@pytest.fixture
async def linked(server: Client, world: World, ada: dict[str, str]) -> World:
    """Link the run and the logged model of the world in both directions, and a version with the run."""

    async def post(path: str, json: Any) -> None:
        assert (await server.post(path, json, headers=ada)).status == 200

    models = [{"model_id": world.model_id, "step": 0}]
    await post("runs/outputs", {"run_id": world.run_id, "models": models})
    await post("runs/log-inputs", {"run_id": world.run_id, "models": models})
    point = {"key": "loss", "value": 1, "timestamp": 1, "model_id": world.model_id}
    await post("runs/log-batch", {"run_id": world.run_id, "metrics": [point]})
    source = f"models:/{world.model_id}"
    body = {
        "name": MODEL,
        "source": source,
        "model_id": world.model_id,
        "run_id": world.run_id,
        "run_link": "http://x/",
    }
    await post("model-versions/create", body)
    return world


def version_requests() -> list[tuple[str, dict[str, Any]]]:
    return [
        ("model-versions/get", {"name": MODEL, "version": "2"}),
        ("model-versions/search", {}),
        ("registered-models/get", {"name": MODEL}),
        ("registered-models/search", {}),
        ("registered-models/get-latest-versions", {"name": MODEL}),
    ]


@pytest.mark.parametrize("is_denied", [True, False])
async def test_versions_show_no_run_to_who_is_denied_runs(
    server: Client, linked: World, login: Login, is_denied: bool
) -> None:
    user = await login("bob", *(RUN_DENIED if is_denied else RUN_DENIED[:2]))
    for path, query in version_requests():
        response = await server.get(path, query, headers=user)
        assert response.status == 200
        assert f"models:/{linked.model_id}" in response.text, path
        assert ("run_id" in response.text) is not is_denied, path
        assert ("run_link" in response.text) is not is_denied, path
    query = "{ mlflowSearchModelVersions(input: {}) { modelVersions { source runId runLink } } }"
    found = (await server.post("/graphql", {"query": query}, headers=user)).json["data"]
    newest = max(
        found["mlflowSearchModelVersions"]["modelVersions"], key=lambda one: one["source"].startswith("models")
    )
    assert newest["runId"] == ("" if is_denied else linked.run_id)
    assert newest["runLink"] == ("" if is_denied else "http://x/")


async def test_a_change_of_a_version_shows_no_run_either(server: Client, linked: World, login: Login) -> None:
    user = await login("bob", ("registered_model", "*", "MANAGE"), ("run", "*", "DENY"))
    on_version = {"name": MODEL, "version": "2"}
    for method, path, more in (
        ("PATCH", "model-versions/update", {"description": "d"}),
        ("POST", "model-versions/transition-stage", {"stage": "Staging"}),
        ("PATCH", "registered-models/update", {"description": "d"}),
        ("POST", "registered-models/rename", {"new_name": "renamed"}),
    ):
        response = await server.send(method, path, json=on_version | more, headers=user)
        assert response.status == 200
        assert linked.run_id not in response.text.replace(f"{linked.run_id}/artifacts", ""), path


async def test_logged_models_show_no_run_to_who_is_denied_runs(server: Client, linked: World, login: Login) -> None:
    on_experiment = {"experiment_ids": [linked.experiment_id]}
    for name, grants, expected in (("bob", RUN_DENIED, 0), ("eve", RUN_DENIED[:2], 2)):
        user = await login(name, *grants)
        one = await server.get(f"logged-models/{linked.model_id}", headers=user)
        found = await server.post("logged-models/search", on_experiment, headers=user)
        for response in (one, found):
            assert response.status == 200
            assert response.text.count(linked.run_id) == expected
            assert '"key":"loss"' in response.text


@pytest.mark.parametrize("filter_", ["run_id = '{}'", "attribute.run_id IN ('{}')", "name = 'x' AND `run_id` = '{}'"])
async def test_no_search_finds_versions_by_a_run_that_is_denied(
    server: Client, linked: World, login: Login, filter_: str
) -> None:
    query = {"filter": filter_.format(linked.run_id)}
    user, other = await login("bob", *RUN_DENIED), await login("eve", *RUN_DENIED[:2])
    assert (await server.get("model-versions/search", query, headers=user)).status == 403
    assert (await server.get("model-versions/search", query, headers=other)).status == 200
    harmless = {"filter": f"name = 'run_id = {linked.run_id}'"}
    assert (await server.get("model-versions/search", harmless, headers=user)).status == 200


async def test_no_search_finds_or_orders_logged_models_by_a_run_that_is_denied(
    server: Client, linked: World, login: Login
) -> None:
    """Page tokens contain the values by which a search orders."""
    user, other = await login("bob", *RUN_DENIED), await login("eve", *RUN_DENIED[:2])
    for more in (
        {"filter": f"source_run_id = '{linked.run_id}'"},
        {"filter": f"attributes.source_run_id = '{linked.run_id}'"},
        {"order_by": [{"field_name": "source_run_id"}]},
    ):
        body = {"experiment_ids": [linked.experiment_id]} | more
        assert (await server.post("logged-models/search", body, headers=user)).status == 403
        assert (await server.post("logged-models/search", body, headers=other)).status == 200


async def test_runs_show_no_logged_models_to_who_is_denied_them(server: Client, linked: World, login: Login) -> None:
    for name, grants, is_shown in (("bob", MODEL_DENIED, False), ("eve", MODEL_DENIED[:2], True)):
        user = await login(name, *grants)
        one = await server.get("runs/get", {"run_id": linked.run_id}, headers=user)
        found = await server.post("runs/search", {"experiment_ids": [linked.experiment_id]}, headers=user)
        query = f"""{{ mlflowGetRun(input: {{runId: "{linked.run_id}"}}) {{ run {{
            info {{ runId }} inputs {{ modelInputs {{ modelId }} }} outputs {{ modelOutputs {{ modelId }} }}
        }} }} }}"""
        graph = await server.post("/graphql", {"query": query}, headers=user)
        for response in (one, found, graph):
            assert linked.run_id in response.text
            assert (linked.model_id in response.text) is is_shown
