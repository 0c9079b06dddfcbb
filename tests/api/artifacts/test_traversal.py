"""No path and no location leaves the artifact store: on every route for artifacts, with a local folder and with S3.

A new route must be added to BUILDERS, or the first test fails. The encodings are those of CVE-2023-1177,
-2356, -2780, -6909, -6977, CVE-2024-1483, -1558, -1560, -1593, -1594, -3573, -3848, -4263,
CVE-2025-11201 and CVE-2026-2614.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from tests.client import Client, Response, running_app
from tests.servers.s3 import S3Server, s3_server

from railtrack.api import endpoints
from railtrack.config.settings import ArtifactSettings, AwsSettings, S3Settings, Settings
from railtrack.db import Db

SECRET = b"outside of the store"
SECRET_NAME = "secret.txt"
HOSTILE = [
    "..", f"../{SECRET_NAME}", f"a/../../{SECRET_NAME}", f"%2e%2e/{SECRET_NAME}", f"..%2f{SECRET_NAME}",
    f"%252e%252e%252f{SECRET_NAME}", f"%25252e%25252e/{SECRET_NAME}", f"..\\{SECRET_NAME}", f"a\\..\\..\\{SECRET_NAME}",
    f"%5c..%5c{SECRET_NAME}", f" ../{SECRET_NAME}", f"../{SECRET_NAME}#fragment", f"../{SECRET_NAME};params",
    f"../{SECRET_NAME}?query", "a/..;b", "a/..#b", "a/..?b", "/etc/passwd", "//proc/self/root/etc/passwd",
    "%2fetc%2fpasswd", "file:///etc/passwd", "file:/etc/passwd", "FILE:etc/passwd", "://etc/passwd", "C:\\x", "C:/x",
    "\\\\host\\share", "s3://other/x", "http://127.0.0.1/x", "a\0b", "a%00b",
]  # fmt: skip
URIS = [
    "/etc", "file:///etc", "file:/etc", "file://localhost/etc", "//proc/self/root/etc", "{root}/..", "{root}/%2e%2e",
    "{root}/a/../..", "{root}/..#x", "{root}/..;x", "{root}/..?x", "mlflow-artifacts:/../..",
    "mlflow-artifacts:/%2e%2e/x", "mlflow-artifacts:/%252e%252e/x",
    "http://localhost/api/2.0/mlflow-artifacts/artifacts/../..", "s3://other/x",
    "s3://other/../x", "C:\\x", "ftp://127.0.0.1/x", "",
]  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """Resources that a request may name."""

    run: str
    model: str
    version: dict[str, str]


@dataclass(frozen=True)
class Request:
    path: str = ""
    """Replaces the parameters of the route."""
    query: dict[str, str] | None = None
    json: Any = None
    body: bytes = b""


Builder = Callable[[Resources, str], Request]
"""Builds a request that passes a path from a client."""


def in_url(_: Resources, path: str) -> Request:
    return Request(quote(path, safe=""), body=b"x")


def in_folder(_: Resources, path: str) -> Request:
    """Put the path into the folder of a multipart upload, whose body names the file."""
    parts = [{"part_number": 1, "etag": "x"}]
    return Request(quote(path, safe=""), json={"path": "a", "upload_id": "x", "parts": parts, "num_parts": 1})


def in_query(**names: str) -> Builder:
    """Put the path and ids into the query: parameter -> its name there."""

    def build(resources: Resources, path: str) -> Request:
        known = {"run": resources.run, "model": resources.model}
        query = {name: known.get(parameter, path) for parameter, name in names.items()}
        return Request(resources.model, query=query | (resources.version if "version" in names else {}), body=b"x")

    return build


def in_body(_names: str) -> Builder:
    def build(resources: Resources, path: str) -> Request:
        return Request(json={"path": path, "run_id": resources.run})

    return build


BUILDERS: dict[tuple[str, str], Builder | None] = {
    ("GET", "/2.0/mlflow-artifacts/artifacts"): in_query(path="path"),
    ("GET", "/2.0/mlflow-artifacts/artifacts/{path...}"): in_url,
    ("PUT", "/2.0/mlflow-artifacts/artifacts/{path...}"): in_url,
    ("DELETE", "/2.0/mlflow-artifacts/artifacts/{path...}"): in_url,
    ("GET", "/2.0/mlflow-artifacts/presigned/{path...}"): in_url,
    ("POST", "/2.0/mlflow-artifacts/mpu/create/{folder...}"): in_folder,
    ("POST", "/2.0/mlflow-artifacts/mpu/complete/{folder...}"): in_folder,
    ("POST", "/2.0/mlflow-artifacts/mpu/abort/{folder...}"): in_folder,
    ("GET", "/2.0/mlflow/artifacts/list"): in_query(run="run_id", path="path"),
    ("GET", "/get-artifact"): in_query(run="run_id", path="path"),
    ("GET", "/2.0/mlflow/get-trace-artifact"): in_query(run="request_id", path="path"),
    ("GET", "/3.0/mlflow/get-trace-artifact"): in_query(run="request_id", path="path"),
    ("POST", "/2.0/mlflow/upload-artifact"): in_query(run="run_uuid", path="path"),
    ("POST", "/2.0/mlflow/artifacts/presigned-upload-url"): in_body("run_id path"),
    ("POST", "/2.0/mlflow/artifacts/presigned-download-url"): in_body("run_id path"),
    ("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/directories"): in_query(path="artifact_directory_path"),
    ("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/files"): in_query(path="artifact_file_path"),
    ("GET", "/model-versions/get-artifact"): in_query(path="path", version="version"),
    ("GET", "/3.0/mlflow/server-info"): None,
    ("GET", "/ready"): None,
}
"""How each route takes a path from a client, None if it takes none."""


def artifact_routes() -> dict[tuple[str, str], list[str]]:
    """Return every route for artifacts with the full paths at which it is served."""
    routes: dict[tuple[str, str], list[str]] = {}
    for (method, path), route in sorted(endpoints().items()):
        if "artifact" in path or "ctx.artifacts" in inspect.getsource(route.handler):
            routes.setdefault((method, path.removeprefix("/ajax-api").removeprefix("/api")), []).append(path)
    return routes


TRAVERSED = [(key, path) for key, paths in artifact_routes().items() for path in paths if BUILDERS.get(key)]

LOCATED = [(key, path) for key, path in TRAVERSED if "mlflow-artifacts" not in path]
"""Routes that read the artifact location from the database."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@dataclass(frozen=True)
class StoreUnderTest:
    """A store, whose snapshot() returns everything in it and around it."""

    settings: Settings
    root: str
    snapshot: Callable[[], Any]


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> StoreUnderTest:
    if request.param == "local":
        (tmp_path / SECRET_NAME).write_bytes(SECRET)
        (tmp_path / "artifacts" / "here").mkdir(parents=True)
        changed = replace(settings, artifacts=ArtifactSettings(destination=str(tmp_path / "artifacts")))
        return StoreUnderTest(changed, changed.artifacts.destination, lambda: sorted(tmp_path.rglob("*")))
    s3: S3Server = request.getfixturevalue("s3")
    bucket = s3.new_bucket(f"bucket-{uuid4()}")
    s3.boto().put_object(Bucket=bucket, Key=SECRET_NAME, Body=SECRET)
    changed = replace(
        settings,
        artifacts=ArtifactSettings(
            destination=f"s3://{bucket}/artifacts", default_root=f"s3://{bucket}/artifacts/direct"
        ),
        aws=AwsSettings(access_key_id=s3.access_key, secret_access_key=s3.secret_key),
        s3=S3Settings(endpoint=s3.url, presigned="on"),
    )
    return StoreUnderTest(
        changed, changed.artifacts.destination, lambda: (s3.objects(bucket), s3.unfinished_uploads(bucket))
    )


