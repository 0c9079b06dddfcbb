"""Sections of the benchmark. Each measures one kind of figure on all servers and adds it to the record.

The failure of a load or server is recorded next to it and does not stop the rest.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import HTTPError

from tests.servers.databases import scratch_database
from tests.servers.memory_group import MemoryGroup, memory_group
from tests.servers.postgres import PostgresCluster

from bench.access import access_cost
from bench.limit import alone, alone_grouped
from bench.loads import LOADS, Load
from bench.measure import Figure, measure, through
from bench.seed import seed, seed_runs
from bench.servers import DEFAULT_CONFIGURATION, RAILTRACK, Contender, Server, healthy

SECTIONS = ("start", "loads", "transfer", "bounded", "runs", "connections", "access")
ON_THE_DATA = {"loads", "transfer", "bounded"}
STARTS = 3
SETTLE_S = 3
TRANSFER_MB = 1024
BOUND_MB = 512
BOUND_S = 1
BOUND_LIMIT_S = 100
RUNS = (2_000, 20_000, 200_000)
CONNECTIONS = (1, 4, 16, 64)
ACCESS_ROUNDS_FACTOR = 3
"""The cost of the login is smaller than the differences between rounds."""
GROWING = ("log-metric", "create-run", "get-run, 20 metrics", "search, page of 100, filter and metric order")
WITH_CONNECTIONS = ("log-metric", "get-run, 20 metrics")

Fill = Callable[[str, str], Coroutine[Any, Any, None]]
"""Insert the data into a database with a schema."""


@dataclass
class Bench:
    """A run of the benchmark: servers, durations and the record, which `keep` writes to its file."""

    postgres: PostgresCluster
    folder: Path
    contenders: Sequence[Contender]
    loads: Sequence[Load]
    seconds: float
    rounds: int
    found: dict[str, Any]
    keep: Callable[[], None]

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Log begin and duration, and save the results, also after a failure or an interruption."""
        log(f"-- {name}; load {os.getloadavg()[0]:.1f}")
        self.found["errors"].pop(name, None)
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.found["errors"][name] = repr(error)[:1000]
        except BaseException:
            self.found["errors"][name] = "interrupted"
            raise
        finally:
            self.found["took_s"][name] = round(time.monotonic() - began)
            self.keep()
        log(f"-- {name} took {self.found['took_s'][name]} s")

    def figure(self, load: Load, server: Server, seconds: float | None = None) -> Figure | str:
        """Return a figure, or the reason why there is none."""
        try:
            return measure(load, server, self.postgres.pid, seconds or self.seconds) or "not served"
        except HTTPError as error:
            return f"rejected: {error.code}"
        except Exception as error:
            return f"failed: {error!r}"[:300]

    @property
    def few(self) -> list[Contender]:
        """Return the contenders without MLflow's defaults, which are measured only where that is quick."""
        return [one for one in self.contenders if one.name != DEFAULT_CONFIGURATION]


def measure_all(bench: Bench, sections: Collection[str]) -> None:
    if "start" in sections:
        with bench.section("start"):
            start_times(bench)
    if ON_THE_DATA & set(sections):
        with all_running(bench, bench.contenders, seed) as servers:
            on_the_data(bench, servers, sections)
    if "runs" in sections:
        with bench.section("runs"):
            bench.found["runs"] = {}
            for runs in RUNS:
                bench.found["runs"][str(runs)] = with_runs(bench, runs)
    if "connections" in sections:
        with bench.section("connections"):
            with_connections(bench)
    if "access" in sections:
        with bench.section("access"):
            bench.found["access"] = access_cost(
                bench.postgres, bench.folder, bench.seconds, ACCESS_ROUNDS_FACTOR * bench.rounds
            )
            log(f"{bench.found['access']}")


