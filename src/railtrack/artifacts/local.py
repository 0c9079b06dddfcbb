"""Artifacts in a local folder. Nothing outside the folder is read or written, whatever symbolic links lie
in it.

A key is walked segment by segment with openat and O_NOFOLLOW, so there is no moment between a check and a
use in which a folder could be swapped for a link. Links below the root are therefore never followed, even
where they lead back in; the root itself may be one. All file work happens in a few threads, never on the
event loop.
"""

import asyncio
import errno
import heapq
import os
import secrets
import shutil
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from railtrack.artifacts.store import CHUNK, Entry, Page, error_log, is_folder, no_such
from railtrack.errors import ApiError, invalid, unavailable

THREADS = 8
RESERVED = ".railtrack-"
"""Names beginning so are ours: unfinished uploads, where the file system cannot hold a file without a
name.
"""
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a named pipe must not wait for its other end."""
OWN_DESCRIPTORS = "/proc/self/fd"
NAMELESS = getattr(os, "O_TMPFILE", 0) if Path(OWN_DESCRIPTORS).is_dir() else 0
"""The flag that opens a file without a name, where it can be named later (Linux with /proc)."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FileThreads:
    """A few threads for file work, made by the process that first needs them: threads do not survive a
    fork.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """`call(*args)` in a thread. Never returns before the call has ended, not even when cancelled:
        the call may be using a file descriptor whose number would go to another file once it is closed.
        """
        if self._pool is None or self._pid != os.getpid():
            self._pool, self._pid = ThreadPoolExecutor(THREADS, "railtrack-files"), os.getpid()
        future = asyncio.get_running_loop().run_in_executor(self._pool, call, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            future.exception()  # seen: nobody is left to whom it could be told
            raise

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


class LocalStore:
    """The store in the folder `root`, which is made when the first artifact comes."""

    def __init__(self, root: str, threads: FileThreads) -> None:
        self.root = os.path.realpath(root)
        self._threads = threads

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        upload = _Upload(self.root, key)
        try:
            await self._threads.run(upload.begin)
            async for block in _blocks(chunks):
                await self._threads.run(upload.write, block)
            await self._threads.run(upload.commit)
        except OSError as error:
            raise _write_refusal(error, key) from error
        finally:
            await self._threads.run(upload.end)

    async def open(self, key: str, *, whole: bool = True) -> "LocalArtifact":
        with _reading(key):
            return await self._threads.run(_open_file, self.root, key, self._threads)

    async def list(self, folder: str, token: str | None, limit: int) -> Page:
        with _reading(folder):
            return await self._threads.run(_list, self.root, folder, token or "", limit)

    async def delete(self, key: str) -> None:
        try:
            await self._threads.run(_delete, self.root, key)
        except OSError as error:
            raise _write_refusal(error, key) from error

    async def probe(self) -> None:
        upload = _Upload(self.root, secrets.token_hex(16))
        try:
            await self._threads.run(upload.begin)
            await self._threads.run(upload.write, b"probe")
        except OSError as error:
            raise _write_refusal(error, "a probe") from error
        finally:
            await self._threads.run(upload.end)


class LocalArtifact:
    """An open file: it stays the version that it was, whatever is renamed over its name meanwhile."""

    def __init__(self, descriptor: int, found: os.stat_result, threads: FileThreads) -> None:
        self.size = found.st_size
        self.modified = found.st_mtime
        self.etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        self._descriptor = descriptor
        self._threads = threads

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        try:
            while start < stop:
                chunk = await self._threads.run(os.pread, self._descriptor, min(CHUNK, stop - start), start)
                if not chunk:
                    raise OSError(errno.EIO, "the file was cut short while it was being sent")
                start += len(chunk)
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class _Upload:
    """A file that has no name until it is whole. Its methods do file work and run in threads, one at a time.

    On Linux the file has truly no name (O_TMPFILE), so that even a killed process leaves nothing; elsewhere it has a
    RESERVED one. It lies in the last folder of its path that exists; the missing ones are made when it is whole.
    """

    def __init__(self, root: str, key: str) -> None:
        self._root = root
        *self._missing, self._name = _segments(key)
        self._temporary = f"{RESERVED}{secrets.token_hex(8)}"
        self._folder = -1
        self._file = -1
        self._named = False

    def begin(self) -> None:
        """Open the file; refuse now what could never be put in its place."""
        Path(self._root).mkdir(parents=True, exist_ok=True)
        self._folder = os.open(self._root, FOLDER_FLAGS)
        with suppress(FileNotFoundError):
            while self._missing:
                inner = _enter(self._folder, self._missing[0])
                os.close(self._folder)
                self._folder = inner
                del self._missing[0]
            if stat.S_ISDIR(os.lstat(self._name, dir_fd=self._folder).st_mode):
                raise IsADirectoryError(errno.EISDIR, "a folder")
        if NAMELESS:
            with suppress(OSError):  # not every file system can
                self._file = os.open(".", os.O_WRONLY | os.O_CLOEXEC | NAMELESS, 0o666, dir_fd=self._folder)
                return
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.open(self._temporary, flags, 0o666, dir_fd=self._folder)
        self._named = True

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def commit(self) -> None:
        """Put the whole file in its place, in one step for readers and for good."""
        os.fsync(self._file)
        if not self._named:
            # A file without a name can only be linked to a new name; replacing takes a rename.
            source = f"{OWN_DESCRIPTORS}/{self._file}"
            os.link(source, self._temporary, dst_dir_fd=self._folder, follow_symlinks=True)
            self._named = True
        place = _descend(os.open(".", FOLDER_FLAGS, dir_fd=self._folder), self._missing, _make)
        try:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=place)
            self._named = False
            os.fsync(place)
        finally:
            os.close(place)

    def end(self) -> None:
        """Close everything; what was not committed vanishes."""
        if self._named:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in blocks of about CHUNK: a request's body comes in small pieces, and a write costs
    a thread's turn.
    """
    pieces: list[bytes] = []
    length = 0
    async for piece in chunks:
        pieces.append(piece)
        length += len(piece)
        if length >= CHUNK:
            yield b"".join(pieces)
            pieces, length = [], 0
    if pieces:
        yield b"".join(pieces)


