"""Artifacts over HTTP: a run's listing and downloads, the UI's uploads, and the proxy that clients store through."""

import asyncio
import itertools
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.client import Answer, Client

from railtrack.api.artifacts import queries as artifact_files
from railtrack.config.settings import Settings
from railtrack.db import Db

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
AJAX_PROXY = "/ajax-api/2.0/mlflow-artifacts/artifacts"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"

_numbers = itertools.count()


@pytest.fixture
def folder() -> str:
    """A folder of the destination that no other test uses."""
    return f"test{next(_numbers)}"


@pytest.fixture
async def run(client: Client) -> str:
    created = await client.ok("POST", "runs/create", {"experiment_id": "0"})
    run_id: str = created["run"]["info"]["run_id"]
    return run_id


async def put(client: Client, path: str, body: bytes | list[bytes] = b"x") -> Answer:
    return await client.send("PUT", f"{PROXY}/{path}", body=body)


async def stored(client: Client, path: str, body: bytes = b"x") -> None:
    answer = await put(client, path, body)
    assert (answer.status, answer.body) == (200, b"")


async def listed(client: Client, path: str) -> list[str]:
    answer = await client.ok("GET", PROXY, query={"path": path})
    return [entry["path"] for entry in answer.get("files", [])]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def refused(answer: Answer, status: int, code: str = "INVALID_PARAMETER_VALUE") -> str:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.text
    message: str = answer.json["message"]
    return message


async def root_of(db: Db, run: str) -> str:
    uri = await db.fetch_value("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run)
    return str(uri).removeprefix("mlflow-artifacts:/")


# A run's artifacts


async def test_a_runs_folder_lists_names_sizes_and_folders_in_order(client: Client, db: Db, run: str) -> None:
    root = await root_of(db, run)
    for name in ("model/MLmodel", "model/data/w.bin", "b.txt", "a.txt", "empty"):
        await stored(client, f"{root}/{name}", b"" if name == "empty" else name.encode())
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
    root = await root_of(db, run)
    await stored(client, f"{root}/a.txt")
    for path in ("a.txt", "nope", "a.txt/below"):
        answer = await client.ok("GET", "artifacts/list", query={"run_id": run, "path": path})
        assert answer == {"root_uri": f"mlflow-artifacts:/{root}"}


async def test_an_artifact_is_downloaded_as_it_was_stored(client: Client, db: Db, run: str) -> None:
    body = os.urandom(700_000)
    await stored(client, f"{await root_of(db, run)}/model/data.bin", body)
    for name in ("run_id", "run_uuid"):
        answer = await client.get("/get-artifact", {name: run, "path": "model/data.bin"})
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["content-length"] == "700000"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == 'attachment; filename="data.bin"'


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.JSON", "text/plain"),
        ("conda.yaml", "text/plain"),
        ("MLmodel", "text/plain"),
        ("a.js", "text/plain"),
        ("n.ipynb", "text/plain"),
        ("page.html", "text/html"),
        ("image.svg", "image/svg+xml"),
        ("image.png", "image/png"),
        ("doc.pdf", "application/pdf"),
        ("worker.mjs", "text/javascript"),
        ("map.geojson", "application/geo+json"),
        ("t.parquet", "application/octet-stream"),
        ("noending", "application/octet-stream"),
        (".txt", "application/octet-stream"),
    ],
)
async def test_the_media_type_is_mlflows(client: Client, folder: str, name: str, media_type: str) -> None:
    await stored(client, f"{folder}/{name}")
    assert (await client.get(f"{PROXY}/{folder}/{name}")).headers["content-type"] == media_type