def start_times(bench: Bench) -> None:
    """Measure median seconds from the command to the first healthy response, on a new and an existing database."""
    times: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in bench.contenders}
    for contender in bench.contenders:
        bench.found["errors"].pop(f"start of {contender.name}", None)
    for contender in STARTS * list(bench.contenders):
        try:
            times[contender.name].append(_started(bench, contender))
        except RuntimeError as error:
            bench.found["errors"][f"start of {contender.name}"] = str(error)[-1000:]
    for name, rounds in times.items():
        found = {kind: round(median(one[kind] for one in rounds), 2) for kind in ("new", "existing")} if rounds else {}
        bench.found["servers"].setdefault(name, {})["start_s"] = found
        log(f"{name} starts in {found} of {rounds}")


def _started(bench: Bench, contender: Contender) -> dict[str, float]:
    home = _home(bench, contender)
    times = {}
    with scratch_database("postgresql", bench.folder, bench.postgres) as database:
        for kind in ("new", "existing"):
            with contender.start(database, home) as server:
                times[kind] = server.start_s
    return times


@contextmanager
def all_running(bench: Bench, contenders: Sequence[Contender], fill: Fill) -> Iterator[dict[str, Server]]:
    """Run every contender that starts, each on its own database with the data."""
    with ExitStack() as stack:
        servers = {}
        for contender in contenders:
            database = stack.enter_context(scratch_database("postgresql", bench.folder, bench.postgres))
            bench.found["errors"].pop(contender.name, None)
            try:
                servers[contender.name] = stack.enter_context(contender.start(database, _home(bench, contender)))
            except RuntimeError as error:
                bench.found["errors"][contender.name] = str(error)[-1000:]
                log(f"{contender.name} did not start")
        schemas = {one.name: one.schema for one in contenders}
        asyncio.run(_fill_all([fill(server.database, schemas[name]) for name, server in servers.items()]))
        log(f"{', '.join(servers)}: started, data inserted")
        time.sleep(SETTLE_S)
        yield servers


