"""The local folder as an artifact store: whole or nothing, inside its root or nowhere."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from railtrack.artifacts.local import FileThreads, LocalStore
from railtrack.artifacts.store import CHUNK
from railtrack.errors import ApiError


@pytest.fixture
def threads() -> Iterator[FileThreads]:
    threads = FileThreads()
    yield threads
    threads.close()


@pytest.fixture
def store(tmp_path: Path, threads: FileThreads) -> LocalStore:
    return LocalStore(str(tmp_path / "root"), threads)


async def source(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def content(store: LocalStore, key: str) -> bytes:
    artifact = await store.open(key)
    return b"".join([chunk async for chunk in artifact.chunks(0, artifact.size)])


def everything_in(store: LocalStore) -> list[str]:
    root = Path(store.root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def open_below(folder: Path) -> list[str]:
    """What this process has open in the folder, itself included, in order; files without a name, too."""
    found = []
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor that lists them, or one of another thread
            found.append(str(entry.readlink()))
    return sorted(path for path in found if f"{path}/".startswith(f"{folder.resolve()}/"))


async def names(store: LocalStore, folder: str) -> list[str]:
    return [entry.name for entry in (await store.list(folder, None, 1000)).entries]


async def error_message(status: int, action: object) -> str:
    with pytest.raises(ApiError) as caught:
        await action  # type: ignore[misc]
    assert caught.value.status == status
    return caught.value.message


async def test_an_artifact_is_read_as_it_was_put(store: LocalStore) -> None:
    await store.put("a/b c/모델#1.bin", source(b"one", b"", b"two"))
    assert await content(store, "a/b c/모델#1.bin") == b"onetwo"
    artifact = await store.open("a/b c/모델#1.bin")
    assert artifact.size == 6
    assert [chunk async for chunk in artifact.chunks(2, 4)] == [b"et"]


async def test_an_empty_artifact_and_a_large_one_are_stored(store: LocalStore) -> None:
    large = os.urandom(3 * CHUNK + 7)
    await store.put("empty", source())
    await store.put("large", source(*(large[at : at + 10_000] for at in range(0, len(large), 10_000))))
    assert await content(store, "empty") == b""
    artifact = await store.open("large")
    chunks = [chunk async for chunk in artifact.chunks(0, artifact.size)]
    assert max(map(len, chunks)) <= CHUNK
    assert b"".join(chunks) == large


async def test_a_second_put_replaces_and_changes_the_etag(store: LocalStore) -> None:
    await store.put("a", source(b"old"))
    before = await store.open("a")
    await store.put("a", source(b"new"))
    after = await store.open("a")
    assert before.etag != after.etag
    assert b"".join([chunk async for chunk in before.chunks(0, 3)]) == b"old"
    assert b"".join([chunk async for chunk in after.chunks(0, 3)]) == b"new"


async def test_a_source_that_fails_leaves_the_old_content_and_nothing_else(store: LocalStore) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * (CHUNK + 1)
        raise ConnectionAbortedError("gone")

    await store.put("folder/a", source(b"old"))
    with pytest.raises(ApiError):
        await store.put("folder/a", failing())
    with pytest.raises(ApiError):
        await store.put("folder/new/deeper/b", failing())
    assert await content(store, "folder/a") == b"old"
    assert everything_in(store) == ["folder", "folder/a"]


async def test_a_cancelled_put_leaves_nothing(store: LocalStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * CHUNK
            await asyncio.sleep(0)

    before = open_below(Path(store.root))
    task = asyncio.create_task(store.put("a", endless()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert everything_in(store) == []
    assert open_below(Path(store.root)) == before


async def test_an_upload_under_way_is_neither_listed_nor_counted(store: LocalStore) -> None:
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * CHUNK
        halfway.set()
        await go_on.wait()

    task = asyncio.create_task(store.put("folder/a", slow()))
    await halfway.wait()
    assert await names(store, "folder") == []
    assert (await error_message(404, store.open("folder/a"))) == "No such artifact: 'folder/a'"
    go_on.set()
    await task
    assert await names(store, "folder") == ["a"]


async def test_without_nameless_files_an_upload_has_a_hidden_name_until_it_is_complete(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * CHUNK
        hidden.extend(everything_in(store))
        assert await names(store, "") == []
        raise ConnectionAbortedError("gone")

    hidden: list[str] = []
    monkeypatch.setattr("railtrack.artifacts.local.NAMELESS", 0)
    with pytest.raises(ApiError):
        await store.put("new/folder/a", failing())
    assert len(hidden) == 1
    assert await error_message(400, store.open(hidden[0])) == "Invalid path"
    assert everything_in(store) == []
    await store.put("new/a", source(b"whole"))
    assert everything_in(store) == ["new", "new/a"]


async def test_a_folder_does_not_replace_a_file_or_the_reverse(store: LocalStore) -> None:
    await store.put("folder/file", source(b"x"))
    assert "refers to a directory, not a file: 'folder'" in await error_message(400, store.open("folder"))
    assert "refers to a directory" in await error_message(400, store.open(""))
    assert await error_message(404, store.open("folder/file/below")) == "No such artifact: 'folder/file/below'"
    assert "there is a folder" in await error_message(400, store.put("folder", source(b"y")))
    assert "is a file" in await error_message(400, store.put("folder/file/below", source(b"y")))
    assert "is a file" in await error_message(400, store.put("folder/file/below/that", source(b"y")))
    assert everything_in(store) == ["folder", "folder/file"]


async def test_symbolic_links_are_neither_read_nor_written_nor_listed(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    await store.put("a", source(b"x"))
    root = Path(store.root)
    (root / "link").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "inside").symlink_to(root / "a")
    assert await names(store, "") == ["a"]
    assert await error_message(400, store.open("link")) == "Invalid path"
    assert await error_message(400, store.open("folder/secret")) == "Invalid path"
    assert await error_message(400, store.open("inside")) == "Invalid path"
    assert await error_message(400, store.list("folder", None, 10)) == "Invalid path"
    assert await error_message(400, store.put("folder/new", source(b"x"))) == "Invalid path"
    assert await error_message(400, store.delete("folder/secret")) == "Invalid path"
    await store.put("link", source(b"replaced"))
    assert await content(store, "link") == b"replaced"
    await store.delete("folder")
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


async def test_the_root_itself_may_be_a_link(tmp_path: Path, threads: FileThreads) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    store = LocalStore(str(tmp_path / "root"), threads)
    await store.put("a", source(b"x"))
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


async def test_special_files_are_treated_as_missing(store: LocalStore) -> None:
    await store.put("a", source(b"x"))
    os.mkfifo(Path(store.root) / "pipe")
    assert await names(store, "") == ["a"]
    assert await error_message(404, store.open("pipe")) == "No such artifact: 'pipe'"


async def test_a_folder_is_listed_in_name_order_with_sizes(store: LocalStore) -> None:
    for key in ("b", "a/deep", "B", "é", "a b"):
        await store.put(key, source(key.encode()))
    page = await store.list("", None, 10)
    assert page.next_token is None
    assert [tuple(entry) for entry in page.entries] == [
        ("B", False, 1),
        ("a", True, 0),
        ("a b", False, 3),
        ("b", False, 1),
        ("é", False, 2),
    ]


async def test_pages_of_a_big_folder_have_every_entry_once(store: LocalStore) -> None:
    folder = Path(store.root) / "big"
    folder.mkdir(parents=True)
    for number in range(257):
        (folder / f"{number:03}").touch()
    seen: list[str] = []
    token: str | None = None
    while True:
        page = await store.list("big", token, 50)
        assert len(page.entries) <= 50
        seen += [entry.name for entry in page.entries]
        token = page.next_token
        if token is None:
            break
    assert seen == [f"{number:03}" for number in range(257)]
    assert (await store.list("big", None, 257)).next_token is None


async def test_a_file_and_a_missing_folder_list_nothing(store: LocalStore) -> None:
    assert (await store.list("nowhere", None, 10)).entries == []
    await store.put("a", source(b"x"))
    assert (await store.list("a", None, 10)).entries == []
    assert (await store.list("a/b", None, 10)).entries == []


async def test_names_that_are_not_utf8_are_not_listed(store: LocalStore) -> None:
    await store.put("a", source(b"x"))
    (Path(store.root) / os.fsdecode(b"\xff\xfe")).touch()
    assert await names(store, "") == ["a"]


async def test_a_file_or_folder_is_deleted_and_a_missing_one_is_ignored(store: LocalStore) -> None:
    for key in ("a", "tree/x", "tree/deep/er/y", "tree/deep/z"):
        await store.put(key, source(b"x"))
    await store.delete("tree")
    assert everything_in(store) == ["a"]
    await store.delete("a")
    await store.delete("a")
    await store.delete("nowhere/at/all")
    assert everything_in(store) == []
    assert await error_message(400, store.delete("")) == "Invalid path"


async def test_two_concurrent_puts_of_a_key_leave_one_complete_artifact(store: LocalStore) -> None:
    bodies = [bytes([number]) * (CHUNK + number) for number in range(8)]
    await asyncio.gather(*(store.put("new/folder/a", source(body[:CHUNK], body[CHUNK:])) for body in bodies))
    assert await content(store, "new/folder/a") in bodies
    assert everything_in(store) == ["new", "new/folder", "new/folder/a"]


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Have the operating system reject larger files, as a full disk does.

    This affects pytest's output, too, so use it for one call only.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_reported_and_nothing_is_kept(store: LocalStore) -> None:
    with files_up_to(64 * 1024):
        message = await error_message(507, store.put("a", source(b"x" * 100_000)))
    assert message == "The artifact store cannot take 'a': File too large."
    assert everything_in(store) == []


async def test_folders_may_appear_or_vanish_during_an_upload(store: LocalStore) -> None:
    async def meanwhile(action: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
        yield b"first "
        await action()
        yield b"second"

    await store.put("a/new/b", meanwhile(lambda: store.put("a/new/c", source(b"x"))))
    assert await content(store, "a/new/b") == b"first second"
    assert "a part of that path is a file" in await error_message(
        400, store.put("a/x/y", meanwhile(lambda: store.put("a/x", source(b"x"))))
    )
    assert "there is a folder" in await error_message(
        400, store.put("a/z", meanwhile(lambda: store.put("a/z/below", source(b"x"))))
    )
    assert "Please retry" in await error_message(503, store.put("a/q", meanwhile(lambda: store.delete("a"))))
    assert everything_in(store) == []


async def test_a_file_truncated_during_a_download_is_an_error(store: LocalStore) -> None:
    await store.put("a", source(b"x" * 2 * CHUNK))
    artifact = await store.open("a")
    chunks = artifact.chunks(0, artifact.size)
    assert len(await anext(chunks)) == CHUNK
    os.truncate(Path(store.root) / "a", 10)
    with pytest.raises(OSError, match="truncated during the download"):
        await anext(chunks)


async def test_a_closed_artifact_holds_no_descriptor(store: LocalStore) -> None:
    await store.put("a", source(b"x"))
    before = open_below(Path(store.root))
    for _ in range(5):
        (await store.open("a")).close()
        artifact = await store.open("a")
        async for _chunk in artifact.chunks(0, 1):
            pass
        await store.open("a")  # dropped by a handler that failed
        await error_message(404, store.open("b"))
        await error_message(400, store.open(""))
    assert open_below(Path(store.root)) == before


async def test_the_probe_detects_whether_files_can_be_stored(
    tmp_path: Path, store: LocalStore, threads: FileThreads
) -> None:
    await store.probe()
    assert everything_in(store) == []
    (tmp_path / "file").touch()
    assert "is a file" in await error_message(400, LocalStore(str(tmp_path / "file"), threads).probe())


async def test_the_probe_reports_why_nothing_can_be_stored(store: LocalStore) -> None:
    with files_up_to(0):
        message = await error_message(507, store.probe())
    assert message == "The artifact store cannot take 'a probe': File too large."


async def test_the_threads_serve_a_forked_process_too(store: LocalStore) -> None:
    await store.put("a", source(b"x"))
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        loop = asyncio.new_event_loop()
        try:
            os._exit(0 if loop.run_until_complete(content(store, "a")) == b"x" else 1)
        finally:
            os._exit(2)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert status == 0