def _segments(key: str) -> list[str]:
    segments = key.split("/") if key else []
    if any(segment.startswith(RESERVED) for segment in segments):
        raise invalid("Invalid path")
    return segments


@contextmanager
def _folder_of(root: str, segments: list[str]) -> Iterator[int]:
    folder = _descend(os.open(root, FOLDER_FLAGS), segments, _enter)
    try:
        yield folder
    finally:
        os.close(folder)


def _descend(folder: int, segments: list[str], step: Callable[[int, str], int]) -> int:
    """The folder that `segments` lead to, opened; `folder`, where they begin, is closed."""
    try:
        for segment in segments:
            inner = step(folder, segment)
            os.close(folder)
            folder = inner
    except BaseException:
        os.close(folder)
        raise
    return folder


def _enter(folder: int, name: str) -> int:
    try:
        return os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise OSError(errno.ELOOP, "a symbolic link") from None
        raise


def _make(folder: int, name: str) -> int:
    """As _enter, where the folder may be missing."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)
    return _enter(folder, name)


def _open_file(root: str, key: str, threads: FileThreads) -> LocalArtifact:
    segments = _segments(key)
    if not segments:
        raise is_folder(key)
    with _folder_of(root, segments[:-1]) as folder:
        descriptor = os.open(segments[-1], FILE_FLAGS, dir_fd=folder)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return LocalArtifact(descriptor, found, threads)
    os.close(descriptor)
    raise is_folder(key) if stat.S_ISDIR(found.st_mode) else no_such(key)


def _list(root: str, key: str, after: str, limit: int) -> Page:
    """One page in name order; memory goes with `limit`, not with the folder, which is read anew for every
    page.
    """
    try:
        with _folder_of(root, _segments(key)) as folder, os.scandir(folder) as found:
            shown = (one.name for one in found if one.name > after and _is_shown(one))
            names = heapq.nsmallest(limit + 1, shown)
            entries = [entry for name in names[:limit] if (entry := _entry(folder, name))]
    except (FileNotFoundError, NotADirectoryError):
        return Page([], None)
    return Page(entries, names[limit - 1] if len(names) > limit else None)


def _is_shown(entry: "os.DirEntry[str]") -> bool:
    """Files and folders with a name that can be told in JSON; links are not followed, so they are not
    shown either.
    """
    if entry.name.startswith(RESERVED) or not (entry.name.isascii() or _is_utf8(entry.name)):
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(folder: int, name: str) -> Entry | None:
    """None when it was deleted a moment ago."""
    try:
        found = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    is_dir = stat.S_ISDIR(found.st_mode)
    return Entry(name, is_dir, 0 if is_dir else found.st_size)


def _delete(root: str, key: str) -> None:
    segments = _segments(key)
    if not segments:
        raise invalid("Invalid path")
    with suppress(FileNotFoundError, NotADirectoryError), _folder_of(root, segments[:-1]) as folder:
        if stat.S_ISDIR(os.lstat(segments[-1], dir_fd=folder).st_mode):
            shutil.rmtree(segments[-1], onerror=_unless_gone, dir_fd=folder)
        else:
            os.unlink(segments[-1], dir_fd=folder)


def _unless_gone(_call: Any, _path: Any, failure: Any) -> None:
    """For rmtree: what somebody else deleted meanwhile is no failure."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """Driver errors of a reading call as the client is to see them."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_such(key) from error
    except PermissionError as error:
        refusal = ApiError("PERMISSION_DENIED", f"The server may not read the artifact '{key}'.")
        raise _logged(error, refusal) from error
    except OSError as error:
        raise _refusal(error, key) from error


def _write_refusal(error: OSError, key: str) -> ApiError:
    match error.errno:
        case errno.EISDIR:
            return invalid(f"An artifact cannot be stored as '{key}': there is a folder of that name.")
        case errno.ENOTDIR | errno.EEXIST:
            return invalid(f"An artifact cannot be stored as '{key}': a part of that path is a file.")
        case errno.ENOENT:
            return unavailable(f"The folder of '{key}' was deleted during the upload. Please retry.")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EACCES | errno.EPERM | errno.EROFS:
            # 507 Insufficient Storage: MLflow's clients do not retry it, and a retry would not help.
            reason = f"The artifact store cannot take '{key}': {os.strerror(error.errno)}."
            return _logged(error, ApiError("INTERNAL_ERROR", reason, status=507))
    return _refusal(error, key)


def _refusal(error: OSError, key: str) -> ApiError:
    match error.errno:
        case errno.ELOOP:
            return invalid("Invalid path")
        case errno.ENAMETOOLONG:
            return invalid("Invalid path: a name in it is too long for the artifact store.")
    return _logged(error, unavailable(f"The artifact store failed at '{key}': {error.strerror}."))


def _logged(error: OSError, refusal: ApiError) -> ApiError:
    """Trouble of the operator's, not of the client's: the log tells of it too."""
    error_log.error("%s: %s", error.strerror, refusal.message)
    return refusal
