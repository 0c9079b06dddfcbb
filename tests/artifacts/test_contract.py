"""What every store does alike: a local folder, S3 as moto has it, S3 with quirks."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.s3_quirks import BUCKET, QuirkyS3

from railtrack.artifacts import ArtifactStores, Store
from railtrack.artifacts.store import CHUNK, Page
from railtrack.errors import ApiError

PART = 8 * 1024 * 1024
NAMES = [
    "a b", "a#b", "a%b", "100%", "a%20b", "a+b", "a&b=c", "a;b", "a?b", "a:b", "...", "~x", "$HOME", "*", "a\\b",
    "모델/결과.txt", "a'b\"c", "<a>", "a\tb", "é",
]  # fmt: skip


QUIRKS: dict[str, dict[str, Any]] = {
    "no checksums, no aws-chunked, region auto, HeadBucket 403": {},
    "bucket in the host name only, slow": {"style": "virtual", "delay": 0.005},
    "bucket in the path only, often busy, breaks off": {"style": "path", "busy_every": 3, "breaks_off": True},
    "below a path, ranges with status 200": {"path": "/storage/v1/s3", "ranges": 200},
    "no ranges, folders of a file system": {"ranges": None, "is_file_system": True},
}


@pytest.fixture
def quirk_stores(
    request: pytest.FixtureRequest, quirky: QuirkyS3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArtifactStores]:
    monkeypatch.setattr("railtrack.artifacts.s3.client.FIRST_PAUSE_S", 0.001)
    for name, value in QUIRKS[request.node.callspec.params["store"]].items():
        setattr(quirky, name, value)
    stores = stores_at(f"s3://{BUCKET}", quirky.virtual if quirky.style == "virtual" else quirky.environment)
    yield stores
    stores.close()


@pytest.fixture(params=["local", "s3", *QUIRKS])
def store(request: pytest.FixtureRequest) -> Store:
    kind = "quirk" if request.param in QUIRKS else request.param
    found: Store = request.getfixturevalue(f"{kind}_stores").proxied().store
    return found


async def source(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def in_pieces(content: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def content(store: Store, key: str, start: int = 0, stop: int | None = None) -> bytes:
    artifact = await store.open(key)
    return b"".join([chunk async for chunk in artifact.chunks(start, artifact.size if stop is None else stop)])


async def error_message(status: int, action: Awaitable[object]) -> str:
    with pytest.raises(ApiError) as caught:
        await action
    assert caught.value.status == status
    return caught.value.message


async def names(store: Store, folder: str) -> list[str]:
    return [entry.name for entry in (await store.list(folder, None, 1000)).entries]


async def test_an_artifact_is_read_as_it_was_put(store: Store) -> None:
    await store.put("a/b", source(b"one", b"", b"two"))
    artifact = await store.open("a/b")
    assert artifact.size == 6
    assert artifact.modified > 1_600_000_000
    assert artifact.etag.startswith('"')
    artifact.close()
    assert await content(store, "a/b") == b"onetwo"
    assert await content(store, "a/b", 2, 4) == b"et"


@pytest.mark.parametrize("length", [0, 1, CHUNK + 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7])
async def test_artifacts_of_every_length_are_stored_completely(store: Store, length: int) -> None:
    large = os.urandom(length)
    await store.put("large", in_pieces(large))
    assert await content(store, "large") == large
    assert (await store.list("", None, 10)).entries == [("large", False, length)]


async def test_a_chunk_longer_than_two_parts_is_stored_completely(store: Store) -> None:
    large = os.urandom(2 * PART + 100)
    await store.put("large", source(b"first", large))
    assert await content(store, "large") == b"first" + large
    assert await content(store, "large", PART - 10, PART + 10) == (b"first" + large)[PART - 10 : PART + 10]


async def test_chunks_are_no_longer_than_a_chunk(store: Store) -> None:
    await store.put("large", in_pieces(os.urandom(5 * CHUNK)))
    artifact = await store.open("large")
    assert max([len(chunk) async for chunk in artifact.chunks(0, artifact.size)]) <= CHUNK


async def test_unusual_names_are_kept_as_they_are(store: Store) -> None:
    for name in NAMES:
        await store.put(f"folder/{name}", source(name.encode()))
    for name in NAMES:
        assert await content(store, f"folder/{name}") == name.encode()
    assert sorted(await names(store, "folder")) == sorted(name.partition("/")[0] for name in NAMES)
    assert await names(store, "folder/모델") == ["결과.txt"]
    await store.delete("folder")
    assert await names(store, "") == []


async def test_a_second_put_replaces_and_changes_the_etag(store: Store) -> None:
    await store.put("a", source(b"old"))
    before = await store.open("a")
    before.close()
    await store.put("a", source(b"new"))
    after = await store.open("a")
    assert before.etag != after.etag
    assert b"".join([chunk async for chunk in after.chunks(0, 3)]) == b"new"


@pytest.mark.parametrize("length", [10, PART + 10, 2 * PART + 10])
async def test_a_source_that_fails_leaves_the_old_content(store: Store, length: int) -> None:
    async def failing() -> AsyncIterator[bytes]:
        async for piece in in_pieces(b"x" * length):
            yield piece
        raise RuntimeError("gone")

    await store.put("folder/a", source(b"old"))
    for key in ("folder/a", "folder/new", "other/b"):
        with pytest.raises(RuntimeError):
            await store.put(key, failing())
    assert await content(store, "folder/a") == b"old"
    assert await names(store, "folder") == ["a"]
    assert await names(store, "") == ["folder"]


async def test_an_upload_that_is_cancelled_leaves_nothing(store: Store) -> None:
    started = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"x" * (PART + 10)
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.put("a", stalling()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(store, "") == []


async def test_folders_and_missing_artifacts_have_different_errors(store: Store) -> None:
    await store.put("folder/file", source(b"x"))
    assert "refers to a directory, not a file: 'folder'" in await error_message(400, store.open("folder"))
    assert "refers to a directory" in await error_message(400, store.open(""))
    assert await error_message(404, store.open("fold")) == "No such artifact: 'fold'"
    assert await error_message(404, store.open("folder/nope")) == "No such artifact: 'folder/nope'"
    assert await names(store, "nowhere") == await names(store, "folder/file") == await names(store, "fold") == []


async def test_a_listing_has_files_with_sizes_and_folders(store: Store) -> None:
    for key in ("b", "a/deep/er", "a/x", "c d"):
        await store.put(key, source(key.encode()))
    page = await store.list("", None, 10)
    assert page == Page([("a", True, 0), ("b", False, 1), ("c d", False, 3)], None)
    assert await names(store, "a") == ["deep", "x"]


async def test_pages_have_every_entry_once(store: Store) -> None:
    for number in range(23):
        await store.put(f"big/{number:02}" + ("/in" if number % 3 else ""), source(b"x"))
    seen: list[str] = []
    token: str | None = None
    while True:
        page = await store.list("big", token, 5)
        assert len(page.entries) <= 5
        seen += [entry.name for entry in page.entries]
        token = page.next_token
        if token is None:
            break
    assert seen == [f"{number:02}" for number in range(23)]


async def test_a_file_or_folder_is_deleted_and_a_missing_one_is_ignored(store: Store) -> None:
    for key in ("a", "ab", "tree/x", "tree/deep/er/y", "tree-2/z"):
        await store.put(key, source(b"x"))
    await store.delete("tree")
    assert await names(store, "") == ["a", "ab", "tree-2"]
    await store.delete("a")
    await store.delete("a")
    await store.delete("nowhere/at/all")
    assert await names(store, "") == ["ab", "tree-2"]
    assert await error_message(400, store.delete("")) == "Invalid path"


async def test_the_probe_accepts_an_available_store(store: Store) -> None:
    await store.probe()
    assert await names(store, "") == []
