"""Artifacts in a local folder. Nothing outside the folder is read or written, whatever symbolic links it contains.

A key is walked segment by segment with openat and O_NOFOLLOW, so that no folder can be replaced by a link between a
check and its use. Links below the root are never followed, not even those that lead back inside. The root itself may be
one. All file operations run in a few threads, never on the event loop.
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
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from railtrack.artifacts.store import CHUNK, Entry, Page, error_log, is_folder, no_such
from railtrack.byte_budget import BUDGET
from railtrack.errors import ApiError, describe_os_error, invalid, unavailable

THREADS = 8
JOINED_LIMIT = 8 * 1024 * 1024
RESERVED_PREFIX = ".railtrack-"
"""The prefix of unfinished uploads, on file systems without nameless files."""
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: opening a named pipe must not wait for its other end."""
OWN_DESCRIPTORS = "/proc/self/fd"
NAMELESS = getattr(os, "O_TMPFILE", 0) if Path(OWN_DESCRIPTORS).is_dir() else 0
"""The flag that opens a file without a name, if it can be named later (Linux with /proc)."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FileThreads:
    """A few threads for file operations. The process that needs them starts them: threads do not survive a fork."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return `call(*args)`, run in a thread.

        Wait for its end even when cancelled: it may use a file descriptor, and the number of a closed one is reused.
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
            future.exception()  # retrieved, so that asyncio does not log it
            raise

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


class LocalStore:
    """Artifacts in the folder `root`, which is created with the first one."""

    def __init__(self, root: str, threads: FileThreads) -> None:
        self.root = os.path.realpath(root)
        self._threads = threads

    @property
    def uri(self) -> str:
        return self.root.rstrip("/")

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        upload = _Upload(self.root, key)
        try:
            await self._threads.run(upload.begin)
            async with aclosing(_join_chunks(chunks)) as blocks:
                async for block in blocks:
                    await self._threads.run(upload.write, block)
            await self._threads.run(upload.commit)
        except OSError as error:
            raise _write_error(error, key) from error
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
            raise _write_error(error, key) from error

    async def probe(self) -> None:
        upload = _Upload(self.root, secrets.token_hex(16))
        try:
            await self._threads.run(upload.begin)
            await self._threads.run(upload.write, b"probe")
        except OSError as error:
            raise _write_error(error, "a probe") from error
        finally:
            await self._threads.run(upload.end)


class LocalArtifact:
    """An open file. It stays the same version when another file replaces it."""

    def __init__(self, descriptor: int, status: os.stat_result, threads: FileThreads) -> None:
        self.size = status.st_size
        self.modified = status.st_mtime
        self.etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"'
        self._descriptor = descriptor
        self._threads = threads

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        try:
            while start < stop:
                chunk = await self._threads.run(os.pread, self._descriptor, min(CHUNK, stop - start), start)
                if not chunk:
                    raise OSError(errno.EIO, "the file was truncated during the download")
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
    """A file that gets its name when it is complete. Its methods block, so they run in threads, one at a time.

    On Linux the file has no name at all before (O_TMPFILE), so that even a killed process leaves nothing behind.
    Elsewhere it has one with RESERVED_PREFIX. It is in the last folder of its path that exists. The missing folders are
    created when it is complete.
    """

    def __init__(self, root: str, key: str) -> None:
        self._root = root
        *self._missing, self._name = _segments(key)
        self._temporary = f"{RESERVED_PREFIX}{secrets.token_hex(8)}"
        self._folder = -1
        self._file = -1
        self._has_name = False

    def begin(self) -> None:
        """Open the file. Fail now if it could never get its name."""
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
            with suppress(OSError):  # not every file system supports it
                self._file = os.open(".", os.O_WRONLY | os.O_CLOEXEC | NAMELESS, 0o666, dir_fd=self._folder)
                return
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file = os.open(self._temporary, flags, 0o666, dir_fd=self._folder)
        self._has_name = True

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def commit(self) -> None:
        """Give the file its name, atomically and durably."""
        os.fsync(self._file)
        if not self._has_name:
            # A nameless file can only be linked to a new name. To replace a file, it must then be renamed.
            source = f"{OWN_DESCRIPTORS}/{self._file}"
            os.link(source, self._temporary, dst_dir_fd=self._folder, follow_symlinks=True)
            self._has_name = True
        folder = _descend(os.open(".", FOLDER_FLAGS, dir_fd=self._folder), self._missing, _create_folder)
        try:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=folder)
            self._has_name = False
            os.fsync(folder)
        finally:
            os.close(folder)

    def end(self) -> None:
        """Close the file and its folder. Delete what was not committed."""
        if self._has_name:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
        for descriptor in (self._file, self._folder):
            if descriptor >= 0:
                os.close(descriptor)


