"""Artifacts of a run: listing, download and the UI's upload."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.api.artifacts.proxied_files import AJAX_PROXY, PROXY, UPLOAD, artifact_root, error_message, list_names, store
from tests.client import Client, Response

from railtrack.api.artifacts import queries
from railtrack.config.settings import Settings
from railtrack.db import Db


async def test_a_folder_of_a_run_is_listed_with_names_and_sizes_in_order(client: Client, db: Db, run: str) -> None:
    root = await artifact_root(db, run)
    for name in ("model/MLmodel", "model/data/w.bin", "b.txt", "a.txt", "empty"):
        await store(client, f"{root}/{name}", b"" if name == "empty" else name.encode())
    assert await client.ok("GET", "artifacts/list", query={"run_id": run}) == {
        "root_uri": f"mlflow-artifacts:/{root}",
        "files": [
            {"path": "a.txt", "is_dir": False, "file_size": 5},
            {"path": "b.txt", "is_dir": False, "file_size": 5},
            {"path": "empty", "is_dir": False},
            {"path": "model", "is_dir": True},
        ],
    }
    inside = await client.ok("GET", "/ajax-api/2.0/mlflow/artifacts/list", query={"run_uuid": run, "path": "model/"})
    assert inside["files"] == [
        {"path": "model/MLmodel", "is_dir": False, "file_size": 13},
        {"path": "model/data", "is_dir": True},
    ]


async def test_a_file_or_a_missing_path_lists_no_files(client: Client, db: Db, run: str) -> None:
    root = await artifact_root(db, run)
    await store(client, f"{root}/a.txt")
    for path in ("a.txt", "nope", "a.txt/below"):
        answer = await client.ok("GET", "artifacts/list", query={"run_id": run, "path": path})
        assert answer == {"root_uri": f"mlflow-artifacts:/{root}"}


async def test_an_artifact_is_downloaded_as_it_was_stored(client: Client, db: Db, run: str) -> None:
    body = os.urandom(700_000)
    await store(client, f"{await artifact_root(db, run)}/model/data.bin", body)
    for name in ("run_id", "run_uuid"):
        answer = await client.get("/get-artifact", {name: run, "path": "model/data.bin"})
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["content-length"] == "700000"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment; filename=data.bin"


async def test_a_failed_download_returns_the_reason(client: Client, db: Db, run: str) -> None:
    root = await artifact_root(db, run)
    await store(client, f"{root}/model/MLmodel")

    async def get(**query: str) -> Response:
        return await client.get("/get-artifact", query)

    missing = error_message(await get(run_id=run, path="nope"), 404)
    assert missing == f"No such artifact: '{root}/nope'"
    for path in ("model", "model/", ""):
        message = error_message(await get(run_id=run, path=path), 400)
        assert message.startswith("Artifact path refers to a directory, not a file:")
    assert error_message(await get(run_id=run), 400) == "Request must specify path."
    assert "'run_id'" in error_message(await get(path="a"), 400)
    gone = error_message(await get(run_id="nope", path="a"), 404)
    assert gone == "Run with id=nope not found"


@pytest.mark.parametrize(
    "path", ["../x", "%2e%2e/x", "/etc/passwd", "a/../../b", "file:///etc/passwd", "C:\\x", "..\\x"]
)
async def test_every_endpoint_rejects_a_path_that_leaves_the_run(client: Client, run: str, path: str) -> None:
    for answer in (
        await client.get("/get-artifact", {"run_id": run, "path": path}),
        await client.get("artifacts/list", {"run_id": run, "path": path}),
        await client.get(PROXY, {"path": path}),
        await client.get(f"{PROXY}/{quote(path, safe='')}"),
        await client.get(f"{PROXY}/{path}"),
        await client.send("PUT", f"{PROXY}/{quote(path, safe='')}", body=b"x"),
        await client.send("DELETE", f"{AJAX_PROXY}/{quote(path, safe='')}"),
        await client.send("POST", UPLOAD, query={"run_uuid": run, "path": path}, body=b"x"),
        await client.post(f"/api/2.0/mlflow-artifacts/mpu/create/{quote(path, safe='')}", {"path": "a"}),
        await client.get(f"/api/2.0/mlflow-artifacts/presigned/{quote(path, safe='')}"),
    ):
        assert error_message(answer, 400) == "Invalid path"


async def test_an_artifact_location_that_is_not_served_is_not_read(client: Client, db: Db, run: str) -> None:
    async def message(uri: str | None, status: int) -> str:
        async with db.write() as tx:
            await tx.execute("UPDATE runs SET artifact_uri = $1 WHERE run_uuid = $2", uri, run)
        listing = error_message(await client.get("artifacts/list", {"run_id": run}), status)
        download = error_message(await client.get("/get-artifact", {"run_id": run, "path": "passwd"}), status)
        assert listing == download
        return listing

    assert "not below a folder" in await message("/etc", 400)
    assert "not below a folder" in await message("file:///etc", 400)
    assert "not below an S3 location" in await message("s3://bucket/1", 400)
    assert "has no artifact location" in await message(None, 404)


async def test_a_deleted_run_keeps_its_artifacts(client: Client, db: Db, run: str) -> None:
    await store(client, f"{await artifact_root(db, run)}/a.txt")
    await client.ok("POST", "runs/delete", {"run_id": run})
    assert (await client.get("/get-artifact", {"run_id": run, "path": "a.txt"})).body == b"x"
    assert len((await client.ok("GET", "artifacts/list", query={"run_id": run}))["files"]) == 1


async def test_the_ui_uploads_a_small_file_into_a_run(client: Client, run: str) -> None:
    query = {"run_uuid": run, "path": "notes/n.json"}
    answer = await client.send("POST", UPLOAD, query=query, body=b'{"a":1}')
    assert (answer.status, answer.body) == (200, b"")
    assert (await client.get("/get-artifact", query)).body == b'{"a":1}'


async def test_an_incomplete_or_too_large_upload_of_the_ui_is_rejected(client: Client, run: str) -> None:
    async def message(body: bytes | list[bytes] = b"x", **query: str) -> str:
        return error_message(await client.send("POST", UPLOAD, query=query, body=body), 400)

    assert await message(path="a") == "Request must specify run_id or run_uuid."
    assert await message(run_uuid=run) == "Request must specify path."
    assert await message(b"", run_uuid=run, path="a") == "Request must specify data."
    too_large = [b"x" * (1 << 20)] * 11
    assert await message(too_large, run_uuid=run, path="a") == "Artifact size is too large. Max size is 10MB."
    answer = await client.send("POST", UPLOAD, query={"run_uuid": "nope", "path": "a"}, body=b"x")
    assert error_message(answer, 404) == "Run with id=nope not found"
    assert "files" not in await client.ok("GET", "artifacts/list", query={"run_id": run})


async def test_a_listing_longer_than_the_memory_limit_is_streamed_completely(
    client: Client, db: Db, run: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "ENTRIES_IN_MEMORY", 10)
    root = await artifact_root(db, run)
    inside = Path(settings.artifacts.destination) / root / "many"
    inside.mkdir(parents=True)
    for number in range(35):
        (inside / f"{number:02}").write_bytes(b"x" * number)
    answer = await client.ok("GET", "artifacts/list", query={"run_id": run, "path": "many"})
    assert answer["root_uri"] == f"mlflow-artifacts:/{root}"
    assert [entry["path"] for entry in answer["files"]] == [f"many/{number:02}" for number in range(35)]
    assert answer["files"][7] == {"path": "many/07", "is_dir": False, "file_size": 7}
    assert await list_names(client, f"{root}/many") == [f"{number:02}" for number in range(35)]
