"""Checks of the folders that the server writes to: writable, with free space, on a suitable file system."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from railtrack.checks import Finding, ok, problem, start_problem, warning
from railtrack.checks.start import Folder, check_folder, folders
from railtrack.config.settings import Settings
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

T = TypeVar("T")

FREE_BYTES_WARNING = 1 << 30
FREE_BYTES_PROBLEM = 64 << 20
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "fuse.s3fs",
    "fuse.sshfs",
    "fuse.gcsfuse",
)
"""Prefixes of the types of network file systems: their locks are unreliable, and SQLite's WAL needs shared memory."""
CONTAINER_LAYERS = ("overlay", "aufs")
"""File systems of the container itself, deleted with it."""
MOUNTS = Path("/proc/self/mountinfo")


async def check_folders(settings: Settings) -> list[Finding]:
    """Check all folders. Raise StartError for settings that lead to none."""
    url = parse_database_url(settings.database.uri)
    return [finding for folder in folders(settings, url) for finding in await check_space_and_type(folder)]


class _FileSystem(NamedTuple):
    folder_exists: bool
    free_bytes: int
    type: str


async def check_space_and_type(folder: Folder) -> list[Finding]:
    """Return what would prevent the start, or else the free space and problems of the file system."""
    check = "database file" if folder.is_database else "artifact folder"
    try:
        file_system = await in_thread(_inspect, folder)
    except StartError as error:
        return [start_problem(check, error)]
    space = f"{file_system.free_bytes / (1 << 30):.1f} GB free"
    if file_system.free_bytes < FREE_BYTES_PROBLEM:
        return [problem(check, f"{folder.path}: {space}.", "Free space, or use a larger volume.")]
    findings = []
    if file_system.free_bytes < FREE_BYTES_WARNING:
        findings.append(warning(check, f"{folder.path}: {space}.", "Free space soon."))
    if file_system.type.startswith(CONTAINER_LAYERS):
        message = f"{folder.path} is in the container ({file_system.type}), and is deleted with it."
        advice = "Mount a volume there, or use PostgreSQL and an S3-compatible store."
        findings.append(warning(check, message, advice))
    if file_system.type.startswith(NETWORK_FILE_SYSTEMS) and folder.is_database:
        message = f"{folder.path} is on a network file system ({file_system.type}), whose locks SQLite cannot rely on."
        findings.append(warning(check, message, "Use a local disk, or PostgreSQL."))
    created = "" if file_system.folder_exists else ", to be created at the start"
    return findings or [ok(check, f"{folder.path}{created}, writable, {space}")]


def _inspect(folder: Folder) -> _FileSystem:
    existing = check_folder(folder)
    free_bytes = shutil.disk_usage(existing).free
    return _FileSystem(existing == folder.path, free_bytes, file_system_type(existing.resolve(), MOUNTS))


def file_system_type(path: Path, mounts: Path) -> str:
    """Return the type of the file system that contains `path`, by the mountinfo of proc(5); "" without that file."""
    depth, result = -1, ""
    for line in mounts.read_text(errors="replace").splitlines() if mounts.exists() else []:
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split()[4].replace("\\040", " "))
        if path.is_relative_to(mount_point) and len(mount_point.parts) >= depth:
            depth, result = len(mount_point.parts), after.split()[0]
    return result


async def in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Run `call(*arguments)` in a daemon thread, which does not delay the exit if a network file system blocks."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            value = call(*arguments)
        except BaseException as error:
            failure = error
            resolve(lambda: future.set_exception(failure))
        else:
            resolve(lambda: future.set_result(value))

    def resolve(set_outcome: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the caller no longer waits
            loop.call_soon_threadsafe(lambda: None if future.done() else set_outcome())

    threading.Thread(target=work, daemon=True).start()
    return await future
