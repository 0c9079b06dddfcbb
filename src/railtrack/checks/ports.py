"""The ports to listen on: free, taken by a Railtrack that runs already, or by whom else."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from railtrack.checks import Finding, ok, problem
from railtrack.config.settings import Settings
from railtrack.errors import StartError
from railtrack.http_client.client import HttpClient, Origin
from railtrack.http_server.processes import addresses, listen

ASK_LIMIT_S = 4.0
ANSWER_BYTES = 64 * 1024
LISTENING = "0A"
"""The state in /proc/net/tcp."""


async def check_ports(settings: Settings) -> list[Finding]:
    return [await _check(host, port, asked) for host, port, asked in addresses(settings)]


async def _check(host: str, port: int, asked: str) -> Finding:
    check = f"port {port}"
    where = f"{f'[{host}]' if ':' in host else host}:{port} ({asked})"
    try:
        listen(host, port, asked).close()
    except StartError as error:
        if readiness := await _ask_railtrack(host, port):
            return ok(check, f"{where}: a Railtrack is already running there, {readiness}")
        users = ", ".join(_users(port))
        return problem(check, f"{error.fault}{f' It is used by {users}.' if users else ''}", error.advice)
    return ok(check, f"{where} is free")


async def _ask_railtrack(host: str, port: int) -> str | None:
    """What a Railtrack says of its readiness, None when what answers there is none."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (a name for every address)
    origin = Origin(False, reached, port)
    client = HttpClient(origin)
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(ASK_LIMIT_S):
            bodies = []
            for path in ("/health", "/ready"):
                answer = await client.send("GET", path, {"host": origin.netloc})
                bodies.append(json.loads(await answer.read(ANSWER_BYTES)))
        health, ready = bodies
        if health == {"status": "ok"} and {"database", "artifact_store"} <= ready.keys():
            faults = [f"{part}: {state}" for part, state in ready.items() if state != "ok"]
            return "; ".join(faults) or "ready"
    return None


def _users(port: int) -> list[str]:
    """The processes that listen on the port, as far as this user may see them (Linux)."""
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted({name for pid, name in _processes() if wanted & set(_sockets(pid))}) if wanted else []


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _processes() -> Iterator[tuple[str, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield folder.name, f"{(folder / 'comm').read_text().strip()} (process {folder.name})"


def _sockets(pid: str) -> Iterator[str]:
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if re.match(r"socket:\[", target):
                    yield target
