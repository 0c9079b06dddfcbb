"""Ways by which users could get more than their grants, or others' tokens and grants could be lost."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.auth.conftest import Login, status
from tests.auth.world import MODEL, World
from tests.client import Client, running_app

from railtrack.config.settings import Settings
from railtrack.db import Db


@pytest.fixture
async def server(db: Db, login_settings: Settings) -> AsyncIterator[Client]:
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    async with running_app(replace(login_settings, auth=auth)) as client:
        yield client


# Names that mean something in grants


async def test_the_creator_of_a_model_named_by_an_asterisk_does_not_get_all_models(
    server: Client, world: World, login: Login
) -> None:
    """In grants `*` is all resources of a type."""
    user = await login("bob")
    assert await status(server, "POST", "registered-models/create", user, {"name": "*"}) == 400
    prompt = {"name": "*", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    assert await status(server, "POST", "registered-models/create", user, prompt) == 400
    assert await status(server, "POST", "registered-models/create", user, {"name": "mine"}) == 200
    rename = {"name": "mine", "new_name": "*"}
    assert await status(server, "POST", "registered-models/rename", user, rename) in (400, 403)
    assert await status(server, "GET", f"registered-models/get?name={MODEL}", user) == 403
    assert await status(server, "GET", "registered-models/get?name=mine", user) == 200


async def test_the_grants_on_all_models_remain_when_a_model_named_by_an_asterisk_is_renamed_or_deleted(
    server: Client, world: World, login: Login, ada: dict[str, str], db: Db
) -> None:
    """An open server may have created such a model."""
    for rename in (True, False):
        async with db.write() as tx:
            await tx.execute("INSERT INTO registered_models (workspace, name) VALUES ('default', '*')")
        reader = await login(f"reader{rename}", ("registered_model", "*", "READ"))
        if rename:
            body = {"name": "*", "new_name": "star"}
            assert await status(server, "POST", "registered-models/rename", ada, body) == 200
        else:
            assert await status(server, "DELETE", "registered-models/delete", ada, {"name": "*"}) == 200
        assert await status(server, "GET", f"registered-models/get?name={MODEL}", reader) == 200
