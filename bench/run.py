"""Benchmark Railtrack, MLflow and FastTrackML on one machine and one PostgreSQL, in turns.

    make bench                                       everything, about half an hour
    make bench BENCH="--sections start,loads --only '^log-' --seconds 2 --rounds 1"
    make bench BENCH="--into bench/results/2026-11-23.json --sections bounded"       add a section to a record

Writes bench/results/<date>.json, .md and .png. Measure on a quiet machine.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tests.servers.postgres import postgres_cluster

from bench.loads import LOADS
from bench.report import markdown
from bench.sections import SECTIONS, Bench, log, measure_all
from bench.servers import fasttrackml, mlflow, railtrack

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = parsed()
    python = str(Path(options.mlflow).absolute())
    contenders = [railtrack(), mlflow(python, guide=True), mlflow(python, guide=False)]
    if options.fasttrackml:
        contenders.append(fasttrackml(str(Path(options.fasttrackml).absolute())))
    found = json.loads(options.into.read_text()) if options.into and options.into.exists() else new_record()
    path = options.into or RESULTS / f"{found['machine']['date'][:10]}.json"
    for one in contenders:
        found["servers"].setdefault(one.name, {})["version"] = one.version
    found["measured"].append({**machine(), "options": " ".join(sys.argv[1:])})
    signal.signal(signal.SIGTERM, interrupted)
    with ExitStack() as stack:
        stack.callback(write, found, path, python)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="railtrack-bench-")))
        postgres = stack.enter_context(postgres_cluster(fsync=True))
        loads = [load for load in LOADS if re.search(options.only, load.name)]
        kept = path.with_suffix(".json")
        bench = Bench(
            postgres, folder, contenders, loads, options.seconds, options.rounds, found, lambda: keep(found, kept)
        )
        measure_all(bench, options.sections)
    if found["errors"]:
        raise SystemExit(f"Not all could be measured: {found['errors']}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", metavar="PYTHON", required=True, help="an interpreter with mlflow and psycopg2")
    parser.add_argument("--fasttrackml", metavar="PROGRAM", help="FastTrackML's program fml")
    parser.add_argument("--only", default="", metavar="REGEX", help="run only loads whose name matches")
    parser.add_argument("--sections", type=_sections, default=SECTIONS, help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--into", type=Path, metavar="JSON", help="record to write, new or existing")
    parser.add_argument("--seconds", type=float, default=3, help="duration of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"unknown section {', '.join(unknown)}; use {', '.join(SECTIONS)}")
    return names


def interrupted(_signal: int, _frame: object) -> NoReturn:
    """Raise KeyboardInterrupt, as Ctrl-C does: servers are stopped, and the results so far are written."""
    raise KeyboardInterrupt


def new_record() -> dict[str, Any]:
    return {"machine": machine(), "measured": [], "servers": {}, "loads": {}, "alone": {}, "took_s": {}, "errors": {}}


def machine() -> dict[str, Any]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ":")
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "model": model.partition(":")[2].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "commit": _output(["git", "rev-parse", "--short", "HEAD"]),
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def keep(found: dict[str, Any], path: Path) -> None:
    """Write the record atomically, so an interrupted run leaves the previous state."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(found, indent=1) + "\n")
    beside.replace(path)


def write(found: dict[str, Any], path: Path, python: str) -> None:
    """Write the record, its tables, and the chart. `python` needs matplotlib, a dependency of MLflow."""
    keep(found, path)
    text = markdown(found)
    path.with_suffix(".md").write_text(text)
    chart = Path(__file__).parent / "chart.py"
    subprocess.run([python, str(chart), str(path), str(path.with_suffix(".png"))], check=False)
    print(text)
    log(f"Wrote {path}, and .md and .png beside it")


if __name__ == "__main__":
    main()
