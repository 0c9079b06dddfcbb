"""Attack a server in a memory cgroup beside a well-behaved client, and record what the client sees.

    make hostile                              every attack for a minute on Railtrack; writes docs/hostile.md
    make hostile SERVER=mlflow                the same on MLflow
    make hostile ONLY=unread SECONDS=10       attacks whose names match, for 10 s; prints the tables only

attacks.py has the attacks, honest.py the client. Each attack meets a new server of two workers on PostgreSQL. Only the
server is in the cgroup.
"""

import argparse
import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.databases import scratch_database
from tests.servers.image import ROOT
from tests.servers.memory_group import MemoryGroup, memory_group
from tests.servers.postgres import PostgresServer, postgres_cluster
from tests.servers.processes import die_with_parent

from bench.attacks import ATTACKS, NONE, Attack
from bench.honest import HonestClient, Try, summary
from bench.hostile_report import AIMS, markdown, missed
from bench.processes import tree
from bench.run import interrupted, keep, machine
from bench.seed import seed_heavy, seed_some
from bench.servers import Contender, Server, mlflow, railtrack

RECORD = ROOT / "bench" / "results" / "hostile.json"
PAGE = ROOT / "docs" / "hostile.md"
LIMIT_MB = 512
MLFLOW_LIMIT_MB = 2048
"""The kernel kills MLflow's workers in 512 MB even without an attack, which is measured first."""
RUNS = 3000
SAMPLE_S = 0.2
WARM_UP_S = 1
CALM_S = 20
"""Of the honest client without an attack, to compare with."""
NORMAL_S = 1.0
"""A slower response of the honest client is not normal."""
QUIET_S = 3
"""Normal responses for so long end the recovery."""
RECOVERY_LIMIT_S = 30
ATTACKER_NICENESS = 5
"""In the attackers' favour they share the processors with the server; a real attacker has its own."""
LOGGED = re.compile(r"WORKER TIMEOUT|was sent SIG|out of memory|Traceback|\bERROR\b|\[error\]", re.IGNORECASE)


@dataclass
class Watch:
    """Samples of the server during an attack.

    `killed`: workers that ended, apart from the stop at the end. `peak_mb`: memory of the processes and of the kernel
    for them, without page cache, which the kernel drops on demand.
    """

    server: Server
    group: MemoryGroup | None
    killed: int = 0
    peak_mb: float = 0.0
    workers: set[int] = field(default_factory=set)

    def sample(self) -> None:
        workers = leaves(self.server.pid)
        self.killed += len(self.workers - workers)
        self.workers = workers
        without_cache_mb = self.group.used_mb - self.group.page_cache_mb if self.group else 0
        self.peak_mb = max(self.peak_mb, without_cache_mb, self.server.pss_mb())


