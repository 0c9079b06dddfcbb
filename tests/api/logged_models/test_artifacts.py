"""Artifacts of a logged model: listing, downloads, and no access outside the model."""

import pytest
from tests.api.logged_models.models import NOWHERE, assert_error, create, experiment
from tests.client import Client

DIRECTORIES = "/artifacts/directories"


@pytest.fixture
async def model(client: Client) -> str:
    """Create a model with some files and return its id."""
    info = (await create(client, await experiment(client)))["info"]
    where = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path, content in (
        ("MLmodel", b"flavors: {}\n"),
        ("model.pkl", b"\x80\x04"),
        ("empty.txt", b""),
        ("%ED%95%9C%EA%B8%80.html", b"<p>"),
        ("sub/deep/b.csv", b"a,b"),
    ):
        answer = await client.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{where}/{path}", body=content)
        assert answer.status == 200
    model_id: str = info["model_id"]
    return model_id


def at(model_id: str, path: str, *, ajax: bool = False) -> str:
    return f"/{'ajax-api' if ajax else 'api'}/2.0/mlflow/logged-models/{model_id}{path}"


async def test_a_folder_is_listed_with_sizes_and_paths_relative_to_the_model(client: Client, model: str) -> None:
    info = (await client.ok("GET", f"logged-models/{model}"))["model"]["info"]
    listed = await client.ok("GET", at(model, DIRECTORIES))
    assert listed == {
        "root_uri": info["artifact_uri"],
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 12},
            {"path": "empty.txt", "is_dir": False},
            {"path": "model.pkl", "is_dir": False, "file_size": 2},
            {"path": "sub", "is_dir": True},
            {"path": "한글.html", "is_dir": False, "file_size": 3},
        ],
    }
    for folder, files in (
        ("sub", [{"path": "sub/deep", "is_dir": True}]),
        ("sub/deep/", [{"path": "sub/deep/b.csv", "is_dir": False, "file_size": 3}]),
    ):
        listed = await client.ok("GET", at(model, DIRECTORIES, ajax=True), query={"artifact_directory_path": folder})
        assert listed["files"] == files
    for path in ("MLmodel", "nothing"):
        listed = await client.ok("GET", at(model, DIRECTORIES), query={"artifact_directory_path": path})
        assert listed == {"root_uri": info["artifact_uri"]}


async def test_a_file_is_returned_as_an_attachment(client: Client, model: str) -> None:
    for path, content, media_type in (
        ("MLmodel", b"flavors: {}\n", "text/plain"),
        ("model.pkl", b"\x80\x04", "application/octet-stream"),
        ("empty.txt", b"", "text/plain"),
        ("한글.html", b"<p>", "text/html"),
        ("sub/deep/b.csv", b"a,b", "text/plain"),
    ):
        answer = await client.get(at(model, "/artifacts/files", ajax=True), {"artifact_file_path": path})
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, content, media_type)
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("", 400, "BAD_REQUEST", 'Request must include the "artifact_file_path" query parameter.'),
        ("sub", 400, "INVALID_PARAMETER_VALUE", "Artifact path refers to a directory, not a file: "),
        ("nothing", 404, "RESOURCE_DOES_NOT_EXIST", "No such artifact: "),
    ],
)
async def test_a_path_that_is_not_a_file_is_rejected(
    client: Client, model: str, path: str, status: int, code: str, message: str
) -> None:
    answer = await client.get(at(model, "/artifacts/files", ajax=True), {"artifact_file_path": path})
    assert_error(answer, status, code, message)


@pytest.mark.parametrize(
    "path", ["..", "../x", "%2e%2e/x", "sub/../../x", "/etc/passwd", "C:\\x", "file:///etc/passwd"]
)
async def test_a_path_that_leaves_the_model_is_rejected(client: Client, model: str, path: str) -> None:
    answer = await client.get(at(model, "/artifacts/files", ajax=True), {"artifact_file_path": path})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid path")
    answer = await client.get(at(model, DIRECTORIES), {"artifact_directory_path": path})
    assert_error(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid path")


async def test_a_deleted_or_unknown_model_is_not_found(client: Client, model: str) -> None:
    await client.ok("DELETE", f"logged-models/{model}", {})
    for model_id in (model, NOWHERE):
        message = f"Logged model with ID '{model_id}' not found."
        answer = await client.get(at(model_id, DIRECTORIES))
        assert_error(answer, 404, "RESOURCE_DOES_NOT_EXIST", message)
        answer = await client.get(at(model_id, "/artifacts/files", ajax=True), {"artifact_file_path": "MLmodel"})
        assert_error(answer, 404, "RESOURCE_DOES_NOT_EXIST", message)


async def test_only_the_ajax_api_serves_files_as_in_mlflow(client: Client, model: str) -> None:
    answer = await client.get(at(model, "/artifacts/files"), {"artifact_file_path": "MLmodel"})
    assert answer.status == 404
