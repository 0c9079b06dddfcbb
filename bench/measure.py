"""One load on one server: wrk sends it, and the kernel tells what it cost."""

import http.client
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from bench.loads import Load, Request, answer
from bench.processes import Watch, cpu_s, tree
from bench.servers import Server

SCRIPT = Path(__file__).parent / "wrk" / "cycle.lua"
TIMEOUT_S = 60
NOT_SERVED = {404, 405, 501}


@dataclass(frozen=True)
class Figure:
    """One measurement. `rate`: requests or pages answered 2xx a second; CPU in seconds per 1,000 of them."""

    rate: float
    ok: int
    refused: int
    lost: int
    timeouts: int
    p50_ms: float
    p99_ms: float
    cpu_s: float
    database_cpu_s: float
    peak_mb: float


def measure(load: Load, server: Server, postgres: int, seconds: float) -> Figure | None:
    """None where the server doesn't serve one of the load's endpoints; HTTPError where it refuses a request.

    `postgres`: its process id.
    """
    try:
        requests = load.requests(server.url)
        for request in requests[:8] if load.unit == "request" else requests:
            answer(server.url, _tried(request))
    except HTTPError as error:
        if error.code in NOT_SERVED:
            return None
        raise
    before = server.cpu_s(), cpu_s(tree(postgres))
    with Watch(server.pids, ()) as watch:
        result = wrk(server.url, load.connections, seconds, requests)
    cpu, database = server.cpu_s() - before[0], cpu_s(tree(postgres)) - before[1]
    ok = result["requests"] - result["refused"]
    units = ok / (len(requests) if load.unit == "page" else 1)
    thousands = max(units, 1) / 1000
    return Figure(
        rate=units / result["seconds"],
        ok=int(ok),
        refused=int(result["refused"]),
        lost=int(result["lost"]),
        timeouts=int(result["timeouts"]),
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_s=cpu / thousands,
        database_cpu_s=database / thousands,
        peak_mb=watch.peak_mb,
    )


def _tried(request: Request) -> Request:
    """The request as a trial sends it: numbers that no connection of the load uses."""
    return Request(request.method, request.path, request.body.replace("@n@", "0").replace("@c@", "999"))


def wrk(url: str, connections: int, seconds: float, requests: Sequence[Request]) -> dict[str, float]:
    """Send the requests in turn on each of the connections, one thread each, for `seconds`."""
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.writelines(f"{request.method}\n{request.path}\n{request.body}\n" for request in requests)
        file.flush()
        command = ["wrk", "--threads", str(connections), "--connections", str(connections)]
        command += ["--duration", f"{max(1, round(seconds))}s", "--timeout", f"{TIMEOUT_S}s", "--script", str(SCRIPT)]
        command += [url, "--", file.name]
        limit = seconds + TIMEOUT_S + 60
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit).stdout
    [line] = [line for line in output.splitlines() if line.startswith("RESULT ")]
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return result


@dataclass(frozen=True)
class Transfer:
    """A large artifact through the server, up and down: MB/s, seconds to the first byte, and peaks in MB."""

    up: float
    down: float
    first_byte_s: float
    peak_mb: float
    disk_mb: float


def transfer(server: Server, folder: Path, megabytes: int) -> Transfer | None:
    """Through mlflow-artifacts, to the server's own folder; None where there is no such route."""
    path = "/api/2.0/mlflow-artifacts/artifacts/bench/large.bin"
    with Watch(server.pids, [folder]) as watch:
        up = _upload(server.url, path, megabytes)
        if up is None:
            return None
        first, down = _download(server.url, path, megabytes)
    _send(server.url, "DELETE", path)
    return Transfer(megabytes / up, megabytes / down, first, watch.peak_mb, watch.files_mb - megabytes)


def _upload(url: str, path: str, megabytes: int) -> float | None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    block = bytes(range(256)) * 4096
    began = time.monotonic()
    try:
        length = {"Content-Length": str(megabytes << 20)}
        connection.request("PUT", path, (block for _ in range(megabytes)), length)
        reply = connection.getresponse()
        reply.read()
    except OSError:
        return None
    finally:
        connection.close()
    return time.monotonic() - began if reply.status == 200 else None


def _download(url: str, path: str, megabytes: int) -> tuple[float, float]:
    """Seconds to the first byte of the body, and in all."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    began = time.monotonic()
    connection.request("GET", path)
    reply = connection.getresponse()
    size = len(reply.read(1))
    first = time.monotonic() - began
    while piece := reply.read(1 << 20):
        size += len(piece)
    connection.close()
    assert (reply.status, size) == (200, megabytes << 20), (reply.status, size)
    return first, time.monotonic() - began


def _send(url: str, method: str, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request(method, path)
    connection.getresponse().read()
    connection.close()