async def _join_chunks(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the same bytes in blocks of about CHUNK: a body arrives in small chunks, and a write occupies a thread.

    Blocks are smaller while many uploads together hold JOINED_LIMIT: stalled ones would keep theirs.
    """
    uploads = BUDGET.uploads
    block: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            block.append(chunk)
            size += len(chunk)
            uploads.used += len(chunk)
            if size >= CHUNK or uploads.used > JOINED_LIMIT:
                yield b"".join(block)
                uploads.used -= size
                block, size = [], 0
        if block:
            yield b"".join(block)
    finally:
        uploads.used -= size


def _segments(key: str) -> list[str]:
    segments = key.split("/") if key else []
    if any(segment.startswith(RESERVED_PREFIX) for segment in segments):
        raise invalid("Invalid path")
    return segments


@contextmanager
def _open_folder(root: str, segments: list[str]) -> Iterator[int]:
    folder = _descend(os.open(root, FOLDER_FLAGS), segments, _enter)
    try:
        yield folder
    finally:
        os.close(folder)


def _descend(folder: int, segments: list[str], enter: Callable[[int, str], int]) -> int:
    """Return a descriptor of the folder at the end of `segments`. Close `folder`, where they start."""
    try:
        for segment in segments:
            inner = enter(folder, segment)
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


def _create_folder(folder: int, name: str) -> int:
    """Do as _enter, and create the folder if it is missing."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)
    return _enter(folder, name)


def _open_file(root: str, key: str, threads: FileThreads) -> LocalArtifact:
    segments = _segments(key)
    if not segments:
        raise is_folder(key)
    with _open_folder(root, segments[:-1]) as folder:
        descriptor = os.open(segments[-1], FILE_FLAGS, dir_fd=folder)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return LocalArtifact(descriptor, status, threads)
    os.close(descriptor)
    raise is_folder(key) if stat.S_ISDIR(status.st_mode) else no_such(key)


def _list(root: str, key: str, after: str, limit: int) -> Page:
    """Return one page in the order of names. It reads the whole folder, but needs memory for `limit` names only."""
    try:
        with _open_folder(root, _segments(key)) as folder, os.scandir(folder) as scan:
            listed = (one.name for one in scan if one.name > after and _is_listed(one))
            names = heapq.nsmallest(limit + 1, listed)
            entries = [entry for name in names[:limit] if (entry := _entry(folder, name))]
    except (FileNotFoundError, NotADirectoryError):
        return Page([], None)
    return Page(entries, names[limit - 1] if len(names) > limit else None)


def _is_listed(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file or folder, and its name is valid UTF-8. Links are not followed, so they are not listed."""
    if entry.name.startswith(RESERVED_PREFIX) or not (entry.name.isascii() or _is_utf8(entry.name)):
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(folder: int, name: str) -> Entry | None:
    """Return the entry, None if it has just been deleted."""
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    is_dir = stat.S_ISDIR(status.st_mode)
    return Entry(name, is_dir, 0 if is_dir else status.st_size)


def _delete(root: str, key: str) -> None:
    segments = _segments(key)
    if not segments:
        raise invalid("Invalid path")
    with suppress(FileNotFoundError, NotADirectoryError), _open_folder(root, segments[:-1]) as folder:
        if stat.S_ISDIR(os.lstat(segments[-1], dir_fd=folder).st_mode):
            shutil.rmtree(segments[-1], onerror=_ignore_missing, dir_fd=folder)
        else:
            os.unlink(segments[-1], dir_fd=folder)


def _ignore_missing(_call: Any, _path: Any, failure: Any) -> None:
    """Raise the error of rmtree, unless another request has deleted the file meanwhile."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """Raise the errors of the file system as ApiErrors."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_such(key) from error
    except PermissionError as error:
        denied = ApiError("PERMISSION_DENIED", f"The server may not read the artifact '{key}'.")
        raise _logged(error, denied) from error
    except OSError as error:
        raise _error(error, key) from error


def _write_error(error: OSError, key: str) -> ApiError:
    match error.errno:
        case errno.EISDIR:
            return invalid(f"An artifact cannot be stored as '{key}': there is a folder of that name.")
        case errno.ENOTDIR | errno.EEXIST:
            return invalid(f"An artifact cannot be stored as '{key}': a part of that path is a file.")
        case errno.ENOENT:
            return unavailable(f"The folder of '{key}' was deleted during the upload. Please retry.")
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EACCES | errno.EPERM | errno.EROFS:
            # 507 Insufficient Storage: MLflow's clients do not retry it, and a retry would not help.
            message = f"The artifact store cannot take '{key}': {describe_os_error(error)}."
            return _logged(error, ApiError("INTERNAL_ERROR", message, status=507))
    return _error(error, key)


def _error(error: OSError, key: str) -> ApiError:
    match error.errno:
        case errno.ELOOP:
            return invalid("Invalid path")
        case errno.ENAMETOOLONG:
            return invalid("Invalid path: a name in it is too long for the artifact store.")
    return _logged(error, unavailable(f"The artifact store failed at '{key}': {describe_os_error(error)}."))


def _logged(error: OSError, api_error: ApiError) -> ApiError:
    """Log an error that the operator can fix, and return it."""
    error_log.error("%s: %s", describe_os_error(error), api_error.message)
    return api_error