async def test_a_page_that_a_user_stored_cannot_run_as_ours(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/evil.html", b"<script>alert(1)</script>")
    headers = (await client.get(f"{PROXY}/{folder}/evil.html")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")
    assert headers["content-disposition"].startswith("attachment")


async def test_a_disposition_names_any_file_and_breaks_no_header(client: Client, folder: str) -> None:
    names = {
        "a b;c.txt": 'attachment; filename="a b;c.txt"',
        'q"\\q.txt': "attachment; filename=\"q__q.txt\"; filename*=UTF-8''q%22%5Cq.txt",
        "모.txt": "attachment; filename=\"_.txt\"; filename*=UTF-8''%EB%AA%A8.txt",
        "a\r\nset-cookie: x": "attachment; filename=\"a__set-cookie: x\"; filename*=UTF-8''a%0D%0Aset-cookie%3A%20x",
    }
    for name, disposition in names.items():
        await stored(client, f"{folder}/{quote(name)}")
        answer = await client.get(f"{PROXY}/{folder}/{quote(name)}")
        assert answer.headers["content-disposition"] == disposition


async def test_what_cannot_be_downloaded_says_why(client: Client, db: Db, run: str) -> None:
    root = await root_of(db, run)
    await stored(client, f"{root}/model/MLmodel")

    async def get(**query: str) -> Answer:
        return await client.get("/get-artifact", query)

    missing = refused(await get(run_id=run, path="nope"), 404, "RESOURCE_DOES_NOT_EXIST")
    assert missing == f"No such artifact: '{root}/nope'"
    for path in ("model", "model/", ""):
        message = refused(await get(run_id=run, path=path), 400)
        assert message.startswith("Artifact path refers to a directory, not a file:")
    assert refused(await get(run_id=run), 400) == "Request must specify path."
    assert "'run_id'" in refused(await get(path="a"), 400)
    gone = refused(await get(run_id="nope", path="a"), 404, "RESOURCE_DOES_NOT_EXIST")
    assert gone == "Run with id=nope not found"


@pytest.mark.parametrize(
    "path", ["../x", "%2e%2e/x", "/etc/passwd", "a/../../b", "file:///etc/passwd", "C:\\x", "..\\x"]
)
async def test_every_way_in_refuses_a_path_that_leaves_the_run(client: Client, run: str, path: str) -> None:
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
        assert refused(answer, 400) == "Invalid path"


async def test_a_link_out_of_the_destination_is_not_followed(
    client: Client, settings: Settings, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = Path(settings.artifacts.destination) / folder
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(tmp_path)
    assert refused(await client.get(f"{PROXY}/{folder}/link/secret"), 400) == "Invalid path"
    assert refused(await put(client, f"{folder}/link/new"), 400) == "Invalid path"
    assert await listed(client, folder) == []
    assert names_in(tmp_path) == ["secret"]


async def test_a_run_elsewhere_is_not_read_from_there(client: Client, db: Db, run: str) -> None:
    async def message(uri: str | None, status: int, code: str) -> str:
        async with db.write() as tx:
            await tx.execute("UPDATE runs SET artifact_uri = $1 WHERE run_uuid = $2", uri, run)
        listing = refused(await client.get("artifacts/list", {"run_id": run}), status, code)
        download = refused(await client.get("/get-artifact", {"run_id": run, "path": "passwd"}), status, code)
        assert listing == download
        return listing

    assert "not below a folder" in await message("/etc", 400, "INVALID_PARAMETER_VALUE")
    assert "not below a folder" in await message("file:///etc", 400, "INVALID_PARAMETER_VALUE")
    assert "not below an S3 location" in await message("s3://bucket/1", 400, "INVALID_PARAMETER_VALUE")
    assert "has no artifact location" in await message(None, 404, "RESOURCE_DOES_NOT_EXIST")


async def test_a_deleted_run_keeps_its_artifacts(client: Client, db: Db, run: str) -> None:
    await stored(client, f"{await root_of(db, run)}/a.txt")
    await client.ok("POST", "runs/delete", {"run_id": run})
    assert (await client.get("/get-artifact", {"run_id": run, "path": "a.txt"})).body == b"x"
    assert len((await client.ok("GET", "artifacts/list", query={"run_id": run}))["files"]) == 1


# The UI's upload


async def test_the_ui_uploads_a_small_file_into_a_run(client: Client, run: str) -> None:
    query = {"run_uuid": run, "path": "notes/n.json"}
    answer = await client.send("POST", UPLOAD, query=query, body=b'{"a":1}')
    assert (answer.status, answer.body) == (200, b"")
    assert (await client.get("/get-artifact", query)).body == b'{"a":1}'


async def test_the_uis_upload_says_what_it_misses(client: Client, run: str) -> None:
    async def message(body: bytes | list[bytes] = b"x", **query: str) -> str:
        return refused(await client.send("POST", UPLOAD, query=query, body=body), 400)

    assert await message(path="a") == "Request must specify run_uuid."
    assert await message(run_uuid=run) == "Request must specify path."
    assert await message(b"", run_uuid=run, path="a") == "Request must specify data."
    too_large = [b"x" * (1 << 20)] * 11
    assert await message(too_large, run_uuid=run, path="a") == "Artifact size is too large. Max size is 10MB."
    answer = await client.send("POST", UPLOAD, query={"run_uuid": "nope", "path": "a"}, body=b"x")
    assert refused(answer, 404, "RESOURCE_DOES_NOT_EXIST") == "Run with id=nope not found"
    assert "files" not in await client.ok("GET", "artifacts/list", query={"run_id": run})


# The proxy


async def test_what_is_put_is_got_listed_overwritten_and_deleted(client: Client, folder: str) -> None:
    for proxy in (PROXY, AJAX_PROXY):
        path = f"{proxy}/{folder}/a/b.txt"
        assert (await client.send("PUT", path, body=[b"one ", b"", b"two"])).status == 200
        assert (await client.get(path)).body == b"one two"
        assert (await client.send("PUT", path, body=b"three")).status == 200
        assert (await client.get(path)).body == b"three"
        answer = await client.ok("GET", proxy, query={"path": f"{folder}/a"})
        assert answer == {"files": [{"path": "b.txt", "is_dir": False, "file_size": 5}]}
        assert await client.ok("DELETE", path) == {}
        assert await client.ok("DELETE", path) == {}
        assert await client.ok("GET", proxy, query={"path": f"{folder}/a"}) == {}


async def test_a_folder_is_deleted_with_all_in_it_and_nothing_besides(client: Client, folder: str) -> None:
    for name in ("tree/a", "tree/b/c", "tree2"):
        await stored(client, f"{folder}/{name}")
    await client.ok("DELETE", f"{PROXY}/{folder}/tree")
    assert await listed(client, folder) == ["tree2"]


async def test_the_destination_itself_is_not_deleted(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a")
    for path in ("", ".", "./", "%2e"):
        refused(await client.send("DELETE", f"{PROXY}/{path}"), 400)
    assert await listed(client, folder) == ["a"]


async def test_a_change_spells_out_what_it_changes(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a//b")
    for path in (f"{folder}/a/.", f"{folder}/./a", f"{folder}/%2e/a"):
        assert refused(await client.send("DELETE", f"{PROXY}/{path}"), 400) == "Invalid path"
        assert refused(await put(client, path), 400) == "Invalid path"
    assert (await client.get(f"{PROXY}/{folder}/./a/b")).body == b"x"


async def test_the_destination_is_listed_without_a_path(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a")
    assert folder in await listed(client, "")
    files = (await client.ok("GET", PROXY))["files"]
    assert {"path": folder, "is_dir": True} in files


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a%20b", "a b"),
        ("a%23b", "a#b"),
        ("a%3Fb", "a?b"),
        ("a+b", "a+b"),
        ("a%25b", "a%b"),
        ("a%2520b", "a%20b"),
        ("100%25", "100%"),
        ("5%ac.txt", "5\ufffd.txt"),
        ("%ED%95%9C", "한"),
        ("a;b", "a;b"),
        ("a:b", "a:b"),
        ("a&b=c", "a&b=c"),
        ("...", "..."),
    ],
)
async def test_a_name_is_decoded_once_and_found_by_every_way_in(
    client: Client, db: Db, run: str, sent: str, name: str
) -> None:
    root = await root_of(db, run)
    await stored(client, f"{root}/{sent}", name.encode())
    assert await listed(client, root) == [name]
    assert (await client.get(f"{PROXY}/{root}/{sent}")).body == name.encode()
    assert (await client.get("/get-artifact", {"run_id": run, "path": name})).body == name.encode()
    await client.ok("DELETE", f"{PROXY}/{root}/{sent}")
    assert await listed(client, root) == []


async def test_a_location_with_escapes_is_listed_as_clients_ask_for_it(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/my%20place/a")
    assert await listed(client, f"{folder}/my%20place") == ["a"]
    await stored(client, f"{folder}/my%2520place/b")
    assert await listed(client, f"{folder}/my%20place") == ["b"]


async def test_a_file_and_a_folder_do_not_replace_each_other(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a/b")
    assert "there is a folder of that name" in refused(await put(client, f"{folder}/a"), 400)
    assert "a part of that path is a file" in refused(await put(client, f"{folder}/a/b/c"), 400)
    assert "include a filename" in refused(await put(client, f"{folder}/a/"), 400)
    assert "include a filename" in refused(await put(client, ""), 400)
    assert await listed(client, f"{folder}/a") == ["b"]


async def test_names_too_long_are_refused(client: Client, folder: str) -> None:
    for path in ("n" * 256, "d/" * 300 + "f", "d" * 200 + "/" + "한" * 100):
        message = refused(await put(client, f"{folder}/{quote(path)}"), 400)
        assert message.startswith("Invalid path: ")
        refused(await client.get(f"{PROXY}/{folder}/{quote(path)}"), 400)
    assert await listed(client, folder) == []


async def test_a_client_that_goes_away_half_way_leaves_nothing(client: Client, settings: Settings, folder: str) -> None:
    await stored(client, f"{folder}/old", b"old")
    for name in ("old", "new"):
        await client.hang_up("PUT", f"{PROXY}/{folder}/{name}", body=[b"x" * 400_000, b"y" * 400_000])
    assert await listed(client, folder) == ["old"]
    assert (await client.get(f"{PROXY}/{folder}/old")).body == b"old"
    assert names_in(Path(settings.artifacts.destination) / folder) == ["old"]


async def test_uploads_at_once_of_one_name_leave_one_of_them(client: Client, folder: str) -> None:
    bodies = [[bytes([65 + n]) * 300_000, bytes([65 + n]) * n] for n in range(6)]
    answers = await asyncio.gather(*(put(client, f"{folder}/a", body) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert (await client.get(f"{PROXY}/{folder}/a")).body in [b"".join(body) for body in bodies]


async def test_a_listing_longer_than_memory_is_meant_to_hold_comes_complete(
    client: Client, db: Db, run: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_files, "LISTED_AT_ONCE", 10)
    root = await root_of(db, run)
    inside = Path(settings.artifacts.destination) / root / "many"
    inside.mkdir(parents=True)
    for number in range(35):
        (inside / f"{number:02}").write_bytes(b"x" * number)
    answer = await client.ok("GET", "artifacts/list", query={"run_id": run, "path": "many"})
    assert answer["root_uri"] == f"mlflow-artifacts:/{root}"
    assert [entry["path"] for entry in answer["files"]] == [f"many/{number:02}" for number in range(35)]
    assert answer["files"][7] == {"path": "many/07", "is_dir": False, "file_size": 7}
    assert await listed(client, f"{root}/many") == [f"{number:02}" for number in range(35)]


async def test_multipart_and_presigned_transfers_are_declined_as_mlflow_does_for_a_local_folder(client: Client) -> None:
    for prefix, step in itertools.product(("/api", "/ajax-api"), ("create", "complete", "abort")):
        path = f"{prefix}/2.0/mlflow-artifacts/mpu/{step}/1/run/artifacts"
        message = refused(await client.post(path, {"path": "a", "parts": []}), 501, "NOT_IMPLEMENTED")
        assert message == "Multipart upload is not supported for the current artifact repository"
        assert "'path'" in refused(await client.post(path, {}), 400)
    answer = await client.get("/api/2.0/mlflow-artifacts/presigned/1/a")
    message = refused(answer, 501, "NOT_IMPLEMENTED")
    assert message == "Multipart download is not supported for the current artifact repository"


# Ranges and conditions


async def test_a_range_is_answered_with_that_part(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a", b"0123456789")

    async def part(spec: str) -> tuple[int, bytes, str | None]:
        answer = await client.get(f"{PROXY}/{folder}/a", headers={"range": spec})
        return answer.status, answer.body, answer.headers.get("content-range")

    assert await part("bytes=1-3") == (206, b"123", "bytes 1-3/10")
    assert await part("bytes=7-") == (206, b"789", "bytes 7-9/10")
    assert await part("bytes=-2") == (206, b"89", "bytes 8-9/10")
    assert await part("bytes=8-99") == (206, b"89", "bytes 8-9/10")
    assert await part("Bytes=0-") == (206, b"0123456789", "bytes 0-9/10")
    assert await part("bytes=0-99") == (206, b"0123456789", "bytes 0-9/10")
    assert await part("bytes=-99") == (206, b"0123456789", "bytes 0-9/10")
    for whole in ("bytes=0-0,2-3", "lines=1-2", "bytes=3-1", "bytes=-", "bytes=a-b", "bytes=1-3, 5-"):
        assert await part(whole) == (200, b"0123456789", None)
    for beyond in ("bytes=10-", "bytes=99-100", "bytes=-0"):
        status, body, content_range = await part(beyond)
        assert (status, content_range) == (416, "bytes */10")
        assert b"INVALID_PARAMETER_VALUE" in body


async def test_an_empty_artifact_has_no_ranges(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a", b"")
    answer = await client.get(f"{PROXY}/{folder}/a", headers={"range": "bytes=0-"})
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


async def test_a_client_that_has_the_version_is_told_so(client: Client, folder: str) -> None:
    path = f"{PROXY}/{folder}/a"
    await stored(client, f"{folder}/a", b"one")
    first = await client.get(path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]

    async def status(**headers: str) -> int:
        answer = await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status == 200 or answer.body == b""
        return answer.status

    assert await status(if_none_match=etag) == 304
    assert "content-length" not in (await client.get(path, headers={"if-none-match": etag})).headers
    assert await status(if_none_match=f'"other", W/{etag}') == 304
    assert await status(if_none_match="*") == 304
    assert await status(if_none_match='"other"') == 200
    assert await status(if_modified_since=modified) == 304
    assert await status(if_modified_since="Mon, 01 Jan 2001 00:00:00 GMT") == 200
    assert await status(if_modified_since="yesterday") == 200
    assert await status(if_none_match='"other"', if_modified_since=modified) == 200
    await stored(client, f"{folder}/a", b"two")
    assert await status(if_none_match=etag) == 200
    resumed = await client.get(path, headers={"range": "bytes=1-", "if-range": etag})
    assert (resumed.status, resumed.body) == (200, b"two")


async def test_head_tells_everything_but_the_body(client: Client, folder: str) -> None:
    await stored(client, f"{folder}/a.txt", b"one")
    path = f"{PROXY}/{folder}/a.txt"
    head, got = await client.send("HEAD", path), await client.get(path)
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}
    assert head.headers["content-length"] == "3"
    missing = await client.send("HEAD", f"{PROXY}/{folder}/b.txt")
    assert (missing.status, missing.body) == (404, b"")
