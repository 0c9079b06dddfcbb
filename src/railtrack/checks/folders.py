"""Folders that the server writes to: there or to be made, writable, with room, and on what kind of file system."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from railtrack.checks import Finding, ok, problem, told, warning
from railtrack.checks.start import Folder, check_folder, folders
from railtrack.config.settings import Settings
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

T = TypeVar("T")

SCARCE = 1 << 30
EXHAUSTED = 64 << 20
"""Free bytes, below which there is a warning and a problem."""
NETWORK = ("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "lustre", "afs", "fuse.s3fs", "fuse.sshfs", "fuse.gcsfuse")
"""What the types of network file systems begin with: their locks are unreliable, and SQLite's WAL shares memory."""
LAYERS = ("overlay", "aufs")
"""A container's own file system, which is gone with the container."""
MOUNTS = Path("/proc/self/mountinfo")


async def check_folders(settings: Settings) -> list[Finding]:
    """Raises StartError for settings that lead to no folder at all."""
    url = parse_database_url(settings.database.uri)
    return [finding for folder in folders(settings, url) for finding in await look_at(folder)]


class _Place(NamedTuple):
    there: bool
    free: int
    kind: str


async def look_at(folder: Folder) -> list[Finding]:
    """What would end a start, in its words; else room, and what the file system is unfit for."""
    check = "database file" if folder.is_database else "artifact folder"
    try:
        place = await in_thread(_look, folder)
    except StartError as error:
        return [told(check, error)]
    room = f"{place.free / (1 << 30):.1f} GB free"
    if place.free < EXHAUSTED:
        return [problem(check, f"{folder.path}: {room}.", "Make room, or use a larger volume.")]
    found = [warning(check, f"{folder.path}: {room}.", "Make room soon.")] if place.free < SCARCE else []
    found += _kind_findings(check, place, folder)
    made = "" if place.there else ", to be made at the start"
    return found or [ok(check, f"{folder.path}{made}, writable, {room}")]


def _kind_findings(check: str, place: _Place, folder: Folder) -> list[Finding]:
    if place.kind.startswith(LAYERS):
        words = f"{folder.path} lies in the container itself ({place.kind}), and is gone with it."
        return [warning(check, words, "Mount a volume there, or use PostgreSQL and an S3-compatible store.")]
    if place.kind.startswith(NETWORK) and folder.is_database:
        words = f"{folder.path} lies on a network file system ({place.kind}), whose locks SQLite cannot rely on."
        return [warning(check, words, "Keep it on a local disk, or use PostgreSQL.")]
    return []


def _look(folder: Folder) -> _Place:
    existing = check_folder(folder)
    return _Place(existing == folder.path, shutil.disk_usage(existing).free, kind_of(existing.resolve(), MOUNTS))


def kind_of(path: Path, mounts: Path) -> str:
    """The type of the file system that holds `path`, by a mountinfo of proc(5); "" where there is none."""
    best, kind = -1, ""
    for line in mounts.read_text(errors="replace").splitlines() if mounts.exists() else []:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


async def in_thread(call: Callable[..., T], *arguments: object) -> T:
    """`call(*arguments)` in a thread that nobody has to wait for: a file system of the network that is away blocks."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def set_unless_given_up(give: Callable[[], None]) -> None:
        if not result.done():
            give()

    def work() -> None:
        try:
            value = call(*arguments)
        except BaseException as error:
            failure = error
            _tell(loop, set_unless_given_up, lambda: result.set_exception(failure))
        else:
            _tell(loop, set_unless_given_up, lambda: result.set_result(value))

    threading.Thread(target=work, daemon=True).start()
    return await result


def _tell(loop: asyncio.AbstractEventLoop, how: Callable[..., None], what: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(how, what)
    except RuntimeError:
        return  # the loop has ended meanwhile: nobody waits any more
