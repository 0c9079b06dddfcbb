"""The benchmark: Railtrack, MLflow and FastTrackML on one machine and one PostgreSQL, measured in turns.

    make bench                                               everything, about half an hour
    python -m bench.run --mlflow PYTHON --fasttrackml PROGRAM --only 'log-.*' --seconds 2 --rounds 1 --brief

Writes bench/results/<date>.json, .md and .png. A busy machine's figures are worth little: look at its load first.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresCluster, postgres_cluster

from bench.limit import limit
from bench.loads import LOADS, Load
from bench.measure import Figure, measure, through
from bench.report import markdown
from bench.seed import seed, seed_runs
from bench.servers import Contender, Server, fasttrackml, mlflow, railtrack

RESULTS = Path(__file__).parent / "results"
SETTLE_S = 3
TRANSFER_MB = 1024
RUNS = (2_000, 20_000, 200_000)
CONNECTIONS = (1, 4, 16, 64)
GROWING = ("log-metric", "create-run", "get-run, 20 metrics", "search, page of 100, filter and metric order")


@dataclass
class Bench:
    """A run of the benchmark: how long each measurement lasts, how often it is made, and what was found."""

    postgres: PostgresCluster
    folder: Path
    seconds: float
    rounds: int
    found: dict[str, Any] = field(default_factory=dict)

    def figure(self, load: Load, server: Server) -> Figure | str:
        """A figure, or why there is none."""
        try:
            figure = measure(load, server, self.postgres.pid, self.seconds)
        except HTTPError as error:
            return f"refused: {error.code}"
        return figure or "not served"


def start_times(bench: Bench, contender: Contender) -> dict[str, float]:
    """Seconds from the command to the first healthy answer, on a new database and on one that exists."""
    with scratch_database("postgresql", bench.folder, bench.postgres) as database:
        times = {}
        for kind in ("new", "existing"):
            with contender.start(database, bench.folder / "start") as server:
                times[kind] = round(server.start_s, 2)
    return times


@contextmanager
def all_running(bench: Bench, contenders: Sequence[Contender], fill: Any) -> Iterator[dict[str, Server]]:
    """Every contender on a database of its own; `fill(database, schema)` puts the data in."""
    with ExitStack() as stack:
        servers = {}
        for number, contender in enumerate(contenders):
            database = stack.enter_context(scratch_database("postgresql", bench.folder, bench.postgres))
            server = stack.enter_context(contender.start(database, bench.folder / str(number)))
            asyncio.run(fill(database, contender.schema))
            servers[contender.name] = server
            say(f"{contender.name} runs, its data is there")
        yield servers


def run_loads(bench: Bench, servers: dict[str, Server], loads: Sequence[Load]) -> dict[str, Any]:
    """Load by load, round by round, server by server: a machine that gets slower gets slower for all."""
    figures: dict[str, dict[str, list[Any]]] = {}
    for load in loads:
        rows = figures[load.name] = {name: [] for name in servers}
        for _ in range(bench.rounds):
            for name, server in servers.items():
                figure = bench.figure(load, server)
                rows[name].append(figure if isinstance(figure, str) else asdict(figure))
                say(f"{load.name}: {name}: {figure if isinstance(figure, str) else f'{figure.rate:.1f}/s'}")
    return figures


def grow(bench: Bench, contenders: Sequence[Contender]) -> dict[str, Any]:
    """How the figures change from 2,000 to 200,000 runs, and with the number of connections."""
    grown: dict[str, Any] = {"runs": {}, "connections": {}}
    loads = [load for load in LOADS if load.name in GROWING]
    for runs in RUNS:

        async def fill(database: str, schema: str, runs: int = runs) -> None:
            await seed_runs(database, schema, runs)

        with all_running(bench, contenders, fill) as servers:
            grown["runs"][str(runs)] = run_loads(bench, servers, loads)
            if runs == RUNS[0]:
                for count in CONNECTIONS:
                    some = [Load(load.name, count, load.requests) for load in loads[:1] + loads[2:3]]
                    grown["connections"][str(count)] = run_loads(bench, servers, some)
    return grown


def limits(bench: Bench, server: Server, database: str, loads: Sequence[Load]) -> dict[str, float]:
    """What the database alone does, for each load that is one request."""
    rates = {}
    for load in loads:
        if load.unit == "request":
            rates[load.name] = limit(database, bench.folder, load, load.requests(server.url)[0], bench.seconds)
            say(f"{load.name}: the database alone: {rates[load.name]:.1f}/s")
    return rates


def machine() -> dict[str, Any]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ":")
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "model": model.partition(":")[2].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "commit": _output(["git", "rev-parse", "--short", "HEAD"]),
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", metavar="PYTHON", required=True, help="an interpreter with mlflow and psycopg2")
    parser.add_argument("--fasttrackml", metavar="PROGRAM", help="FastTrackML's program fml")
    parser.add_argument("--only", default="", metavar="REGEX", help="the loads whose name matches")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--brief", action="store_true", help="no growth, no large artifact, no limit of the database")
    options = parser.parse_args()
    python = str(Path(options.mlflow).absolute())
    contenders = [railtrack(), mlflow(python, guide=True), mlflow(python, guide=False)]
    if options.fasttrackml:
        contenders.append(fasttrackml(str(Path(options.fasttrackml).absolute())))
    loads = [load for load in LOADS if re.search(options.only, load.name)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="railtrack-bench-")))
        postgres = stack.enter_context(postgres_cluster(fsync=True))
        bench = Bench(postgres, folder, options.seconds, options.rounds, {"machine": machine()})
        measure_all(bench, contenders, loads, brief=options.brief)
    write(bench.found, python)


def measure_all(bench: Bench, contenders: Sequence[Contender], loads: Sequence[Load], *, brief: bool) -> None:
    found = bench.found
    found["servers"] = {one.name: {"version": one.version, "start_s": start_times(bench, one)} for one in contenders}
    with all_running(bench, contenders, seed) as servers:
        time.sleep(SETTLE_S)
        for name, server in servers.items():
            found["servers"][name]["idle_mb"] = round(server.pss_mb(), 1)
        found["loads"] = run_loads(bench, servers, loads)
        if not brief:
            found["limits"] = limits(bench, servers["Railtrack"], servers["Railtrack"].database, loads)
            found["transfer"] = {
                name: asdict(done) if (done := through(server, bench.folder, TRANSFER_MB)) else "not served"
                for name, server in servers.items()
            }
        for name, server in servers.items():
            found["servers"][name]["after_mb"] = round(server.pss_mb(), 1)
    if not brief:
        found["growth"] = grow(bench, [one for one in contenders if one.name != "MLflow, as it comes"])


def write(found: dict[str, Any], python: str) -> None:
    """The results, and the chart, which matplotlib draws, one of MLflow's own dependencies."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{found['machine']['date'][:10]}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    text = markdown(found)
    path.with_suffix(".md").write_text(text)
    chart = Path(__file__).parent / "chart.py"
    subprocess.run([python, str(chart), str(path), str(path.with_suffix(".png"))], check=True)
    print(text)


if __name__ == "__main__":
    main()
