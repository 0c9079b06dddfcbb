"""Measure artifacts through the server to S3: memory, temporary files, time to first byte, and throughput compared with
direct access to the store and with MLflow's proxy.

    python -m bench.artifacts [--mlflow PYTHON] [--client PYTHON] [--large-mb N] [--side-mb N] [--rounds N]

Railtrack runs with two workers in a memory cgroup of 512 MB if one can be created. The store and the clients run
outside. Writes bench/results/artifacts.md. Measure on a quiet machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.clients.interpreters import client_environment
from tests.servers.memory_group import MemoryGroup, memory_group
from tests.servers.railtrack import RailtrackServer
from tests.servers.s3 import S3Server, fast_s3_server

from bench.processes import Watch, cpu_s, tree
from bench.servers import mlflow

RESULTS = Path(__file__).parent / "results" / "artifacts.md"
SCENARIO = Path(__file__).parents[1] / "tests" / "clients" / "scenario_files.py"
BUCKET = "artifacts"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
AT_ONCE = 8
LIMIT_MB = 512
FIRST_BYTES = 40
CLIENT_MB = 600
LIMIT_S = 900
SHORT_OF = {"PUT": "up", "GET": "down"}


class Target(NamedTuple):
    """The URL of a load, and the processes whose CPU time counts."""

    name: str
    url: str
    pids: Callable[[], Sequence[int]]
    folders: Sequence[Path] = ()
    put: str = "PUT"
    """Upload method, as bench.transfer names it."""


@dataclass
class Load:
    """One load: `count` concurrent files of `size_mb`."""

    mb_per_s: float
    cpu_s_per_gb: float
    peak_mb: float
    files_mb: float
    failed: list[str]
    first_byte_s: list[float] = field(default_factory=list)


def load(target: Target, method: str, count: int, size_mb: int, *, folder: str = "load") -> Load:
    verb = target.put if method == "PUT" else method
    command = [sys.executable, "-m", "bench.transfer", verb, str(count), str(size_mb), f"{target.url}/{folder}/{{}}"]
    before = cpu_s(target.pids())
    with Watch(target.pids, target.folders) as watch:
        output = subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S).stdout
    outcome = json.loads(output)
    done_mb = count * size_mb
    taken = cpu_s(target.pids()) - before
    return Load(
        done_mb / outcome["seconds"],
        taken * 1024 / done_mb,
        watch.peak_mb,
        watch.files_mb,
        outcome["failed"],
        outcome["first_byte_s"],
    )


@contextmanager
def railtrack(folder: Path, s3: S3Server, cgroup: MemoryGroup | None) -> Iterator[tuple[RailtrackServer, Target]]:
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    settings = {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/railtrack", "TMPDIR": str(temporary)}
    server = RailtrackServer(folder, None, {"GUNICORN_WORKERS": "2", **s3.environment, **settings})
    with ExitStack() as stack:
        if cgroup:
            server.command = cgroup.command(server.command)
        server.start()
        stack.callback(server.stop)
        server.wait_for_workers(2)
        yield server, Target("Railtrack", server.url + PROXY, lambda: tree(server.pid), (temporary, folder / "data"))


def memory_table(target: Target, cgroup: MemoryGroup | None, size_mb: int) -> str:
    """Upload and then download AT_ONCE files of `size_mb` each."""
    lines = ["| load | throughput | peak PSS | cgroup peak | peak files | failed |", "| --- " * 6 + "|"]
    for method, name in SHORT_OF.items():
        row = load(target, method, AT_ONCE, size_mb, folder="large")
        peak = f"{cgroup.peak_mb:.0f} MB" if cgroup else "no cgroup"
        lines.append(
            f"| {AT_ONCE} x {size_mb} MB {name} | {row.mb_per_s:.0f} MB/s | {row.peak_mb:.0f} MB | {peak} "
            f"| {row.files_mb:.1f} MB | {len(row.failed)} |"
        )
        _log_failures(row.failed)
    if cgroup:
        lines += ["", f"Of the cgroup's use at the end, {cgroup.page_cache_mb:.0f} MB were page cache."]
    return "\n".join(lines)


def first_byte_table(store: Target, targets: Sequence[Target]) -> str:
    """Time FIRST_BYTES downloads of a block, one after the other, each target in turn."""
    found: dict[str, list[float]] = defaultdict(list)
    for target in targets:
        _log_failures(load(target, "PUT", 1, 8, folder="first").failed)
    for _ in range(FIRST_BYTES):
        for target in targets:
            found[target.name] += load(target, "GET", 1, 8, folder="first").first_byte_s
    own = statistics.median(found[store.name])
    lines = ["| download from | median | slowest | median beyond the store's own |", "| --- " * 4 + "|"]
    for name, times in found.items():
        middle = statistics.median(times)
        beyond = f"{(middle - own) * 1000:.1f} ms" if name != store.name else ""
        lines.append(f"| {name} | {middle * 1000:.1f} ms | {max(times) * 1000:.1f} ms | {beyond} |")
    return "\n".join(lines)


def side_by_side_table(store: Target, targets: Sequence[Target], size_mb: int, rounds: int) -> str:
    """Run the same load for each target in turn, several times. Return medians and their ratios."""
    loads: dict[tuple[str, str], list[Load]] = defaultdict(list)
    for _ in range(rounds):
        for target in targets:
            for method in SHORT_OF:
                row = load(target, method, AT_ONCE, size_mb)
                _log_failures(row.failed)
                loads[target.name, method].append(row)
    speed = {key: statistics.median(row.mb_per_s for row in rows) for key, rows in loads.items()}
    head = [
        "server",
        "direction",
        "MB/s (median)",
        "slowest - fastest",
        "of the store",
        "CPU s per GB",
        "peak PSS",
        "peak files",
    ]
    lines = [f"| {' | '.join([*head, 'failed'])} |", "| --- " * (len(head) + 1) + "|"]
    for (name, method), rows in loads.items():
        each = [row.mb_per_s for row in rows]
        values = [
            name,
            SHORT_OF[method],
            f"{speed[name, method]:.0f}",
            f"{min(each):.0f} - {max(each):.0f}",
            f"{speed[name, method] / speed[store.name, method]:.0%}",
            f"{statistics.median(row.cpu_s_per_gb for row in rows):.2f}",
            f"{max(row.peak_mb for row in rows):.0f} MB",
            f"{max(row.files_mb for row in rows):.0f} MB",
            str(sum(len(row.failed) for row in rows)),
        ]
        lines.append(f"| {' | '.join(values)} |")
    if ("MLflow 3.17.2", "PUT") in speed:
        ratios = [
            f"{speed['Railtrack', way] / speed['MLflow 3.17.2', way]:.1f} times {SHORT_OF[way]}" for way in SHORT_OF
        ]
        lines += ["", f"Railtrack's throughput is {' and '.join(ratios)} that of MLflow."]
    return "\n".join(lines)


def clients_table(python: str, s3: S3Server, folder: Path) -> str:
    """Transfer one file of CLIENT_MB with the unmodified client, by each path."""
    ways: dict[str, Mapping[str, str]] = {
        "proxied": {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/client", "RAILTRACK_S3_PRESIGNED": "off"},
        "presigned, multipart": {
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/client",
            "RAILTRACK_S3_PRESIGNED": "on",
        },
        "direct, with its own keys": {"MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{BUCKET}/client"},
    }
    lines = [f"| path | {CLIENT_MB} MB up | {CLIENT_MB} MB down | peak PSS of the server |", "| --- " * 4 + "|"]
    for number, (way, settings) in enumerate(ways.items()):
        home = folder / f"client-{number}"
        home.mkdir()
        server = RailtrackServer(home, None, {"GUNICORN_WORKERS": "2", **s3.environment, **settings})
        server.start()
        try:
            with Watch(lambda server=server: tree(server.pid), ()) as watch:  # type: ignore[misc]
                report = _client(python, server.url, s3, home)
        finally:
            server.stop()
        lines.append(f"| {way} | {report['up_s']:.1f} s | {report['down_s']:.1f} s | {watch.peak_mb:.0f} MB |")
    return "\n".join(lines)


def _client(python: str, url: str, s3: S3Server, home: Path) -> dict[str, Any]:
    keys = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url, "TMPDIR": str(home)}
    done = subprocess.run(
        [python, str(SCENARIO), url, "0", str(CLIENT_MB)],
        env={**client_environment(url, home), **keys},
        check=True,
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["large"]
    return report


def _log_failures(failed: Sequence[str]) -> None:
    for line in failed:
        print(f"failed: {line}", file=sys.stderr, flush=True)


def machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load_before = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {memory_gb:.0f} GB, Linux {platform.release()}, Python "
        f"{platform.python_version()}; one-minute load before the run: {load_before:.1f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", metavar="PYTHON", help="also measure the MLflow of this interpreter")
    parser.add_argument("--client", metavar="PYTHON", help="also run the unmodified client of this interpreter")
    parser.add_argument("--large-mb", type=int, default=2048, help="size of the files for the measure of memory")
    parser.add_argument("--side-mb", type=int, default=256, help="size of the files for the comparison")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sections = [f"<!-- Written by `make bench-artifacts`. -->\n\n{machine()}"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        s3 = stack.enter_context(fast_s3_server())
        store = Target("the store itself", f"{s3.url}/{BUCKET}/direct", list, put="SIGNED")
        unsigned = Target("the same, unsigned", f"{s3.url}/{BUCKET}/direct", list)
        cgroup = stack.enter_context(memory_group(LIMIT_MB))
        _, ours = stack.enter_context(railtrack(folder / "railtrack", s3, cgroup))
        targets = [store, unsigned, ours]
        where = f"in a cgroup of {LIMIT_MB} MB" if cgroup else "without a cgroup, which this user cannot create"
        sections += [f"### Memory, {where}", memory_table(ours, cgroup, options.large_mb)]
        if options.mlflow:
            targets.append(stack.enter_context(_mlflow(options.mlflow, s3, folder / "mlflow")))
        sections += ["### Time to first byte", first_byte_table(store, [store, *targets[2:]])]
        title = f"### Throughput: {AT_ONCE} concurrent files of {options.side_mb} MB, {options.rounds} rounds"
        sections += [title, side_by_side_table(store, targets, options.side_mb, options.rounds)]
        if options.client:
            title = "### The unmodified client of MLflow 3.17.2"
            sections += [title, clients_table(str(Path(options.client).absolute()), s3, folder)]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n\n".join(sections) + "\n")
    print(RESULTS.read_text())


@contextmanager
def _mlflow(python: str, s3: S3Server, folder: Path) -> Iterator[Target]:
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    variables = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url, "TMPDIR": str(temporary)}
    contender = mlflow(str(Path(python).absolute()), destination=f"s3://{BUCKET}/mlflow", variables=variables)
    with contender.start(f"sqlite:///{folder}/mlflow.db", folder) as server:
        yield Target("MLflow 3.17.2", server.url + PROXY, server.pids, (temporary,))


if __name__ == "__main__":
    main()
