"""Which requests a user's grants permit, and the ways around them that servers like this one have been open to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from tests.auth.conftest import Grant, Login, bearer, status
from tests.auth.world import MODEL, PROMPT, World
from tests.client import Client, running_app

from railtrack.auth import tokens
from railtrack.auth.roles import set_grant
from railtrack.config.settings import Settings
from railtrack.db import Db

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
async def server(db: Db, login_settings: Settings) -> AsyncIterator[Client]:
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    async with running_app(replace(login_settings, auth=auth)) as client:
        yield client


def experiment(world: World, permission: str) -> Grant:
    return "experiment", world.experiment_id, permission


# Levels


async def test_edit_permits_no_deletion_and_manage_does(server: Client, world: World, login: Login) -> None:
    editor = await login("edi", experiment(world, "EDIT"))
    manager = await login("max", experiment(world, "MANAGE"))
    body = {"run_id": world.run_id}
    assert await status(server, "POST", "runs/set-tag", editor, body | {"key": "k", "value": "v"}) == 200
    assert await status(server, "POST", "runs/delete", editor, body) == 403
    assert await status(server, "POST", "experiments/delete", editor, {"experiment_id": world.experiment_id}) == 403
    assert await status(server, "POST", "runs/delete", manager, body) == 200
    assert await status(server, "POST", "experiments/delete", manager, {"experiment_id": world.experiment_id}) == 200


async def test_a_denial_on_all_beats_a_grant_on_one(server: Client, world: World, login: Login) -> None:
    user = await login("bob", experiment(world, "MANAGE"), ("experiment", "*", "DENY"))
    assert await status(server, "GET", f"experiments/get?experiment_id={world.experiment_id}", user) == 403


async def test_a_grant_on_all_runs_decides_before_that_on_their_experiment(
    server: Client, world: World, login: Login
) -> None:
    """The experiment must be readable all the same."""
    body = {"run_id": world.run_id, "key": "k", "value": "v"}
    reader_of_runs = await login("ron", experiment(world, "MANAGE"), ("run", "*", "READ"))
    assert await status(server, "POST", "runs/set-tag", reader_of_runs, body) == 403
    assert await status(server, "GET", f"runs/get?run_id={world.run_id}", reader_of_runs) == 200
    editor_of_runs = await login("eve", experiment(world, "READ"), ("run", "*", "EDIT"))
    assert await status(server, "POST", "runs/set-tag", editor_of_runs, body) == 200
    only_runs = await login("roy", ("run", "*", "EDIT"))
    assert await status(server, "GET", f"runs/get?run_id={world.run_id}", only_runs) == 403


@pytest.mark.parametrize("of_run", [True, False])
async def test_a_change_of_grants_is_effective_within_seconds(
    server: Client, world: World, login: Login, db: Db, of_run: bool
) -> None:
    user = await login("bob", experiment(world, "READ"))
    path = f"runs/get?run_id={world.run_id}" if of_run else f"experiments/get?experiment_id={world.experiment_id}"
    assert await status(server, "GET", path, user) == 200
    async with db.write() as tx:
        [user_id] = (await tx.fetch("SELECT user_id FROM railtrack_users WHERE username = 'bob'"))[0]
        await set_grant(tx, user_id, "experiment", world.experiment_id, "DENY")
    for _ in range(100):
        if await status(server, "GET", path, user) != 200:
            break
        await asyncio.sleep(0.1)
    assert await status(server, "GET", path, user) == 403


async def test_a_remembered_decision_allows_nothing_else(
    server: Client, world: World, login: Login, db: Db, ada: dict[str, str]
) -> None:
    body = {"run_id": world.run_id}
    point = {"key": "k", "value": 1, "timestamp": 1}
    bob = await login("bob", experiment(world, "EDIT"))
    reader = await login("rita", experiment(world, "READ"))
    for _ in range(2):
        assert await status(server, "POST", "runs/log-metric", bob, body | point) == 200
        assert await status(server, "GET", f"runs/get?run_id={world.run_id}", reader) == 200
    assert await status(server, "POST", "runs/log-metric", reader, body | point) == 403
    assert await status(server, "POST", "runs/delete", bob, body) == 403
    other = {"experiment_id": world.other_experiment_id, "name": "other"}
    model = await server.post("logged-models", other, headers=ada)
    point["model_id"] = model.json["model"]["info"]["model_id"]
    assert await status(server, "POST", "runs/log-metric", bob, body | point) == 403
    async with db.write() as tx:
        user_id = await tx.fetch_value("SELECT user_id FROM railtrack_users WHERE username = 'bob'")
        limited = bearer(await tokens.create_token(tx, user_id, "reads", scope="read"))
    del point["model_id"]
    assert await status(server, "POST", "runs/log-metric", limited, body | point) == 403


# Creators


async def test_the_creator_of_an_experiment_and_of_a_model_manages_it(
    server: Client, world: World, login: Login
) -> None:
    user = await login("bob")
    created = await server.post("experiments/create", {"name": "mine"}, headers=user)
    body = {"experiment_id": created.json["experiment_id"]}
    assert await status(server, "POST", "runs/create", user, body) == 200
    assert await status(server, "POST", "registered-models/create", user, {"name": "net"}) == 200
    assert await status(server, "POST", "registered-models/rename", user, {"name": "net", "new_name": "net2"}) == 200
    assert await status(server, "PATCH", "registered-models/update", user, {"name": "net2", "description": "d"}) == 200
    assert await status(server, "DELETE", "registered-models/delete", user, {"name": "net2"}) == 200
    assert await status(server, "POST", "experiments/delete", user, body) == 200


async def test_a_later_model_of_a_deleted_ones_name_is_not_its_creators(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    user = await login("bob")
    await server.post("registered-models/create", {"name": "net"}, headers=user)
    assert await status(server, "DELETE", "registered-models/delete", user, {"name": "net"}) == 200
    assert await status(server, "POST", "registered-models/create", ada, {"name": "net"}) == 200
    assert await status(server, "GET", "registered-models/get?name=net", user) == 403


# Lists


async def test_lists_have_full_pages_of_what_may_be_read(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    names = [f"e{number:02}" for number in range(12)]
    ids = [(await server.post("experiments/create", {"name": one}, headers=ada)).json["experiment_id"] for one in names]
    user = await login("bob", *(("experiment", one, "READ") for one in ids[::2]))
    seen: list[str] = []
    token = ""
    while True:
        request = {"max_results": 4, "page_token": token, "order_by": ["name"]}
        page = (await server.post("experiments/search", request, headers=user)).json
        found = [one["name"] for one in page["experiments"]]
        assert len(found) == 4 or "next_page_token" not in page
        seen += found
        token = page.get("next_page_token", "")
        if not token:
            break
    assert seen == names[::2]


async def test_a_search_for_runs_leaves_out_the_experiments_that_may_not_be_read(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    other = {"experiment_id": world.other_experiment_id}
    run = (await server.post("runs/create", other, headers=ada)).json["run"]["info"]["run_id"]
    user = await login("bob", ("experiment", world.other_experiment_id, "READ"))
    ids = [world.experiment_id, world.other_experiment_id, f"0{world.experiment_id}"]
    found = (await server.post("runs/search", {"experiment_ids": ids}, headers=user)).json["runs"]
    assert [one["info"]["run_id"] for one in found] == [run]
    denied = await login("den", ("experiment", world.other_experiment_id, "READ"), ("run", "*", "DENY"))
    assert (await server.post("runs/search", {"experiment_ids": ids}, headers=denied)).json == {}


async def test_prompts_and_models_are_listed_by_their_own_grants(server: Client, world: World, login: Login) -> None:
    user = await login("bob", ("prompt", PROMPT, "READ"))
    models = await server.get("registered-models/search", headers=user)
    assert models.json == {}
    filter_ = {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"}
    prompts = await server.get("registered-models/search", filter_, headers=user)
    assert [one["name"] for one in prompts.json["registered_models"]] == [PROMPT]
    assert await status(server, "GET", f"registered-models/get?name={PROMPT}", user) == 200
    assert await status(server, "GET", f"registered-models/get?name={MODEL}", user) == 403


# Scopes of tokens


async def test_a_scope_narrows_what_the_user_may_do(server: Client, world: World, login: Login) -> None:
    grants = (experiment(world, "MANAGE"), ("experiment", world.other_experiment_id, "MANAGE"))
    reading = await login("rea", *grants, scope="read")
    one = await login("one", *grants, scope=f"experiment:{world.experiment_id}")
    body = {"run_id": world.run_id, "key": "k", "value": "v"}
    assert await status(server, "GET", f"runs/get?run_id={world.run_id}", reading) == 200
    assert await status(server, "POST", "runs/set-tag", reading, body) == 403
    assert await status(server, "POST", "experiments/create", reading, {"name": "new"}) == 403
    assert await status(server, "POST", "runs/set-tag", one, body) == 200
    assert await status(server, "POST", "runs/create", one, {"experiment_id": world.other_experiment_id}) == 403
    assert await status(server, "POST", "experiments/create", one, {"name": "new"}) == 403
    listed = (await server.post("experiments/search", {"max_results": 9}, headers=one)).json["experiments"]
    assert [each["experiment_id"] for each in listed] == [world.experiment_id]


async def test_a_scope_gives_nothing_that_the_user_lacks(server: Client, world: World, login: Login) -> None:
    user = await login("bob", scope=f"experiment:{world.experiment_id}")
    assert await status(server, "GET", f"runs/get?run_id={world.run_id}", user) == 403
    assert (await server.post("experiments/search", {"max_results": 9}, headers=user)).json == {}


# Spellings of ids and parameters


@pytest.mark.parametrize("spelling", ["{}", "0{}", " {}", "+{}", "{} ", "{}.0", "./{}", "{}/", "%3{}", "{}\t", "{}%00"])
async def test_no_spelling_of_an_experiment_id_opens_it(
    server: Client, world: World, login: Login, spelling: str
) -> None:
    user = await login("bob", ("experiment", world.other_experiment_id, "MANAGE"))
    wanted = spelling.format(world.experiment_id)
    for response in (
        await server.get("experiments/get", {"experiment_id": wanted}, headers=user),
        await server.post("runs/create", {"experiment_id": wanted}, headers=user),
        await server.post("experiments/update", {"experiment_id": wanted, "new_name": "taken"}, headers=user),
        await server.post("logged-models", {"experiment_id": wanted, "name": "n"}, headers=user),
    ):
        assert response.status in (400, 403, 404), (spelling, response.text)
    found = await server.post("runs/search", {"experiment_ids": [wanted]}, headers=user)
    assert found.status == 400 or found.json == {}


async def test_the_value_that_is_checked_is_the_one_that_is_used(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    """Two names for one parameter, with different values, in either order and in camelCase."""
    other = {"experiment_id": world.other_experiment_id}
    mine = (await server.post("runs/create", other, headers=ada)).json["run"]["info"]["run_id"]
    user = await login("bob", ("experiment", world.other_experiment_id, "MANAGE"))
    for names in (("run_id", "run_uuid"), ("run_uuid", "run_id"), ("runId", "run_id"), ("run_id", "runUuid")):
        for values in ((mine, world.run_id), (world.run_id, mine)):
            fields = dict(zip(names, values, strict=True))
            await server.post("runs/set-tag", fields | {"key": "stolen", "value": "v"}, headers=user)
            response = await server.get("runs/get", fields, headers=user)
            assert response.status != 200 or response.json["run"]["info"]["run_id"] == mine
    theirs = (await server.get("runs/get", {"run_id": world.run_id}, headers=ada)).json["run"]
    assert "stolen" not in str(theirs)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}]
)
async def test_a_deletion_needs_its_body_as_json_and_a_grant(
    server: Client, world: World, login: Login, headers: dict[str, str], ada: dict[str, str]
) -> None:
    user = await login("bob")
    for body in (b'{"name":"detector"}', b'"{\\"name\\":\\"detector\\"}"', b"name=detector"):
        response = await server.send(
            "DELETE", f"registered-models/delete?name={MODEL}", body=body, headers=user | headers
        )
        assert response.status in (400, 403)
    assert await status(server, "GET", f"registered-models/get?name={MODEL}", ada) == 200


async def test_a_denied_write_reaches_no_group_commit(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    user = await login("bob", experiment(world, "READ"))
    point = {"key": "stolen", "value": 1, "timestamp": 1}
    assert await status(server, "POST", "runs/log-metric", user, {"run_id": world.run_id} | point) == 403
    assert await status(server, "POST", "runs/log-batch", user, {"run_id": world.run_id, "metrics": [point]}) == 403
    run = await server.get("runs/get", {"run_id": world.run_id}, headers=ada)
    assert "stolen" not in run.text


async def test_a_metric_of_a_logged_model_needs_a_grant_on_its_experiment_too(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    other = {"experiment_id": world.other_experiment_id}
    mine = (await server.post("runs/create", other, headers=ada)).json["run"]["info"]["run_id"]
    user = await login("bob", ("experiment", world.other_experiment_id, "MANAGE"))
    point = {"key": "k", "value": 1, "timestamp": 1}
    for model_id in (world.model_id, "m-missing"):
        point["model_id"] = model_id
        assert await status(server, "POST", "runs/log-metric", user, {"run_id": mine} | point) == 403
        assert await status(server, "POST", "runs/log-batch", user, {"run_id": mine, "metrics": [point]}) == 403
        body = {"run_id": mine, "models": [{"model_id": model_id}]}
        assert await status(server, "POST", "runs/log-inputs", user, body) == 403


async def test_many_run_ids_need_a_grant_on_each(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    other = {"experiment_id": world.other_experiment_id}
    mine = (await server.post("runs/create", other, headers=ada)).json["run"]["info"]["run_id"]
    user = await login("bob", ("experiment", world.other_experiment_id, "READ"))
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    for endpoint, name in ((path, "run_id"), (f"{path}-interval", "run_ids")):
        for run_ids, expected in (([mine], 200), ([mine, world.run_id], 403), ([world.run_id, mine], 403)):
            response = await server.get(endpoint, {name: run_ids, "metric_key": "loss"}, headers=user)
            assert response.status == expected


async def test_a_missing_run_looks_like_one_without_a_grant(server: Client, world: World, login: Login) -> None:
    user = await login("bob")
    for run_id in ("f" * 32, world.run_id):
        response = await server.get("runs/get", {"run_id": run_id}, headers=user)
        message = f"Permission denied. This requires the permission READ on the experiment of the run '{run_id}'."
        assert (response.status, response.json) == (403, {"error_code": "PERMISSION_DENIED", "message": message})


@pytest.mark.parametrize(
    ("method", "path", "fields", "needed"),
    [
        (
            "POST",
            "runs/create",
            {"experiment_id": "{experiment}"},
            "permission EDIT on the experiment '{experiment}'",
        ),
        ("POST", "runs/delete", {"run_id": "{run}"}, "permission MANAGE on the experiment of the run '{run}'"),
        (
            "POST",
            "registered-models/rename",
            {"name": "model", "new_name": "x"},
            "EDIT on the registered model 'model'",
        ),
    ],
)
async def test_a_403_names_the_permission_and_the_resource(
    server: Client, world: World, login: Login, method: str, path: str, fields: dict[str, str], needed: str
) -> None:
    user = await login("bob", ("experiment", "*", "READ"), ("registered_model", "*", "READ"))
    ids = {"experiment": world.experiment_id, "run": world.run_id}
    body = {name: value.format_map(ids) for name, value in fields.items()}
    response = await server.send(method, path, json=body, headers=user)
    assert response.status == 403
    assert needed.format_map(ids) in response.json["message"]


async def test_a_403_names_the_deny(server: Client, world: World, login: Login) -> None:
    user = await login("bob", ("experiment", "*", "DENY"))
    response = await server.post("experiments/create", {"name": "x"}, headers=user)
    assert response.json["message"] == "Permission denied. This is forbidden by a DENY on the experiment (new)."


# Artifacts


@pytest.mark.parametrize(
    "path",
    [
        "{file}",
        "{mine}/../{file}",
        "./{file}",
        "/{file}",
        "//{file}",
        "{mine}/%2e%2e/{file}",
        "{mine}%2f..%2f{file}",
        "{mine}/..%2f{file}",
        "{mine}/.//../{file}",
        "%2531/../{file}",
        "{mine}\\..\\{file}",
    ],
)
async def test_no_spelling_of_a_path_opens_an_artifact_of_another_experiment(
    server: Client, world: World, login: Login, path: str, ada: dict[str, str]
) -> None:
    user = await login("bob", ("experiment", world.other_experiment_id, "MANAGE"))
    path = path.format(file=world.file, mine=world.other_experiment_id)
    for given in (path, quote(path, safe="/"), quote(path, safe="")):
        for method in ("GET", "PUT", "DELETE"):
            response = await server.send(method, f"{PROXY}/{given}", body=b"x" * (method == "PUT"), headers=user)
            assert response.status in (400, 403, 404), (method, given, response.status)
        listed = await server.get(PROXY, {"path": given.rpartition("/")[0]}, headers=user)
        assert "weights" not in listed.text
    assert (await server.get(f"{PROXY}/{world.file}", headers=ada)).body == b"w"


async def test_a_folder_of_several_experiments_needs_the_default_permission(
    server: Client, world: World, login: Login
) -> None:
    user = await login("bob", experiment(world, "READ"))
    assert await status(server, "GET", PROXY, user) == 403
    assert await status(server, "GET", f"{PROXY}?path={world.experiment_id}", user) == 200
    assert await status(server, "DELETE", f"{PROXY}/{world.experiment_id}", user) == 403
    assert await status(server, "GET", f"{PROXY}?path=unknown", user) == 403


async def test_the_longest_artifact_location_above_a_file_decides(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    async def create(name: str, location: str) -> str:
        body = {"name": name, "artifact_location": location}
        response = await server.post("experiments/create", body, headers=ada)
        assert response.status == 200, response.text
        return str(response.json["experiment_id"])

    outer = await create("outer", "mlflow-artifacts:/team/")
    inner = await create("inner", "mlflow-artifacts:/team//inner")
    inside = await create("inside", f"mlflow-artifacts:/{world.experiment_id}/inside")
    for path in ("team/a.txt", "team/inner/a.txt", f"{world.experiment_id}/inside/a.txt"):
        assert (await server.send("PUT", f"{PROXY}/{path}", body=b"a", headers=ada)).status == 200
    expected = {outer: "team/a.txt", inner: "team/inner/a.txt", inside: f"{world.experiment_id}/inside/a.txt"}
    for experiment_id, own in expected.items():
        user = await login(f"user{experiment_id}", ("experiment", experiment_id, "READ"))
        for path in expected.values():
            assert await status(server, "GET", f"{PROXY}/{path}", user) == (200 if path == own else 403)


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/{id}",
        "mlflow-artifacts:/{id}/",
        "mlflow-artifacts:/{id}/sub",
        "mlflow-artifacts:/",
        "mlflow-artifacts://{id}",
        "mlflow-artifacts://host/{id}",
        "mlflow-artifacts:/./{id}",
        "mlflow-artifacts:/%3{id}",
        "mlflow-artifacts:/999999",
        "http://host/api/2.0/mlflow-artifacts/artifacts/{id}",
        "{folder}/{id}",
        "file://{folder}/{id}",
    ],
)
async def test_a_new_experiment_cannot_take_the_artifacts_of_others(
    server: Client, world: World, login: Login, login_settings: Settings, location: str
) -> None:
    user = await login("bob")
    wanted = location.format(id=world.experiment_id, folder=login_settings.artifacts.destination)
    body = {"name": "mine", "artifact_location": wanted}
    response = await server.post("experiments/create", body, headers=user)
    if response.status == 200:  # another location than it seems: it must not reach the file
        mine = response.json["experiment_id"]
        run = (await server.post("runs/create", {"experiment_id": mine}, headers=user)).json["run"]["info"]
        inner = world.file.partition("/")[2]
        read = await server.get("/get-artifact", {"run_id": run["run_id"], "path": f"../../{inner}"}, headers=user)
        assert read.status in (400, 403, 404)
        listed = await server.get("artifacts/list", {"run_id": run["run_id"]}, headers=user)
        assert "weights" not in listed.text
        assert run["artifact_uri"].partition(f"/{world.experiment_id}/")[1] == "", wanted
    else:
        assert response.status in (400, 403)


async def test_a_new_experiment_may_have_a_free_location(server: Client, world: World, login: Login) -> None:
    user = await login("bob")
    body = {"name": "mine", "artifact_location": "mlflow-artifacts:/free/place"}
    assert await status(server, "POST", "experiments/create", user, body) == 200
    other = await login("eve")
    for location in ("mlflow-artifacts:/free/place/inner", "mlflow-artifacts:/free", "mlflow-artifacts:/free/place"):
        body = {"name": "theirs too", "artifact_location": location}
        assert await status(server, "POST", "experiments/create", other, body) == 403


async def test_a_version_cannot_have_a_source_that_its_creator_may_not_read(
    server: Client, world: World, login: Login, login_settings: Settings
) -> None:
    user = await login("bob")
    await server.post("registered-models/create", {"name": "mine"}, headers=user)
    destination = login_settings.artifacts.destination
    for fields in (
        {"source": f"mlflow-artifacts:/{world.file}", "run_id": world.run_id},
        {"source": f"mlflow-artifacts:/{world.file}"},
        {"source": f"runs:/{world.run_id}/model", "run_id": world.run_id},
        {"source": f"models:/{MODEL}/1"},
        {"source": f"models:/{MODEL}@champion"},
        {"source": f"models:/{world.model_id}", "model_id": world.model_id},
        {"source": f"{destination}/{world.file}"},
        {"source": f"file://{destination}/{world.file}"},
    ):
        response = await server.post("model-versions/create", {"name": "mine", **fields}, headers=user)
        assert response.status in (400, 403), (fields, response.text)


async def test_a_logged_model_cannot_name_a_run_of_others(server: Client, world: World, login: Login) -> None:
    user = await login("bob", ("experiment", world.other_experiment_id, "MANAGE"))
    body = {"experiment_id": world.other_experiment_id, "name": "n", "source_run_id": world.run_id}
    assert await status(server, "POST", "logged-models", user, body) == 403


async def test_a_location_that_another_worker_created_is_known_before_a_rejection(
    server: Client, login: Login, login_settings: Settings
) -> None:
    user = await login("bob")
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    async with running_app(replace(login_settings, auth=auth)) as other:
        assert await status(other, "GET", f"{PROXY}/unknown/a.txt", user) == 403  # it has read the locations
        body = {"name": "mine", "artifact_location": "mlflow-artifacts:/own/folder"}
        assert await status(server, "POST", "experiments/create", user, body) == 200
        response = await other.send("PUT", f"{PROXY}/own/folder/a.txt", body=b"a", headers=user)
        assert response.status == 200, response.text
