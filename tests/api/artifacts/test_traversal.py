"""No path and no location leads out of where artifacts are: on every route that has to do with them, on a local folder
and on S3. A new one must be added to PLACES, or the first test fails.

The disguises are those of CVE-2023-1177, -2356, -2780, -6909, -6977, CVE-2024-1483, -1558, -1560, -1593, -1594, -3573,
-3848, -4263, CVE-2025-11201 and CVE-2026-2614.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from tests.client import Answer, Client, running_app
from tests.servers.s3 import S3Server, s3_server

from railtrack.api import endpoints
from railtrack.config.settings import ArtifactSettings, AwsSettings, S3Settings, Settings
from railtrack.db import Db

SECRET = b"what is outside"
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
class Things:
    """What a request may name."""

    run: str
    model: str
    version: dict[str, str]


@dataclass(frozen=True)
class Request:
    path: str = ""
    """In place of the route's own parameters."""
    query: dict[str, str] | None = None
    json: Any = None
    body: bytes = b""


Place = Callable[[Things, str], Request]


def in_url(_: Things, path: str) -> Request:
    return Request(quote(path, safe=""), body=b"x")


def in_folder(_: Things, path: str) -> Request:
    """Of a multipart upload, whose file has a name of its own."""
    parts = [{"part_number": 1, "etag": "x"}]
    return Request(quote(path, safe=""), json={"path": "a", "upload_id": "x", "parts": parts, "num_parts": 1})


def in_query(**names: str) -> Place:
    """`path` and what else: parameters and what they are named in the query."""

    def place(things: Things, path: str) -> Request:
        known = {"run": things.run, "model": things.model}
        query = {name: known.get(what, path) for what, name in names.items()}
        return Request(things.model, query=query | (things.version if "version" in names else {}), body=b"x")

    return place


def in_body(_names: str) -> Place:
    def place(things: Things, path: str) -> Request:
        return Request(json={"path": path, "run_id": things.run})

    return place


PLACES: dict[tuple[str, str], Place | None] = {
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
    ("POST", "/2.0/mlflow/upload-artifact"): in_query(run="run_uuid", path="path"),
    ("POST", "/2.0/mlflow/artifacts/presigned-upload-url"): in_body("run_id path"),
    ("POST", "/2.0/mlflow/artifacts/presigned-download-url"): in_body("run_id path"),
    ("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/directories"): in_query(path="artifact_directory_path"),
    ("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/files"): in_query(path="artifact_file_path"),
    ("GET", "/model-versions/get-artifact"): in_query(path="path", version="version"),
    ("GET", "/3.0/mlflow/server-info"): None,
    ("GET", "/ready"): None,
}
"""Where each route takes a path from a client; None: it takes none."""


def artifact_routes() -> dict[tuple[str, str], list[str]]:
    """Every route that has to do with artifacts, and the full paths at which it is served."""
    found: dict[tuple[str, str], list[str]] = {}
    for (method, path), route in sorted(endpoints().items()):
        if "artifact" in path or "ctx.artifacts" in inspect.getsource(route.handler):
            found.setdefault((method, path.removeprefix("/ajax-api").removeprefix("/api")), []).append(path)
    return found


TRAVERSED = [(key, path) for key, paths in artifact_routes().items() for path in paths if PLACES.get(key)]

LOCATED = [(key, path) for key, path in TRAVERSED if "mlflow-artifacts" not in path]
"""Those that look up in the database where the artifacts are."""


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@dataclass(frozen=True)
class Kept:
    """Where artifacts are; what() tells all that is there and around it."""

    settings: Settings
    root: str
    what: Callable[[], Any]


@pytest.fixture(params=["local", "s3"])
def kept(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Kept:
    if request.param == "local":
        (tmp_path / SECRET_NAME).write_bytes(SECRET)
        (tmp_path / "artifacts" / "here").mkdir(parents=True)
        changed = replace(settings, artifacts=ArtifactSettings(destination=str(tmp_path / "artifacts")))
        return Kept(changed, changed.artifacts.destination, lambda: sorted(tmp_path.rglob("*")))
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
    return Kept(changed, changed.artifacts.destination, lambda: (s3.objects(bucket), s3.unfinished_uploads(bucket)))


@pytest.fixture
async def there(kept: Kept, db: Db) -> AsyncIterator[Client]:
    async with running_app(kept.settings) as client:
        yield client


@pytest.fixture
async def things(there: Client) -> Things:
    made = await there.ok("POST", "experiments/create", {"name": f"e-{uuid4()}"})
    run = await there.ok("POST", "runs/create", {"experiment_id": made["experiment_id"]})
    model = await there.ok("POST", "logged-models", {"experiment_id": made["experiment_id"]})
    info = run["run"]["info"]
    await there.ok("POST", "registered-models/create", {"name": "m"})
    version = {"name": "m", "source": f"{info['artifact_uri']}/model", "run_id": info["run_id"]}
    await there.ok("POST", "model-versions/create", version)
    return Things(info["run_id"], model["model"]["info"]["model_id"], {"name": "m", "version": "1"})


async def asked(client: Client, method: str, route: str, request: Request) -> Answer:
    before, brace, rest = route.partition("{")
    path = f"{before}{request.path}{rest.partition('}')[2]}" if brace else before
    if request.json is not None:
        return await client.send(method, path, json=request.json)
    return await client.send(method, path, query=request.query, body=b"" if method == "GET" else request.body)


def test_every_route_of_artifacts_is_in_the_table_and_no_other_is() -> None:
    assert set(artifact_routes()) == set(PLACES)
    assert len(TRAVERSED) > 25


async def test_no_path_leads_out(there: Client, things: Things, kept: Kept) -> None:
    before = kept.what()
    for (method, key), route in TRAVERSED:
        place = PLACES[method, key]
        assert place is not None
        for path in HOSTILE:
            answer = await asked(there, method, route, place(things, path))
            told = f"{method} {route} with {path!r}: {answer.status} {answer.text[:300]}"
            assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), told
            assert SECRET not in answer.body, told
    assert kept.what() == before


async def test_a_path_that_is_not_hostile_is_taken(there: Client, things: Things) -> None:
    """So that it isn't for something else that the others are refused."""
    for (method, key), route in TRAVERSED:
        place = PLACES[method, key]
        assert place is not None
        answer = await asked(there, method, route, place(things, "a..b/..c/d..;x"))
        assert "Invalid path" not in answer.text, route


async def test_no_location_in_the_database_leads_out(there: Client, things: Things, kept: Kept, db: Db) -> None:
    before = kept.what()
    for uri in (one.replace("{root}", kept.root) for one in URIS):
        async with db.write() as tx:
            await tx.execute("UPDATE runs SET artifact_uri = $1 WHERE run_uuid = $2", uri, things.run)
            await tx.execute("UPDATE logged_models SET artifact_location = $1 WHERE model_id = $2", uri, things.model)
            await tx.execute("UPDATE model_versions SET storage_location = $1, source = $1 WHERE name = 'm'", uri)
        for (method, key), route in LOCATED:
            place = PLACES[method, key]
            assert place is not None
            for path in ("passwd", SECRET_NAME):
                answer = await asked(there, method, route, place(things, path))
                told = f"{method} {route} of {uri!r}: {answer.status} {answer.text[:300]}"
                assert answer.status in (400, 404, 501), told
                assert b"root:" not in answer.body, told
                assert SECRET not in answer.body, told
    assert kept.what() == before
