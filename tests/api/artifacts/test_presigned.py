"""Presigned URLs, with an S3 server that verifies them."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from tests.api.artifacts.on_s3 import fetch, on_s3
from tests.api.artifacts.proxied_files import error_message
from tests.client import Client, running_app
from tests.servers.s3 import S3Server

from railtrack.config.settings import Settings
from railtrack.db import Db

PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
SERVER_INFO = "/api/3.0/mlflow/server-info"
UPLOAD, DOWNLOAD = "artifacts/presigned-upload-url", "artifacts/presigned-download-url"


async def run_in(client: Client, location: str | None = None) -> str:
    experiment = {"name": f"e-{uuid4()}"} | ({"artifact_location": location} if location else {})
    created = await client.ok("POST", "experiments/create", experiment)
    run = await client.ok("POST", "runs/create", {"experiment_id": created["experiment_id"]})
    run_id: str = run["run"]["info"]["run_id"]
    return run_id


def flags(info: dict[str, Any]) -> list[bool]:
    return [value for name, value in info.items() if name.startswith(("multipart_", "presigned_"))]


async def test_server_info_reports_presigned_urls_that_work(
    client: Client, direct: Client, db: Db, settings: Settings, s3: S3Server, bucket: str
) -> None:
    assert flags(await direct.ok("GET", SERVER_INFO)) == [True] * 4
    assert flags(await client.ok("GET", SERVER_INFO)) == [False] * 4
    for presigned in ("auto", "off"):
        async with running_app(on_s3(settings, s3, bucket, presigned)) as other:
            assert flags(await other.ok("GET", SERVER_INFO)) == [False] * 4, "the endpoint is on this machine"
            assert "not supported" in error_message(await other.get(f"{PRESIGNED}/a"), 501)
    valid = on_s3(settings, s3, bucket, "on")
    wrong_key = replace(valid, aws=replace(valid.aws, secret_access_key="wrong_key"))
    async with running_app(wrong_key) as other:
        assert flags(await other.ok("GET", SERVER_INFO)) == [False] * 4
    assert s3.objects(bucket) == {}


async def test_a_file_of_a_run_is_uploaded_and_downloaded_by_presigned_urls(
    direct: Client, s3: S3Server, bucket: str
) -> None:
    run = await run_in(direct, f"s3://{bucket}/direct/x")
    body = {"run_id": run, "path": "a b/notes.txt"}
    upload = await direct.ok("POST", UPLOAD, body)
    assert upload["headers"] == {"Content-Type": "text/plain"}
    assert "X-Amz-Expires=900" in upload["presigned_url"]
    assert fetch("PUT", upload["presigned_url"], b"hi", upload["headers"])[0] == 200
    assert s3.objects(bucket) == {f"direct/x/{run}/artifacts/a b/notes.txt": 2}
    download = await direct.ok("POST", DOWNLOAD, {**body, "expiration": 60})
    assert download["file_size"] == 2
    assert "X-Amz-Expires=60" in download["presigned_url"]
    assert fetch("GET", download["presigned_url"])[:2] == (200, b"hi")
    assert fetch("PUT", download["presigned_url"], b"changed")[0] == 403
    assert error_message(await direct.post(DOWNLOAD, {"run_id": run, "path": "nope"}), 404)


async def test_a_file_of_a_logged_model_is_uploaded_by_a_presigned_url(
    direct: Client, s3: S3Server, bucket: str
) -> None:
    experiment = await direct.ok("POST", "experiments/create", {"name": "m"})
    model = (await direct.ok("POST", "logged-models", {"experiment_id": experiment["experiment_id"]}))["model"]["info"]
    upload = await direct.ok("POST", UPLOAD, {"model_id": model["model_id"], "path": "MLmodel"})
    assert fetch("PUT", upload["presigned_url"], b"hi", upload["headers"])[0] == 200
    assert [f"s3://{bucket}/{key}" for key in s3.objects(bucket)] == [f"{model['artifact_uri']}/MLmodel"]


async def test_an_invalid_presign_request_is_rejected_with_mlflows_text(direct: Client, client: Client) -> None:
    run = await run_in(direct, "mlflow-artifacts:/x")
    proxied = {"run_id": run, "path": "f"}
    assert error_message(await direct.post(UPLOAD, proxied), 400) == (
        "Presigned upload is not supported for proxied artifact storage (artifact URI scheme: mlflow-artifacts). "
        "This endpoint requires a direct cloud storage artifact URI."
    )
    assert error_message(await direct.post(DOWNLOAD, proxied), 400) == (
        "Presigned download is not supported for runs with proxied artifact storage (artifact URI scheme: "
        "mlflow-artifacts). This endpoint requires a run with a direct cloud storage artifact URI."
    )
    for url in (UPLOAD, DOWNLOAD):
        assert error_message(await direct.post(url, {"run_id": run, "path": "../f"}), 400) == "Invalid path"
        assert (
            error_message(await direct.post(url, {"run_id": "nope", "path": "f"}), 404) == "Run with id=nope not found"
        )
        for seconds in (0, -1, 604_801):
            message = error_message(await direct.post(url, {**proxied, "expiration": seconds}), 400)
            assert message == f"expiration must be between 1 and 604800 seconds (got {seconds})."
    for body in ({"path": "f"}, {"path": "f", "run_id": run, "model_id": "m"}):
        message = error_message(await direct.post(UPLOAD, body), 400)
        assert message == "Exactly one of run_id and model_id must be provided."


async def test_presigned_urls_exist_only_for_locations_that_are_served(direct: Client) -> None:
    run = await run_in(direct, "s3://someone-elses-bucket/x")
    for url in (UPLOAD, DOWNLOAD):
        assert "not below an S3 location" in error_message(await direct.post(url, {"run_id": run, "path": "f"}), 400)


async def test_a_file_of_a_logged_model_is_downloaded_by_a_presigned_url(
    direct: Client, s3: S3Server, bucket: str
) -> None:
    experiment = await direct.ok("POST", "experiments/create", {"name": f"e-{uuid4()}"})
    model = (await direct.ok("POST", "logged-models", {"experiment_id": experiment["experiment_id"]}))["model"]["info"]
    upload = await direct.ok("POST", UPLOAD, {"model_id": model["model_id"], "path": "a b/MLmodel"})
    fetch("PUT", upload["presigned_url"], b"flavors: {}", upload["headers"])
    path = f"/ajax-api/2.0/mlflow/logged-models/{model['model_id']}/artifacts/files"
    file = await direct.ok("GET", path, query={"artifact_file_path": "a b/MLmodel", "presigned": "true"})
    assert (file["headers"], file["file_size"]) == ({}, 11)
    assert fetch("GET", file["url"])[:2] == (200, b"flavors: {}")
    missing = await direct.get(path, {"artifact_file_path": "nope", "presigned": "true"})
    assert error_message(missing, 404)


async def test_a_file_of_a_model_version_is_downloaded_by_a_presigned_url(
    direct: Client, client: Client, s3: S3Server, bucket: str
) -> None:
    run = await run_in(direct, f"s3://{bucket}/direct/x")
    upload = await direct.ok("POST", UPLOAD, {"run_id": run, "path": "model/MLmodel"})
    fetch("PUT", upload["presigned_url"], b"flavors: {}", upload["headers"])
    name = f"m-{uuid4()}"
    await direct.ok("POST", "registered-models/create", {"name": name})
    for source in (f"runs:/{run}/model", f"s3://{bucket}/direct/x/{run}/artifacts/model"):
        version = (await direct.ok("POST", "model-versions/create", {"name": name, "source": source, "run_id": run}))[
            "model_version"
        ]["version"]
        query = {"name": name, "version": version, "path": "MLmodel", "presigned": "true"}
        file = await direct.ok("GET", "/model-versions/get-artifact", query=query)
        assert fetch("GET", file["url"])[:2] == (200, b"flavors: {}")
    local = await run_in(client)
    proxied = {"name": name, "source": f"runs:/{local}/model", "run_id": local}
    number = (await client.ok("POST", "model-versions/create", proxied))["model_version"]["version"]
    answer = await client.get("/model-versions/get-artifact", {**query, "version": number})
    assert error_message(answer, 501) == "Presigned download is not supported for the current artifact repository"


async def test_with_presigned_only_no_file_passes_through_the_server(
    settings: Settings, s3: S3Server, bucket: str, db: Db
) -> None:
    on = on_s3(settings, s3, bucket, "auto")
    async with running_app(replace(on, artifacts=replace(on.artifacts, is_presigned_only=True))) as client:
        info = await client.ok("GET", SERVER_INFO)
        assert (info["artifacts_presigned_only"], info["multipart_uploads_enabled"]) == (True, True)
        run = await run_in(client, "mlflow-artifacts:/x")
        name = f"m-{uuid4()}"
        await client.ok("POST", "registered-models/create", {"name": name})
        await client.ok("POST", "model-versions/create", {"name": name, "source": f"runs:/{run}/m", "run_id": run})
        for use, method, path in (
            ("upload", "PUT", "/api/2.0/mlflow-artifacts/artifacts/x/f"),
            ("upload", "POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_id={run}&path=f"),
            ("download", "GET", "/api/2.0/mlflow-artifacts/artifacts/x/f"),
            ("download", "GET", f"/get-artifact?run_id={run}&path=f"),
            ("download", "GET", f"/model-versions/get-artifact?name={name}&version=1&path=f"),
        ):
            answer = await client.send(method, path, body=b"x" if use == "upload" else b"")
            message = error_message(answer, 403)
            assert message.startswith(f"This server requires artifacts to be {use}ed directly ")
            assert answer.json["artifacts_presigned_only"] is True
        assert s3.objects(bucket) == {}
        assert await client.ok("GET", "artifacts/list", query={"run_id": run}) == {
            "root_uri": f"mlflow-artifacts:/x/{run}/artifacts"
        }