async def _fill_all(fills: Sequence[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*fills)


def _home(bench: Bench, contender: Contender) -> Path:
    """Return the path of a new folder for the contender."""
    number = sum(1 for _ in bench.folder.iterdir())
    return bench.folder / f"{number}-{contender.name.split(',')[0].lower()}"


def on_the_data(bench: Bench, servers: dict[str, Server], sections: Collection[str]) -> None:
    found = bench.found
    if "loads" in sections:
        with bench.section("loads"):
            for name, server in servers.items():
                found["servers"].setdefault(name, {})["idle_mb"] = round(server.pss_mb(), 1)
            for load in bench.loads:
                found["loads"][load.name] = run_load(bench, servers, load)
                if load.unit == "request" and RAILTRACK in servers:
                    found["alone"][load.name] = database_alone(bench, servers[RAILTRACK], load)
    if "transfer" in sections:
        with bench.section("transfer"):
            found["transfer"] = {name: transferred(bench, server) for name, server in servers.items()}
    if "bounded" in sections:
        with bench.section("bounded"):
            found["bounded"] = {
                one.name: bounded(bench, one, servers[one.name].database) for one in bench.few if one.name in servers
            }


def run_load(bench: Bench, servers: dict[str, Server], load: Load, rounds: int = 0) -> dict[str, list[Any]]:
    """Measure in turns, so a machine that slows down affects all servers. MLflow's defaults get one round."""
    rows: dict[str, list[Any]] = {name: [] for name in servers}
    for number in range(rounds or bench.rounds):
        for name, server in servers.items():
            if number == 0 or name != DEFAULT_CONFIGURATION:
                figure = bench.figure(load, server)
                rows[name].append(figure if isinstance(figure, str) else asdict(figure))
                log(f"{load.name}, {load.connections} connections: {name}: {_described(figure)}")
    return rows


def _described(figure: Figure | str) -> str:
    if isinstance(figure, str):
        return figure
    return f"{figure.rate:.1f}/s, {figure.rejected + figure.lost + figure.timeouts} failed"


def database_alone(bench: Bench, server: Server, load: Load) -> dict[str, Any]:
    """Measure PostgreSQL alone: one request per transaction, and as many as the server had on average."""
    grouped = [one["grouped"] for one in bench.found["loads"][load.name][RAILTRACK] if not isinstance(one, str)]
    size = round(sum(grouped) / len(grouped)) if grouped else 0
    rates: dict[str, Any] = {"size": size}
    try:
        requests = load.requests(server.url)
        rates["one"] = alone(server.database, bench.folder, requests, load.connections, bench.seconds)
        if size > 1:
            requests, clients = load.requests(server.url), max(1, round(load.connections / size))
            rates["group"] = alone_grouped(server.database, bench.folder, requests, size, clients, bench.seconds)
    except Exception as error:
        rates["failed"] = repr(error)[:1000]
    log(f"{load.name}: the database alone: {rates}")
    return rates


def transferred(bench: Bench, server: Server) -> dict[str, Any] | str:
    done = through(server, bench.folder, TRANSFER_MB)
    log(f"{TRANSFER_MB} MB: {done}")
    return done if isinstance(done, str) else asdict(done)


def bounded(bench: Bench, contender: Contender, database: str) -> dict[str, Any] | str:
    """Run all loads briefly, then 1 GB up and down, in a memory cgroup of 512 MB without swap."""
    with memory_group(BOUND_MB) as group:
        if group is None:
            return "no memory cgroup could be created"
        seen: dict[str, Any] = {"failed": {}, "start_s": None}
        try:
            with contender.start(database, _home(bench, contender), group) as server:
                seen["start_s"] = round(server.start_s, 2)
                seen |= _bounded_loads(bench, server, group)
        except Exception as error:
            seen["failed"]["it ended"] = repr(error)[-500:]
        seen["killed"] = group.oom_kills
        log(f"{contender.name} in {BOUND_MB} MB: {seen}")
        return seen


def _bounded_loads(bench: Bench, server: Server, group: MemoryGroup) -> dict[str, Any]:
    failed: dict[str, str] = {}
    deadline = time.monotonic() + BOUND_LIMIT_S
    untried = list(bench.loads)
    while untried and time.monotonic() < deadline:
        load = untried.pop(0)
        figure = bench.figure(load, server, BOUND_S)
        if figure != "not served" and (isinstance(figure, str) or figure.rejected + figure.lost + figure.timeouts):
            failed[load.name] = _described(figure)
    seen: dict[str, Any] = {"failed": failed, "peak_mb": round(group.peak_mb, 1), "healthy": healthy(server.url)}
    seen["untried"] = [load.name for load in untried]
    seen["transfer"] = transferred(bench, server) if seen["healthy"] else "not tried: it does not answer"
    return seen | {"peak_with_files_mb": round(group.peak_mb, 1)}


def with_runs(bench: Bench, runs: int) -> dict[str, Any]:
    """Measure with `runs` small runs, and a second start on them."""

    async def fill(database: str, schema: str) -> None:
        await seed_runs(database, schema, runs)

    grown: dict[str, Any] = {"start_s": {}, "idle_mb": {}, "loads": {}}
    with all_running(bench, bench.few, fill) as servers:
        for load in (load for load in LOADS if load.name in GROWING):
            grown["loads"][load.name] = run_load(bench, servers, load, rounds=1)
        for contender in (one for one in bench.few if one.name in servers):
            with contender.start(servers[contender.name].database, _home(bench, contender)) as again:
                time.sleep(SETTLE_S)
                grown["start_s"][contender.name] = round(again.start_s, 2)
                grown["idle_mb"][contender.name] = round(again.pss_mb(), 1)
    return grown


def with_connections(bench: Bench) -> None:
    async def fill(database: str, schema: str) -> None:
        await seed_runs(database, schema, RUNS[0])

    bench.found["connections"] = {}
    with all_running(bench, bench.few, fill) as servers:
        for count in CONNECTIONS:
            some = [Load(one.name, count, one.requests) for one in LOADS if one.name in WITH_CONNECTIONS]
            loads = {load.name: run_load(bench, servers, load, rounds=1) for load in some}
            bench.found["connections"][str(count)] = {"loads": loads}


def log(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
