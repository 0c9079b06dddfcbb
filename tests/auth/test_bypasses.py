"""Ways by which users could get more than their grants permit."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from tests.api.artifacts.on_s3 import on_s3
from tests.auth.conftest import Login, status
from tests.auth.world import MODEL, PROMPT, World
from tests.client import Client, running_app
from tests.servers.s3 import S3Server, s3_server

from railtrack.config.settings import Settings
from railtrack.db import Db

BUCKET = "bucket-of-bypasses"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


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


async def test_the_version_that_a_source_refers_to_is_the_one_whose_model_is_checked(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    """Names may contain `@`, by which a source names an alias."""
    body = {"name": "team@prod", "source": f"runs:/{world.run_id}/model", "run_id": world.run_id}
    assert await status(server, "POST", "registered-models/create", ada, {"name": "team@prod"}) == 200
    assert await status(server, "POST", "model-versions/create", ada, body) == 200
    alias = {"name": "team@prod", "version": "1", "alias": "champion"}
    assert await status(server, "POST", "registered-models/alias", ada, alias) == 200
    user = await login("bob")
    assert await status(server, "POST", "registered-models/create", user, {"name": "team"}) == 200
    for source in ("models:/team@prod/1", "models:/team@prod@champion", "models:/team@prod/latest"):
        body = {"name": "team", "source": source}
        assert await status(server, "POST", "model-versions/create", user, body) == 403
    body = {"name": "team", "source": "models://[", "run_id": ""}
    assert await status(server, "POST", "model-versions/create", user, body) == 400


# Other spellings of a path


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example//health", "/%2Fevil.example/", "/%5C%5Cevil.example"]
)
async def test_a_browser_without_a_login_is_never_sent_to_another_host(
    server: Client, ada: dict[str, str], path: str
) -> None:
    browser = {"accept": "text/html", "sec-fetch-mode": "navigate", "user-agent": "Mozilla/5.0"}
    response = await server.get(path, headers=browser)
    location = response.headers["location"]
    assert (response.status, location.partition("?")[0]) == (303, "/login")
    next_path = parse_qs(location.partition("?")[2]).get("next", ["/"])[0]
    assert not next_path.startswith(("//", "/\\"))
    assert (await server.get(path, headers=ada | browser)).status == 404


# Names and types that change


async def test_a_model_cannot_be_renamed_to_a_name_that_is_denied(server: Client, world: World, login: Login) -> None:
    user = await login("bob", ("registered_model", "reserved", "DENY"))
    assert await status(server, "POST", "registered-models/create", user, {"name": "mine"}) == 200
    rename = {"name": "mine", "new_name": "reserved"}
    assert await status(server, "POST", "registered-models/rename", user, rename) == 403
    assert await status(server, "POST", "registered-models/rename", user, rename | {"new_name": "free"}) == 200


async def test_a_tag_that_makes_a_prompt_of_a_model_needs_as_much_as_its_deletion(
    server: Client, world: World, login: Login
) -> None:
    """Other grants count for it afterwards."""
    tag = {"name": MODEL, "key": "mlflow.prompt.is_prompt", "value": "true"}
    editor = await login("edi", ("registered_model", MODEL, "EDIT"), ("prompt", "*", "MANAGE"))
    assert await status(server, "POST", "registered-models/set-tag", editor, tag) == 403
    assert await status(server, "POST", "registered-models/set-tag", editor, tag | {"value": "false"}) == 200
    assert await status(server, "DELETE", "registered-models/delete", editor, {"name": MODEL}) == 403
    untag = {"name": PROMPT, "key": "mlflow.prompt.is_prompt"}
    editor = await login("eve", ("prompt", PROMPT, "EDIT"), ("registered_model", "*", "MANAGE"))
    assert await status(server, "DELETE", "registered-models/delete-tag", editor, untag) == 403
    no_prompts = await login("nop", ("registered_model", MODEL, "MANAGE"), ("prompt", "*", "DENY"))
    assert await status(server, "POST", "registered-models/set-tag", no_prompts, tag) == 403
    manager = await login("max", ("registered_model", MODEL, "MANAGE"))
    assert await status(server, "POST", "registered-models/set-tag", manager, tag) == 200


async def test_lists_use_the_grants_of_the_type_that_the_other_requests_use(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    """A search lists prompts by the tags of versions, and by the exact value of the tag of models."""
    tag = {"key": "mlflow.prompt.is_prompt", "value": "True"}
    for name, tags in (("upper", [tag]), ("untagged", [tag | {"value": "true"}])):
        assert await status(server, "POST", "registered-models/create", ada, {"name": name, "tags": tags}) == 200
        body = {"name": name, "source": f"runs:/{world.run_id}/model", "run_id": world.run_id}
        assert await status(server, "POST", "model-versions/create", ada, body) == 200
    body = {"name": MODEL, "version": "1", "key": "mlflow.prompt.is_prompt", "value": "true"}
    assert await status(server, "POST", "model-versions/set-tag", ada, body) == 200
    filters = ({}, {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'"}, {"filter": "name LIKE '%'"})
    for name, grant, hidden in (
        ("mia", ("registered_model", "*", "READ"), {"upper", "untagged", PROMPT}),
        ("pia", ("prompt", "*", "READ"), {MODEL}),
    ):
        user = await login(name, grant)
        for one in hidden:
            assert await status(server, "GET", f"registered-models/get?name={one}", user) == 403
        for filter_ in filters:
            models = await server.get("registered-models/search", filter_, headers=user)
            versions = await server.get("model-versions/search", filter_, headers=user)
            assert models.status == versions.status == 200
            listed = models.json.get("registered_models", []) + versions.json.get("model_versions", [])
            assert not {one["name"] for one in listed} & hidden
    assert "upper" in (await server.get("registered-models/search", headers=ada)).text


async def test_a_new_experiment_with_the_id_of_a_deleted_one_is_its_creators_alone(
    server: Client, world: World, login: Login, db: Db
) -> None:
    """On SQLite, ids are used again after `mlflow gc`. Here the old grant is on the next id."""
    next_id = str(int(world.other_experiment_id) + 1)
    old_user = await login("bob", ("experiment", next_id, "MANAGE"))
    new_user = await login("eve")
    created = await server.post("experiments/create", {"name": "new"}, headers=new_user)
    assert created.json == {"experiment_id": next_id}
    assert await status(server, "GET", f"experiments/get?experiment_id={next_id}", new_user) == 200
    assert await status(server, "GET", f"experiments/get?experiment_id={next_id}", old_user) == 403


async def test_who_is_denied_versions_sees_none_in_their_model(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    grants = (("registered_model", MODEL, "EDIT"), ("prompt", PROMPT, "READ"))
    user = await login("bob", *grants, ("registered_model_version", "*", "DENY"))
    body = {"name": MODEL, "description": "d"}
    for response in (
        await server.get("registered-models/get", {"name": MODEL}, headers=user),
        await server.get("registered-models/search", headers=user),
        await server.send("PATCH", "registered-models/update", json=body, headers=user),
    ):
        assert response.status == 200
        assert MODEL in response.text
        assert "latest_versions" not in response.text
    prompt = await server.get("registered-models/get", {"name": PROMPT}, headers=user)
    assert [one["version"] for one in prompt.json["registered_model"]["latest_versions"]] == ["1"]
    other = await login("eve", *grants)
    for headers in (other, ada):
        assert "latest_versions" in (await server.get("registered-models/search", headers=headers)).text


# Sources of model versions


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as store:
        yield store


@pytest.fixture
async def server_on_s3(db: Db, login_settings: Settings, s3: S3Server) -> AsyncIterator[Client]:
    auth = replace(login_settings.auth, default_permission="NO_PERMISSIONS")
    async with running_app(on_s3(replace(login_settings, auth=auth), s3, s3.new_bucket(BUCKET), "off")) as client:
        yield client


async def test_a_source_above_experiments_does_not_open_their_artifacts(
    server_on_s3: Client, login: Login, ada: dict[str, str]
) -> None:
    """Clients may register what is in S3 without a run, also the folder that contains all experiments."""
    server, user = server_on_s3, await login("bob")
    created = (await server.post("experiments/create", {"name": "theirs"}, headers=ada)).json
    run = (await server.post("runs/create", created, headers=ada)).json["run"]["info"]
    folder = f"{created['experiment_id']}/{run['run_id']}/artifacts"
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=secret.txt"
    assert (await server.send("POST", upload, body=b"secret", headers=ada)).status == 200
    assert await status(server, "POST", "registered-models/create", user, {"name": "mine"}) == 200
    expected = {"direct": 200, "direct/shared": 200, f"direct/{folder}": 403, f"direct/{folder}/../../..": 400}
    for source, code in expected.items():
        body = {"name": "mine", "source": f"s3://{BUCKET}/{source}"}
        assert await status(server, "POST", "model-versions/create", user, body) == code, source
    path = f"/model-versions/get-artifact?name=mine&version=1&path={folder}/secret.txt"
    assert await status(server, "GET", path, user) == 403
    assert (await server.get(path, headers=ada)).body == b"secret"
    assert await status(server, "GET", path.replace("version=1", "version=2"), user) == 404
    body = {"name": "theirs", "source": f"s3://{BUCKET}/direct/{folder}", "run_id": run["run_id"]}
    assert await status(server, "POST", "registered-models/create", ada, {"name": "theirs"}) == 200
    assert await status(server, "POST", "model-versions/create", ada, body) == 200
    reader = await login("rea", ("registered_model", "theirs", "READ"))
    path = "/model-versions/get-artifact?name=theirs&version=1&path=secret.txt"
    assert await status(server, "GET", path, reader) == 200


# Artifacts of experiments that share a location


async def test_the_run_of_an_artifact_decides_where_experiments_share_a_location(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    """An administrator, or an open server before, may have given several experiments the same location."""
    experiments, files = [], []
    for number in range(3):
        body = {"name": f"shared{number}", "artifact_location": "mlflow-artifacts:/shared"}
        if number == 2:
            body["artifact_location"] = f"mlflow-artifacts:/{world.experiment_id}"
        created = (await server.post("experiments/create", body, headers=ada)).json
        run = (await server.post("runs/create", created, headers=ada)).json["run"]["info"]
        experiments.append(created["experiment_id"])
        files.append(f"{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}/a.txt")
    experiments.append(world.experiment_id)
    files.append(world.file)
    for file in files:
        assert (await server.send("PUT", f"{PROXY}/{file}", body=b"a", headers=ada)).status == 200
    for experiment_id, own in zip(experiments, files, strict=True):
        user = await login(f"user{experiment_id}", ("experiment", experiment_id, "MANAGE"))
        for file in files:
            assert await status(server, "GET", f"{PROXY}/{file}", user) == (200 if file == own else 403)
            put = await server.send("PUT", f"{PROXY}/{file}", body=b"b", headers=user)
            assert put.status == (200 if file == own else 403)
        assert await status(server, "GET", f"{PROXY}?path={own.partition('/')[0]}", user) == 403
        assert await status(server, "DELETE", f"{PROXY}/{own.partition('/')[0]}", user) == 403


async def test_who_deletes_a_folder_must_manage_the_experiments_inside(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    body = {"name": "inner", "artifact_location": f"mlflow-artifacts:/{world.experiment_id}/team/inner"}
    inner = (await server.post("experiments/create", body, headers=ada)).json["experiment_id"]
    outer_grant = ("experiment", world.experiment_id, "MANAGE")
    outer = await login("bob", outer_grant)
    both = await login("eve", outer_grant, ("experiment", inner, "MANAGE"))
    for folder in (f"{world.experiment_id}/team", world.experiment_id):
        assert await status(server, "DELETE", f"{PROXY}/{folder}", outer) == 403
        assert await status(server, "DELETE", f"{PROXY}/{folder}", both) == 200


async def test_a_denial_on_a_name_outlasts_the_renaming_of_a_model_to_it(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    denied = await login("bob", ("registered_model", "reserved", "DENY"), ("registered_model", MODEL, "MANAGE"))
    moved = await login("eve", ("registered_model", "reserved", "READ"), ("registered_model", MODEL, "DENY"))
    other = await login("max", ("registered_model", "reserved", "READ"))
    rename = {"name": MODEL, "new_name": "reserved"}
    assert await status(server, "POST", "registered-models/rename", ada, rename) == 200
    for user, expected in ((denied, 403), (moved, 403), (other, 200)):
        assert await status(server, "GET", "registered-models/get?name=reserved", user) == expected


async def test_only_administrators_delete_a_folder_with_all_experiments(
    db: Db, login_settings: Settings, login: Login, ada: dict[str, str]
) -> None:
    """Who may manage what no grant names is still denied some of it."""
    auth = replace(login_settings.auth, default_permission="MANAGE")
    artifacts = replace(login_settings.artifacts, default_root="mlflow-artifacts:/team/all")
    async with running_app(replace(login_settings, auth=auth, artifacts=artifacts)) as server:
        created = await server.post("experiments/create", {"name": "theirs"}, headers=ada)
        file = f"team/all/{created.json['experiment_id']}/a.txt"
        assert (await server.send("PUT", f"{PROXY}/{file}", body=b"a", headers=ada)).status == 200
        user = await login("bob", ("experiment", created.json["experiment_id"], "DENY"))
        for path in (file, "team/all", "team", "team/all/"):
            assert await status(server, "DELETE", f"{PROXY}/{path}", user) in (400, 403)
        assert await status(server, "DELETE", f"{PROXY}/team/other", user) == 200
        assert (await server.get(f"{PROXY}/{file}", headers=ada)).body == b"a"
        assert await status(server, "DELETE", f"{PROXY}/team", ada) == 200


async def test_a_version_changes_no_logged_model_that_its_creator_may_only_read(
    server: Client, world: World, login: Login, ada: dict[str, str]
) -> None:
    """MLflow lists the version in a tag of the logged model."""
    for name, permission, is_tagged in (("rea", "READ", False), ("edi", "EDIT", True)):
        user = await login(name, ("experiment", world.experiment_id, permission))
        assert await status(server, "POST", "registered-models/create", user, {"name": f"of {name}"}) == 200
        body = {"name": f"of {name}", "source": f"models:/{world.model_id}", "model_id": world.model_id}
        assert await status(server, "POST", "model-versions/create", user, body) == 200
        model = await server.get(f"logged-models/{world.model_id}", headers=ada)
        assert (f"of {name}" in model.text) is is_tagged
