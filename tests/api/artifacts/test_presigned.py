"""Transfers past the server: presigned URLs and multipart uploads, to an S3 server that verifies them."""

import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from tests.client import Answer, Client, running_app
from tests.servers.processes import PATIENCE_SECONDS
from tests.servers.s3 import S3Server, s3_server

from railtrack.config.settings import ArtifactSettings, AwsSettings, S3Settings, Settings
from railtrack.db import Db

MPU = "/api/2.0/mlflow-artifacts/mpu"
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
SERVER_INFO = "/api/3.0/mlflow/server-info"
UPLOAD, DOWNLOAD = "artifacts/presigned-upload-url", "artifacts/presigned-download-url"
PART = 5 * 1024 * 1024


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the store's trial ends, who asks first is to get its answer."""
    monkeypatch.setattr("railtrack.artifacts.s3.factory.TRIAL_WAIT_S", PATIENCE_SECONDS)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket(f"bucket-{uuid4()}")


def on_s3(settings: Settings, s3: S3Server, bucket: str, presigned: str) -> Settings:
    return replace(
        settings,
        artifacts=ArtifactSettings(destination=f"s3://{bucket}/proxied", default_root=f"s3://{bucket}/direct"),
        aws=AwsSettings(access_key_id=s3.access_key, secret_access_key=s3.secret_key),
        s3=S3Settings(endpoint=s3.url, presigned=presigned),
    )


@pytest.fixture
async def direct(db: Db, settings: Settings, s3: S3Server, bucket: str) -> AsyncIterator[Client]:
    """The application with S3, which clients may reach themselves."""
    async with running_app(on_s3(settings, s3, bucket, "on")) as client:
        yield client