def leaves(pid: int) -> set[int]:
    """Return the workers: descendants without children. Those of MLflow have two ancestors."""
    return {one for one in tree(pid)[1:] if len(tree(one)) == 1}


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Sample every SAMPLE_S in a thread."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(SAMPLE_S):
            watch.sample()

    watch.sample()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def attacked(
    contender: Contender, attack: Attack, database: str, folder: Path, memory_mb: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the record of one attack on a new server in a cgroup."""
    folder.mkdir()
    with ExitStack() as stack:
        group = stack.enter_context(memory_group(memory_mb))
        if group is None:
            raise SystemExit("This user cannot create a memory cgroup here. Run it as root on Linux.")
        try:
            server = stack.enter_context(contender.start(database, folder, group))
        except RuntimeError:
            return {"failed": "the server did not start", "oom_kills": group.oom_kills, "cgroup_peak_mb": group.peak_mb}
        watch = Watch(server, group)
        client = HonestClient(server.url)
        with watched(watch):
            client.start()
            time.sleep(WARM_UP_S)
            before = time.monotonic()
            counters = run_attack(server.url, attack, options.seconds, part=options.part)
            after = time.monotonic()
            normal_after_s = recovery_s(client, after)
            client.stop()
            watch.sample()
        tries = client.since(before, after)
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
        return {
            "seconds": after - before,
            "workers_killed": watch.killed,
            "oom_kills": group.oom_kills,
            "peak_mb": watch.peak_mb,
            "cgroup_peak_mb": group.peak_mb,
            "honest": asdict(summary(tries)),
            "lost": dict(client.lost),
            "normal_after_s": normal_after_s,
            "attack": counters,
            "logged": sum(1 for line in lines if LOGGED.search(line)),
            "log": [line[:300] for line in lines if LOGGED.search(line)][:10],
        }


def run_attack(
    url: str, attack: Attack, seconds: float, *, scale: float = 1, part: int | None = None
) -> dict[str, Any]:
    """Run the attack in its own process, and return its last counters. `scale`: how much of its connections."""
    if not attack.parts:
        time.sleep(min(seconds, CALM_S))
        return {}
    command = ["nice", "-n", str(ATTACKER_NICENESS), sys.executable, "-m", "bench.attacks", url, attack.name]
    command += [str(seconds), "--scale", str(scale)]
    if part is not None:
        command += ["--part", str(part)]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=seconds * 2 + 60,
        preexec_fn=die_with_parent,
    )
    counters: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counters


def recovery_s(client: HonestClient, after: float) -> float | None:
    """Wait until all responses are normal for QUIET_S. Return when the last one was not, or None after the limit."""
    while (now := time.monotonic()) < after + RECOVERY_LIMIT_S:
        last = max([after, *(one.ended for one in client.since(0) if not is_normal(one))])
        if now - last >= QUIET_S and client.longest_wait_s() < NORMAL_S:
            return last - after
        time.sleep(SAMPLE_S)
    return None


def is_normal(one: Try) -> bool:
    return one.is_ok and one.seconds < NORMAL_S


def measure(contender: Contender, postgres: PostgresServer, folder: Path, options: argparse.Namespace) -> Any:
    """Return the record of all wanted attacks on one server."""
    memory_mb = LIMIT_MB if options.server == "railtrack" else MLFLOW_LIMIT_MB
    found: dict[str, Any] = {"machine": machine(), "seconds": options.seconds, "memory_mb": memory_mb}
    found |= {"note": options.note} if options.note else {}
    found |= {"version": contender.version, "attacks": {}}
    wanted = [(one.name, one, memory_mb) for one in ATTACKS if re.search(options.only, one.name)]
    if memory_mb != LIMIT_MB and wanted[0][0] == NONE:
        wanted.insert(0, (f"{NONE}, {LIMIT_MB} MB", wanted[0][1], LIMIT_MB))
    with scratch_database("postgresql", folder, postgres) as database:
        with contender.start(database, folder / "first"):  # creates the tables
            pass
        asyncio.run(seed_some(database, RUNS))
        asyncio.run(seed_heavy(database))
        for name, attack, limit_mb in wanted:
            one = attacked(contender, attack, database, folder / name, limit_mb, options)
            found["attacks"][name] = one
            print(f"{time.strftime('%H:%M:%S')} {name}: {line(one)}", file=sys.stderr, flush=True)
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / name / "server.log", options.logs / f"{name}.log")
                keep(found, options.logs / "record.json")
            shutil.rmtree(folder / name)
    return found


def line(one: dict[str, Any]) -> str:
    """Return the aims that the attack missed, and the figures they are about."""
    if "honest" not in one:
        return f"{one['failed']}"
    honest = one["honest"]
    return (
        f"{', '.join(missed(one)) or 'aims met'}; killed {one['workers_killed']}, OOM {one['oom_kills']}, "
        f"{one['peak_mb']:.0f} MB, {honest['requests']} requests, failed {honest['failed'] or 0}, "
        f"p99 {honest['p99_s']:.2f} s, normal after {one['normal_after_s']}, slowest "
        f"{', '.join(f'{kind} {seconds:.1f}' for kind, seconds in honest['slowest_s'].items())}"
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["railtrack", "mlflow"], default="railtrack")
    parser.add_argument("--mlflow", metavar="PYTHON", default=".cache/mlflow/bin/python")
    parser.add_argument("--only", default="", metavar="REGEX", help="matching attacks; prints the tables only")
    parser.add_argument("--part", type=int, help="index of the only part of a mixture to use")
    parser.add_argument("--seconds", type=float, default=60, help="duration of each attack")
    parser.add_argument("--note", default="", help="what else the reader of the record must know")
    parser.add_argument("--record", type=Path, metavar="JSON", help=f"instead of {RECORD.relative_to(ROOT)}; no page")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="where to keep the servers' logs")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    signal.signal(signal.SIGTERM, interrupted)
    contender = railtrack() if options.server == "railtrack" else mlflow(str(Path(options.mlflow).absolute()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="railtrack-hostile-")))
        postgres = stack.enter_context(postgres_cluster(fsync=True))
        measured = measure(contender, postgres, folder, options)
    path = options.record or RECORD
    found = json.loads(path.read_text()) if path.exists() else {}
    if options.only:
        found = {contender.name: measured}
    else:
        found[contender.name] = measured
    if options.record or not options.only:
        keep(found, path)
    text = markdown(found)
    if not options.record and not options.only:
        PAGE.write_text(text)
    print(text)
    failed = [f"{name}: {', '.join(missed(one))}" for name, one in measured["attacks"].items() if missed(one)]
    if options.server == "railtrack" and failed:
        raise SystemExit(f"{AIMS} Missed: {'; '.join(failed)}.")


if __name__ == "__main__":
    main()
