"""Downloads of a model version's files, for each kind of source, and of nothing outside the version."""

from typing import Any

import pytest
from tests.api.registry.models import (
    PROMPT,
    add_version,
    assert_error,
    assert_invalid,
    assert_missing,
    create,
    missing_parameter,
)
from tests.client import Client, Response

GET = "/model-versions/get-artifact"


@pytest.fixture
async def model(client: Client) -> str:
    """Create a model with versions from a logged model, a run's artifacts, a runs:/ URI and another version."""
    experiment_id = (await client.ok("POST", "experiments/create", {"name": "e"}))["experiment_id"]
    run = (await client.ok("POST", "runs/create", {"experiment_id": experiment_id}))["run"]["info"]
    logged = (await client.ok("POST", "logged-models", {"experiment_id": experiment_id}))["model"]["info"]
    for uri, path, content in (
        (logged["artifact_uri"], "MLmodel", b"of the logged model"),
        (run["artifact_uri"], "a b/MLmodel", b"of the run"),
        (run["artifact_uri"], "secret.txt", b"beside it"),
    ):
        where = (
            f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}/{path.replace(' ', '%20')}"
        )
        assert (await client.send("PUT", where, body=content)).status == 200
    await create(client, "model")
    await add_version(client, "model", f"models:/{logged['model_id']}", model_id=logged["model_id"])
    await add_version(client, "model", f"{run['artifact_uri']}/a%20b", run_id=run["run_id"])
    await add_version(client, "model", f"runs:/{run['run_id']}/a%20b", run_id=run["run_id"])
    await add_version(client, "model", "models:/model/2")
    return "model"


async def download(client: Client, name: str, version: int, path: str = "MLmodel") -> Response:
    return await client.get(GET, {"name": name, "version": str(version), "path": path})


async def test_a_file_is_read_from_the_source_of_the_version(client: Client, model: str) -> None:
    for version, content in ((1, b"of the logged model"), (2, b"of the run"), (3, b"of the run"), (4, b"of the run")):
        answer = await download(client, model, version)
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-disposition"] == "attachment; filename=MLmodel"


@pytest.mark.parametrize(
    "path", ["../secret.txt", "%2e%2e/secret.txt", "x/../../secret.txt", "/etc/passwd", "..\\secret"]
)
async def test_a_path_that_leaves_the_version_is_rejected(client: Client, model: str, path: str) -> None:
    for version in (1, 2, 3, 4):
        assert_invalid(await download(client, model, version, path), "Invalid path")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"name": ""}, missing_parameter("name")),
        ({"version": ""}, missing_parameter("version")),
        ({"path": ""}, missing_parameter("path")),
        ({"version": "x"}, "Parameter 'version' must be an integer, got 'x'."),
        ({"name": "a/b"}, "Invalid model name 'a/b'."),
    ],
)
async def test_an_invalid_request_is_rejected(client: Client, model: str, query: dict[str, Any], message: str) -> None:
    assert_invalid(await client.get(GET, {"name": model, "version": "1", "path": "MLmodel", **query}), message)


async def test_an_unknown_file_or_version_is_not_found(client: Client, model: str) -> None:
    assert_missing(await download(client, model, 1, "nothing"), "No such artifact: ")
    assert_missing(await download(client, model, 9), "Model Version (name=model, version=9) not found")
    assert_missing(await download(client, "none", 1), "Model Version (name=none, version=1) not found")
    await client.ok("DELETE", "model-versions/delete", {"name": model, "version": "1"})
    assert_missing(await download(client, model, 1), "Model Version (name=model, version=1) not found")


async def test_a_version_whose_source_is_not_served_returns_an_error(client: Client, model: str) -> None:
    prompt = await add_version(client, model, "dummy-source", tags=PROMPT)
    answer = await download(client, model, int(prompt["version"]))
    assert_invalid(answer, "The artifact location 'dummy-source' is not below a folder that this server serves.")
    elsewhere = await add_version(client, model, "dbfs:/models/x")
    answer = await download(client, model, int(elsewhere["version"]))
    assert_error(answer, 501, "NOT_IMPLEMENTED", "dbfs")
