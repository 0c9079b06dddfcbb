"""Checks of the ports: free, in use by a running Railtrack, or by another process."""

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
from railtrack.http_server.processes import Address, addresses, bind

PROBE_TIMEOUT_S = 4.0
RESPONSE_LIMIT_BYTES = 64 * 1024
LISTENING = "0A"
"""The state in /proc/net/tcp."""


async def check_ports(settings: Settings) -> list[Finding]:
    return [await _check(settings, address) for address in addresses(settings)]


async def _check(settings: Settings, address: Address) -> Finding:
    host, port, setting = address
    check = f"port {port}"
    name = f"{f'[{host}]' if ':' in host else host}:{port} ({setting})"
    try:
        bind(settings, address).close()
    except StartError as error:
        if readiness := await _railtrack_readiness(host, port, has_tls=settings.tls.is_enabled):
            return ok(check, f"{name}: used by a running Railtrack, {readiness}")
        processes = ", ".join(_listening_processes(port))
        return problem(check, f"{error.fault}{f' It is used by {processes}.' if processes else ''}", error.advice)
    return ok(check, f"{name} is free")


async def _railtrack_readiness(host: str, port: int, *, has_tls: bool) -> str | None:
    """Return the readiness that a Railtrack on this port reports, None if another server or none responds."""
    reachable_host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (a name for every address)
    origin = Origin(has_tls, reachable_host, port)
    # Nothing is sent that another server must not see, and the certificate is for the public name.
    client = HttpClient(origin, ignores_tls=has_tls)
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            health, ready = [
                json.loads(await (await client.send("GET", path, {"host": origin.netloc})).read(RESPONSE_LIMIT_BYTES))
                for path in ("/health", "/ready")
            ]
        if health == {"status": "ok"} and {"database", "artifact_store"} <= ready.keys():
            failures = [f"{part}: {state}" for part, state in ready.items() if state != "ok"]
            return "; ".join(failures) or "ready"
    return None


def _listening_processes(port: int) -> list[str]:
    """Return the processes that listen on the port and that this user may see (Linux)."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted({name for pid, name in _processes() if sockets & set(_sockets(pid))}) if sockets else []


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
