"""Measure one load on one server with wrk, and its cost from the kernel's counters."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

from tests.servers.databases import rows

from bench.loads import Load, Request, request_json
from bench.processes import Watch, cpu_s, tree
from bench.servers import Server
from bench.transfer import transfer

SCRIPT = Path(__file__).parent / "wrk" / "cycle.lua"
TIMEOUT_S = 60
NOT_SERVED = {404, 405, 501}
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/bench/"
TRIED = 8
"""Number of a load's requests that are sent once before it, to warm caches and detect rejections."""
ANSWERS, LONGEST_S = 4, 20
"""Duration of a measurement as a multiple of its slowest request, and its limit in seconds."""
FEW = 10
"""Transactions that servers and PostgreSQL begin by themselves meanwhile."""


@dataclass(frozen=True)
class Figure:
    """One measurement. `rate`: 2xx responses (requests or pages) per second; CPU in seconds per 1,000 of them."""

    rate: float
    ok: int
    rejected: int
    lost: int
    timeouts: int
    p50_ms: float
    p99_ms: float
    cpu_s: float
    database_cpu_s: float
    peak_mb: float
    seconds: float
    grouped: float
    """Requests per writing transaction; 0 without any."""


def measure(load: Load, server: Server, postgres: int, seconds: float) -> Figure | None:
    """Return None if the server lacks an endpoint of the load. Raise HTTPError if it rejects a request.

    `postgres`: process id of PostgreSQL. Slow loads are measured for longer than `seconds`.
    """
    try:
        requests = load.requests(server.url)
        longest_s = _try(server.url, requests[:TRIED] if load.unit == "request" else requests)
    except HTTPError as error:
        if error.code in NOT_SERVED:
            return None
        raise
    seconds = min(max(seconds, ANSWERS * longest_s), max(seconds, LONGEST_S))
    written = _transactions(server.database)
    before = server.cpu_s(), cpu_s(tree(postgres))
    with Watch(server.pids, ()) as watch:
        result = wrk(server.url, load.connections, seconds, requests)
    cpu, database = server.cpu_s() - before[0], cpu_s(tree(postgres)) - before[1]
    written = _transactions(server.database) - written
    ok = result["requests"] - result["rejected"]
    units = ok / (len(requests) if load.unit == "page" else 1)
    thousands = max(units, 1) / 1000
    return Figure(
        rate=units / result["seconds"],
        ok=int(ok),
        rejected=int(result["rejected"]),
        lost=int(result["lost"]),
        timeouts=int(result["timeouts"]),
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_s=cpu / thousands,
        database_cpu_s=database / thousands,
        peak_mb=watch.peak_mb,
        seconds=result["seconds"],
        grouped=ok / written if written > FEW else 0,
    )


def _try(url: str, requests: Sequence[Request]) -> float:
    """Send each request once and return the seconds of the slowest."""
    longest_s = 0.0
    for request in requests:
        began = time.monotonic()
        request_json(url, _tried(request))
        longest_s = max(longest_s, time.monotonic() - began)
    return longest_s


def _transactions(database: str) -> int:
    """Return the number of writing transactions that PostgreSQL has begun so far."""
    [(number,)] = rows(database, "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)")
    return int(number)


def _tried(request: Request) -> Request:
    """Return the request with numbers that no connection of the load uses."""
    return Request(request.method, request.path, request.body.replace("@n@", "0").replace("@c@", "999"))


def wrk(
    url: str, connections: int, seconds: float, requests: Sequence[Request], authorization: str = ""
) -> dict[str, float]:
    """Send the requests in turn, each on a free connection, for `seconds`. `authorization`: a header of all of them.

    Uses one thread, which needs half of the CPU time of one thread per connection. All processes share the CPU.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".requests") as file:
        file.writelines(f"{request.method}\n{request.path}\n{request.body}\n" for request in requests)
        file.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections)]
        command += ["--duration", f"{max(1, round(seconds))}s", "--timeout", f"{TIMEOUT_S}s", "--script", str(SCRIPT)]
        command += ["--header", f"Authorization: {authorization}"] if authorization else []
        command += [url, "--", file.name, str(connections)]
        limit = seconds + TIMEOUT_S + 60
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit).stdout
    [line] = [line for line in output.splitlines() if line.startswith("RESULT ")]
    result: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return result


@dataclass(frozen=True)
class Transfer:
    """A large artifact through the server, up and down: MB/s, seconds to first byte, and peaks in MB."""

    up: float
    down: float
    first_byte_s: float
    peak_mb: float
    disk_mb: float


def through(server: Server, folder: Path, megabytes: int) -> Transfer | str:
    """Transfer through mlflow-artifacts to the server's folder in `folder`. Return an error message if that fails."""
    try:
        request_json(server.url, Request("PUT", f"{ARTIFACTS}small.bin", "small"))
    except HTTPError as error:
        return "not served" if error.code in NOT_SERVED else f"rejected: {error.code}"
    url = f"{server.url}{ARTIFACTS}large.bin"
    with Watch(server.pids, [folder]) as watch:
        up = transfer("PUT", 1, megabytes << 20, url)
        down = transfer("GET", 1, megabytes << 20, url)
    if failed := up.failed + down.failed:
        return failed[0]
    mb_per_s = megabytes / up.seconds, megabytes / down.seconds
    return Transfer(*mb_per_s, down.first_byte_s[0], watch.peak_mb, max(0.0, watch.files_mb - megabytes))