@pytest.fixture
async def app(store: StoreUnderTest, db: Db) -> AsyncIterator[Client]:
    async with running_app(store.settings) as client:
        yield client


@pytest.fixture
async def resources(app: Client) -> Resources:
    experiment = await app.ok("POST", "experiments/create", {"name": f"e-{uuid4()}"})
    run = await app.ok("POST", "runs/create", {"experiment_id": experiment["experiment_id"]})
    model = await app.ok("POST", "logged-models", {"experiment_id": experiment["experiment_id"]})
    info = run["run"]["info"]
    await app.ok("POST", "registered-models/create", {"name": "m"})
    version = {"name": "m", "source": f"{info['artifact_uri']}/model", "run_id": info["run_id"]}
    await app.ok("POST", "model-versions/create", version)
    return Resources(info["run_id"], model["model"]["info"]["model_id"], {"name": "m", "version": "1"})


async def send(client: Client, method: str, route: str, request: Request) -> Response:
    before, brace, rest = route.partition("{")
    path = f"{before}{request.path}{rest.partition('}')[2]}" if brace else before
    if request.json is not None:
        return await client.send(method, path, json=request.json)
    return await client.send(method, path, query=request.query, body=b"" if method == "GET" else request.body)


def test_every_route_for_artifacts_is_in_the_table_and_no_other() -> None:
    assert set(artifact_routes()) == set(BUILDERS)
    assert len(TRAVERSED) > 25


async def test_no_path_leaves_the_store(app: Client, resources: Resources, store: StoreUnderTest) -> None:
    before = store.snapshot()
    for (method, key), route in TRAVERSED:
        build = BUILDERS[method, key]
        assert build is not None
        for path in HOSTILE:
            answer = await send(app, method, route, build(resources, path))
            context = f"{method} {route} with {path!r}: {answer.status} {answer.text[:300]}"
            assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), context
            assert SECRET not in answer.body, context
    assert store.snapshot() == before


async def test_a_harmless_path_is_accepted(app: Client, resources: Resources) -> None:
    """Otherwise the hostile paths could be rejected for another reason."""
    for (method, key), route in TRAVERSED:
        build = BUILDERS[method, key]
        assert build is not None
        answer = await send(app, method, route, build(resources, "a..b/..c/d..;x"))
        assert "Invalid path" not in answer.text, route


async def test_no_location_in_the_database_leaves_the_store(
    app: Client, resources: Resources, store: StoreUnderTest, db: Db
) -> None:
    before = store.snapshot()
    for uri in (uri.replace("{root}", store.root) for uri in URIS):
        async with db.write() as tx:
            await tx.execute("UPDATE runs SET artifact_uri = $1 WHERE run_uuid = $2", uri, resources.run)
            await tx.execute(
                "UPDATE logged_models SET artifact_location = $1 WHERE model_id = $2", uri, resources.model
            )
            await tx.execute("UPDATE model_versions SET storage_location = $1, source = $1 WHERE name = 'm'", uri)
        for (method, key), route in LOCATED:
            build = BUILDERS[method, key]
            assert build is not None
            for path in ("passwd", SECRET_NAME):
                answer = await send(app, method, route, build(resources, path))
                context = f"{method} {route} of {uri!r}: {answer.status} {answer.text[:300]}"
                assert answer.status in (400, 404, 501), context
                assert b"root:" not in answer.body, context
                assert SECRET not in answer.body, context
    assert store.snapshot() == before