def fetch(
    method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    request = urllib.request.Request(
        url, data, {"content-type": "application/octet-stream", **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers.get("ETag", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


def refused(answer: Answer, status: int) -> str:
    assert answer.status == status, answer.text
    message: str = answer.json["message"]
    return message


async def run_in(client: Client, location: str | None = None) -> str:
    experiment = {"name": f"e-{uuid4()}"} | ({"artifact_location": location} if location else {})
    made = await client.ok("POST", "experiments/create", experiment)
    run = await client.ok("POST", "runs/create", {"experiment_id": made["experiment_id"]})
    run_id: str = run["run"]["info"]["run_id"]
    return run_id


def flags(info: dict[str, Any]) -> list[bool]:
    return [value for name, value in info.items() if name.startswith(("multipart_", "presigned_"))]


async def test_the_flags_say_what_was_seen_to_work(
    client: Client, direct: Client, db: Db, settings: Settings, s3: S3Server, bucket: str
) -> None:
    assert flags(await direct.ok("GET", SERVER_INFO)) == [True] * 4
    assert flags(await client.ok("GET", SERVER_INFO)) == [False] * 4
    for presigned in ("auto", "off"):
        async with running_app(on_s3(settings, s3, bucket, presigned)) as other:
            assert flags(await other.ok("GET", SERVER_INFO)) == [False] * 4, "the endpoint is on this machine"
            assert "not supported" in refused(await other.get(f"{PRESIGNED}/a"), 501)
    valid = on_s3(settings, s3, bucket, "on")
    wrong = replace(valid, aws=replace(valid.aws, secret_access_key="wrong"))
    async with running_app(wrong) as other:
        assert flags(await other.ok("GET", SERVER_INFO)) == [False] * 4
    assert s3.objects(bucket) == {}


async def test_a_file_is_sent_in_parts_past_the_server(direct: Client, s3: S3Server, bucket: str) -> None:
    begun = await direct.ok("POST", f"{MPU}/create/1/run/a%20b", {"path": "at/home/f#1.bin", "num_parts": "2"})
    assert [part["part_number"] for part in begun["credentials"]] == [1, 2]
    parts = []
    for part, content in zip(begun["credentials"], (b"x" * PART, b"end"), strict=True):
        status, _, etag = fetch("PUT", part["url"], content)
        assert status == 200
        parts.append({"part_number": part["part_number"], "etag": etag, "url": part["url"]})
    done = {"path": "at/home/f#1.bin", "upload_id": begun["upload_id"], "parts": parts[::-1]}
    assert await direct.ok("POST", f"{MPU}/complete/1/run/a%20b", done) == {}
    assert s3.objects(bucket) == {"proxied/1/run/a b/f#1.bin": PART + 3}
    found = await direct.ok("GET", f"{PRESIGNED}/1/run/a%20b/f%231.bin")
    assert (found["file_size"], found["headers"]) == (PART + 3, {})
    assert fetch("GET", found["url"], headers={"range": f"bytes={PART - 1}-{PART + 5}"})[:2] == (206, b"xend")


async def test_an_upload_in_parts_is_forgotten_when_it_is_aborted(direct: Client, s3: S3Server, bucket: str) -> None:
    begun = await direct.ok("POST", f"{MPU}/create/1", {"path": "f", "num_parts": 1})
    fetch("PUT", begun["credentials"][0]["url"], b"x")
    assert s3.unfinished_uploads(bucket) == ["proxied/1/f"]
    for _ in range(2):
        assert await direct.ok("POST", f"{MPU}/abort/1", {"path": "f", "upload_id": begun["upload_id"]}) == {}
    assert s3.unfinished_uploads(bucket) == []
    assert (await direct.ok("POST", f"{MPU}/create/1", {"path": "f"})).keys() == {"upload_id"}


@pytest.mark.parametrize("path", ["f", "/tmp/home/f", "../f", "C:\\home\\f", "c:/home/f"])
async def test_only_the_name_counts_of_the_path_that_a_file_has_at_the_client(
    direct: Client, s3: S3Server, bucket: str, path: str
) -> None:
    begun = await direct.ok("POST", f"{MPU}/create/1", {"path": path, "num_parts": 1})
    assert s3.unfinished_uploads(bucket) == ["proxied/1/f"]
    await direct.ok("POST", f"{MPU}/abort/1", {"path": path, "upload_id": begun["upload_id"]})


async def test_what_is_wrong_with_an_upload_in_parts_is_told(direct: Client) -> None:
    async def message(step: str, body: Any) -> str:
        return refused(await direct.post(f"{MPU}/{step}/1", body), 400)

    for step in ("create", "complete", "abort"):
        assert "required parameter 'path'" in await message(step, {"upload_id": "x", "parts": []})
        assert await message(step, {"path": "x/..", "upload_id": "x", "parts": []}) == "Invalid path"
        assert "must include a filename" in await message(step, {"path": "x/", "upload_id": "x", "parts": []})
    assert "at most 10000 (got 10001)" in await message("create", {"path": "f", "num_parts": 10001})
    assert "required parameter 'parts'" in await message("complete", {"path": "f", "upload_id": "x"})
    assert "between 1 and 10000 (got 0)" in await message("complete", {"path": "f", "upload_id": "x", "parts": []})
    assert "required parameter 'upload_id'" in await message("abort", {"path": "f"})
    assert refused(await direct.post(f"{MPU}/create/..%2fx", {"path": "f"}), 400) == "Invalid path"


async def test_a_file_of_a_run_is_put_and_found_past_the_server(direct: Client, s3: S3Server, bucket: str) -> None:
    run = await run_in(direct, f"s3://{bucket}/direct/x")
    body = {"run_id": run, "path": "a b/notes.txt"}
    up = await direct.ok("POST", UPLOAD, body)
    assert up["headers"] == {"Content-Type": "text/plain"}
    assert "X-Amz-Expires=900" in up["presigned_url"]
    assert fetch("PUT", up["presigned_url"], b"hi", up["headers"])[0] == 200
    assert s3.objects(bucket) == {f"direct/x/{run}/artifacts/a b/notes.txt": 2}
    down = await direct.ok("POST", DOWNLOAD, {**body, "expiration": 60})
    assert down["file_size"] == 2
    assert "X-Amz-Expires=60" in down["presigned_url"]
    assert fetch("GET", down["presigned_url"])[:2] == (200, b"hi")
    assert fetch("PUT", down["presigned_url"], b"changed")[0] == 403
    assert refused(await direct.post(DOWNLOAD, {"run_id": run, "path": "nope"}), 404)


async def test_a_file_of_a_logged_model_is_put_past_the_server(direct: Client, s3: S3Server, bucket: str) -> None:
    made = await direct.ok("POST", "experiments/create", {"name": "m"})
    model = (await direct.ok("POST", "logged-models", {"experiment_id": made["experiment_id"]}))["model"]["info"]
    up = await direct.ok("POST", UPLOAD, {"model_id": model["model_id"], "path": "MLmodel"})
    assert fetch("PUT", up["presigned_url"], b"hi", up["headers"])[0] == 200
    assert [f"s3://{bucket}/{key}" for key in s3.objects(bucket)] == [f"{model['artifact_uri']}/MLmodel"]


async def test_presigned_urls_of_what_cannot_have_them_are_refused_in_mlflows_words(
    direct: Client, client: Client
) -> None:
    run = await run_in(direct, "mlflow-artifacts:/x")
    proxied = {"run_id": run, "path": "f"}
    assert refused(await direct.post(UPLOAD, proxied), 400) == (
        "Presigned upload is not supported for proxied artifact storage (artifact URI scheme: mlflow-artifacts). "
        "This endpoint requires a direct cloud storage artifact URI."
    )
    assert refused(await direct.post(DOWNLOAD, proxied), 400) == (
        "Presigned download is not supported for runs with proxied artifact storage (artifact URI scheme: "
        "mlflow-artifacts). This endpoint requires a run with a direct cloud storage artifact URI."
    )
    for url in (UPLOAD, DOWNLOAD):
        assert refused(await direct.post(url, {"run_id": run, "path": "../f"}), 400) == "Invalid path"
        assert refused(await direct.post(url, {"run_id": "nope", "path": "f"}), 404) == "Run with id=nope not found"
        for seconds in (0, -1, 604_801):
            message = refused(await direct.post(url, {**proxied, "expiration": seconds}), 400)
            assert message == f"expiration must be between 1 and 604800 seconds (got {seconds})."
    for body in ({"path": "f"}, {"path": "f", "run_id": run, "model_id": "m"}):
        message = refused(await direct.post(UPLOAD, body), 400)
        assert message == "Exactly one of run_id and model_id must be provided."


async def test_presigned_urls_lead_only_to_locations_that_are_served(direct: Client) -> None:
    run = await run_in(direct, "s3://someone-elses-bucket/x")
    for url in (UPLOAD, DOWNLOAD):
        assert "not below an S3 location" in refused(await direct.post(url, {"run_id": run, "path": "f"}), 400)
