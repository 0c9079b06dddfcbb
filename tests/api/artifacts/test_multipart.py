"""Multipart uploads, with an S3 server that verifies the presigned requests."""

import itertools
from typing import Any

import pytest
from tests.api.artifacts.on_s3 import fetch
from tests.api.artifacts.proxied_files import error_message
from tests.client import Client
from tests.servers.s3 import S3Server

MPU = "/api/2.0/mlflow-artifacts/mpu"
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
PART_BYTES = 5 * 1024 * 1024


async def test_a_file_is_uploaded_in_parts_and_downloaded_by_presigned_urls(
    direct: Client, s3: S3Server, bucket: str
) -> None:
    created = await direct.ok("POST", f"{MPU}/create/1/run/a%20b", {"path": "at/home/f#1.bin", "num_parts": "2"})
    assert [part["part_number"] for part in created["credentials"]] == [1, 2]
    parts = []
    for part, content in zip(created["credentials"], (b"x" * PART_BYTES, b"end"), strict=True):
        status, _, etag = fetch("PUT", part["url"], content)
        assert status == 200
        parts.append({"part_number": part["part_number"], "etag": etag, "url": part["url"]})
    completion = {"path": "at/home/f#1.bin", "upload_id": created["upload_id"], "parts": parts[::-1]}
    assert await direct.ok("POST", f"{MPU}/complete/1/run/a%20b", completion) == {}
    assert s3.objects(bucket) == {"proxied/1/run/a b/f#1.bin": PART_BYTES + 3}
    download = await direct.ok("GET", f"{PRESIGNED}/1/run/a%20b/f%231.bin")
    assert (download["file_size"], download["headers"]) == (PART_BYTES + 3, {})
    assert fetch("GET", download["url"], headers={"range": f"bytes={PART_BYTES - 1}-{PART_BYTES + 5}"})[:2] == (
        206,
        b"xend",
    )


async def test_aborting_an_upload_deletes_its_parts(direct: Client, s3: S3Server, bucket: str) -> None:
    created = await direct.ok("POST", f"{MPU}/create/1", {"path": "f", "num_parts": 1})
    fetch("PUT", created["credentials"][0]["url"], b"x")
    assert s3.unfinished_uploads(bucket) == ["proxied/1/f"]
    for _ in range(2):
        assert await direct.ok("POST", f"{MPU}/abort/1", {"path": "f", "upload_id": created["upload_id"]}) == {}
    assert s3.unfinished_uploads(bucket) == []
    assert (await direct.ok("POST", f"{MPU}/create/1", {"path": "f"})).keys() == {"upload_id"}


@pytest.mark.parametrize("path", ["f", "/tmp/home/f", "../f", "C:\\home\\f", "c:/home/f"])
async def test_only_the_name_of_the_clients_path_is_used(direct: Client, s3: S3Server, bucket: str, path: str) -> None:
    created = await direct.ok("POST", f"{MPU}/create/1", {"path": path, "num_parts": 1})
    assert s3.unfinished_uploads(bucket) == ["proxied/1/f"]
    await direct.ok("POST", f"{MPU}/abort/1", {"path": path, "upload_id": created["upload_id"]})


async def test_an_invalid_multipart_request_is_rejected_with_the_reason(direct: Client) -> None:
    async def message(step: str, body: Any) -> str:
        return error_message(await direct.post(f"{MPU}/{step}/1", body), 400)

    for step in ("create", "complete", "abort"):
        assert "required parameter 'path'" in await message(step, {"upload_id": "x", "parts": []})
        assert await message(step, {"path": "x/..", "upload_id": "x", "parts": []}) == "Invalid path"
        assert "must include a filename" in await message(step, {"path": "x/", "upload_id": "x", "parts": []})
    assert "at most 10000 (got 10001)" in await message("create", {"path": "f", "num_parts": 10001})
    assert "required parameter 'parts'" in await message("complete", {"path": "f", "upload_id": "x"})
    assert "between 1 and 10000 (got 0)" in await message("complete", {"path": "f", "upload_id": "x", "parts": []})
    assert "required parameter 'upload_id'" in await message("abort", {"path": "f"})
    assert error_message(await direct.post(f"{MPU}/create/..%2fx", {"path": "f"}), 400) == "Invalid path"


async def test_a_local_folder_supports_no_multipart_or_presigned_transfers(client: Client) -> None:
    for prefix, step in itertools.product(("/api", "/ajax-api"), ("create", "complete", "abort")):
        path = f"{prefix}/2.0/mlflow-artifacts/mpu/{step}/1/run/artifacts"
        message = error_message(await client.post(path, {"path": "a", "parts": []}), 501)
        assert message == "Multipart upload is not supported for the current artifact repository"
        assert "'path'" in error_message(await client.post(path, {}), 400)
    answer = await client.get("/api/2.0/mlflow-artifacts/presigned/1/a")
    message = error_message(answer, 501)
    assert message == "Multipart download is not supported for the current artifact repository"
