"""The artifact proxy: names, folders, uploads, ranges and conditional requests, on a local folder."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.api.artifacts.proxied_files import (
    AJAX_PROXY,
    PROXY,
    artifact_root,
    error_message,
    file_names,
    list_names,
    put,
    store,
)
from tests.client import Client

from railtrack.config.settings import Settings
from railtrack.db import Db


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
async def test_media_types_are_those_of_mlflow(client: Client, folder: str, name: str, media_type: str) -> None:
    await store(client, f"{folder}/{name}")
    assert (await client.get(f"{PROXY}/{folder}/{name}")).headers["content-type"] == media_type


async def test_a_stored_html_page_is_sandboxed(client: Client, folder: str) -> None:
    await store(client, f"{folder}/evil.html", b"<script>alert(1)</script>")
    headers = (await client.get(f"{PROXY}/{folder}/evil.html")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")
    assert headers["content-disposition"].startswith("attachment")


async def test_a_disposition_can_name_any_file_and_injects_no_header(client: Client, folder: str) -> None:
    names = {
        "a b;c.txt": 'attachment; filename="a b;c.txt"',
        'q"\\q.txt': r'attachment; filename="q\"\\q.txt"',
        "plain.txt": "attachment; filename=plain.txt",
        "모.txt": "attachment; filename=.txt; filename*=UTF-8''%EB%AA%A8.txt",
        "모": "attachment; filename=download; filename*=UTF-8''%EB%AA%A8",
        "café.txt": "attachment; filename=cafe.txt; filename*=UTF-8''caf%C3%A9.txt",
        "a\r\nset-cookie: x": "attachment; filename=\"a__set-cookie: x\"; filename*=UTF-8''a%0D%0Aset-cookie%3A%20x",
    }
    for name, disposition in names.items():
        await store(client, f"{folder}/{quote(name)}")
        answer = await client.get(f"{PROXY}/{folder}/{quote(name)}")
        assert answer.headers["content-disposition"] == disposition


async def test_a_symbolic_link_out_of_the_destination_is_not_followed(
    client: Client, settings: Settings, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = Path(settings.artifacts.destination) / folder
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(tmp_path)
    assert error_message(await client.get(f"{PROXY}/{folder}/link/secret"), 400) == "Invalid path"
    assert error_message(await put(client, f"{folder}/link/new"), 400) == "Invalid path"
    assert await list_names(client, folder) == []
    assert file_names(tmp_path) == ["secret"]


async def test_a_file_is_stored_read_listed_overwritten_and_deleted(client: Client, folder: str) -> None:
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


async def test_deleting_a_folder_deletes_its_contents_and_nothing_else(client: Client, folder: str) -> None:
    for name in ("tree/a", "tree/b/c", "tree2"):
        await store(client, f"{folder}/{name}")
    await client.ok("DELETE", f"{PROXY}/{folder}/tree")
    assert await list_names(client, folder) == ["tree2"]


async def test_the_destination_itself_cannot_be_deleted(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a")
    for path in ("", ".", "./", "%2e"):
        error_message(await client.send("DELETE", f"{PROXY}/{path}"), 400)
    assert await list_names(client, folder) == ["a"]


async def test_a_write_or_delete_rejects_dot_segments(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a//b")
    for path in (f"{folder}/a/.", f"{folder}/./a", f"{folder}/%2e/a"):
        assert error_message(await client.send("DELETE", f"{PROXY}/{path}"), 400) == "Invalid path"
        assert error_message(await put(client, path), 400) == "Invalid path"
    assert (await client.get(f"{PROXY}/{folder}/./a/b")).body == b"x"


async def test_the_destination_is_listed_without_a_path(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a")
    assert folder in await list_names(client, "")
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
async def test_a_name_is_decoded_once_by_every_endpoint(client: Client, db: Db, run: str, sent: str, name: str) -> None:
    root = await artifact_root(db, run)
    await store(client, f"{root}/{sent}", name.encode())
    assert await list_names(client, root) == [name]
    assert (await client.get(f"{PROXY}/{root}/{sent}")).body == name.encode()
    assert (await client.get("/get-artifact", {"run_id": run, "path": name})).body == name.encode()
    await client.ok("DELETE", f"{PROXY}/{root}/{sent}")
    assert await list_names(client, root) == []


async def test_a_location_with_percent_escapes_is_listed_as_clients_spell_it(client: Client, folder: str) -> None:
    await store(client, f"{folder}/my%20place/a")
    assert await list_names(client, f"{folder}/my%20place") == ["a"]
    await store(client, f"{folder}/my%2520place/b")
    assert await list_names(client, f"{folder}/my%20place") == ["b"]


async def test_a_file_and_a_folder_do_not_replace_each_other(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a/b")
    assert "there is a folder of that name" in error_message(await put(client, f"{folder}/a"), 400)
    assert "a part of that path is a file" in error_message(await put(client, f"{folder}/a/b/c"), 400)
    assert "include a filename" in error_message(await put(client, f"{folder}/a/"), 400)
    assert "include a filename" in error_message(await put(client, ""), 400)
    assert await list_names(client, f"{folder}/a") == ["b"]


async def test_names_and_paths_over_the_limits_are_rejected(client: Client, folder: str) -> None:
    for path in ("n" * 256, "d/" * 300 + "f", "d" * 200 + "/" + "한" * 100):
        message = error_message(await put(client, f"{folder}/{quote(path)}"), 400)
        assert message.startswith("Invalid path: ")
        error_message(await client.get(f"{PROXY}/{folder}/{quote(path)}"), 400)
    assert await list_names(client, folder) == []


async def test_a_client_that_disconnects_during_an_upload_leaves_nothing_behind(
    client: Client, settings: Settings, folder: str
) -> None:
    await store(client, f"{folder}/old", b"old")
    for name in ("old", "new"):
        await client.hang_up("PUT", f"{PROXY}/{folder}/{name}", body=[b"x" * 400_000, b"y" * 400_000])
    assert await list_names(client, folder) == ["old"]
    assert (await client.get(f"{PROXY}/{folder}/old")).body == b"old"
    assert file_names(Path(settings.artifacts.destination) / folder) == ["old"]


async def test_concurrent_uploads_of_one_name_leave_one_of_them_complete(client: Client, folder: str) -> None:
    bodies = [[bytes([65 + n]) * 300_000, bytes([65 + n]) * n] for n in range(6)]
    answers = await asyncio.gather(*(put(client, f"{folder}/a", body) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert (await client.get(f"{PROXY}/{folder}/a")).body in [b"".join(body) for body in bodies]


async def test_a_range_returns_that_part(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a", b"0123456789")

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
    await store(client, f"{folder}/a", b"")
    answer = await client.get(f"{PROXY}/{folder}/a", headers={"range": "bytes=0-"})
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


async def test_a_conditional_request_for_a_known_version_returns_304(client: Client, folder: str) -> None:
    path = f"{PROXY}/{folder}/a"
    await store(client, f"{folder}/a", b"one")
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
    await store(client, f"{folder}/a", b"two")
    assert await status(if_none_match=etag) == 200
    resumed = await client.get(path, headers={"range": "bytes=1-", "if-range": etag})
    assert (resumed.status, resumed.body) == (200, b"two")


async def test_head_returns_the_headers_of_get_without_the_body(client: Client, folder: str) -> None:
    await store(client, f"{folder}/a.txt", b"one")
    path = f"{PROXY}/{folder}/a.txt"
    head, got = await client.send("HEAD", path), await client.get(path)
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}
    assert head.headers["content-length"] == "3"
    missing = await client.send("HEAD", f"{PROXY}/{folder}/b.txt")
    assert (missing.status, missing.body) == (404, b"")
