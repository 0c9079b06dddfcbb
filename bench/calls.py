"""Measure what calls of the unmodified client cost a training, on Railtrack and on MLflow in turns.

    python -m bench.calls --mlflow PYTHON --client PYTHON [--rounds N]

One PostgreSQL and one S3 server, both servers in the deployment guide's configuration. Prints a table for
docs/training.md.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.clients.interpreters import client_environment
from tests.servers.postgres import postgres_cluster
from tests.servers.s3 import REGION, S3Server, fast_s3_server

from bench.artifacts import machine
from bench.servers import mlflow, railtrack

SCENARIO = Path(__file__).parents[1] / "tests" / "clients" / "scenario_calls.py"
BUCKET = "artifacts"
CALLS = 200
FILE_MB = 100
LIMIT_S = 600
KINDS = {
    "log_metric": "`log_metric`",
    "async": "`log_metric(..., synchronous=False)`",
    "log_batch": "`log_batch` of 100 metrics",
    "direct up": f"{FILE_MB} MB up, directly to S3",
    "proxied up": f"{FILE_MB} MB up, through the server",
    "direct down": f"{FILE_MB} MB down, directly from S3",
    "proxied down": f"{FILE_MB} MB down, through the server",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", metavar="PYTHON", required=True, help="interpreter of MLflow's server")
    parser.add_argument("--client", metavar="PYTHON", required=True, help="interpreter of the client")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    label = machine()
    seconds: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(postgres_cluster())
        cluster.run_sql("CREATE DATABASE ours", "CREATE DATABASE theirs")
        s3 = stack.enter_context(fast_s3_server())
        variables = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url, "AWS_DEFAULT_REGION": REGION}
        destination = f"s3://{BUCKET}/proxied"
        contenders = (
            (railtrack({**variables, "MLFLOW_ARTIFACTS_DESTINATION": destination}), "ours"),
            (mlflow(str(Path(options.mlflow).absolute()), destination=destination, variables=variables), "theirs"),
        )
        urls = {
            contender.name: stack.enter_context(contender.start(cluster.database_url(name), folder / name)).url
            for contender, name in contenders
        }
        seconds = {name: defaultdict(list) for name in urls}
        for _ in range(options.rounds):
            for name, url in urls.items():
                for kind, each in _client(str(Path(options.client).absolute()), url, s3, folder).items():
                    seconds[name][kind] += each
    print(f"{label}\n\n{table(seconds)}")


def _client(python: str, url: str, s3: S3Server, home: Path) -> dict[str, list[float]]:
    keys = {**s3.environment, "MLFLOW_S3_ENDPOINT_URL": s3.url, "AWS_DEFAULT_REGION": REGION, "TMPDIR": str(home)}
    done = subprocess.run(
        [python, str(SCENARIO), url, f"s3://{BUCKET}/direct", str(CALLS), str(FILE_MB)],
        env={**client_environment(url, home), **keys},
        check=True,
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
    )
    seconds: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def table(seconds: dict[str, dict[str, list[float]]]) -> str:
    """Return the medians of both servers by kind of call, and their ratio."""
    names = list(seconds)
    lines = [f"| call | {' | '.join(names)} | ratio |", "| --- " * (len(names) + 2) + "|"]
    for kind, shown in KINDS.items():
        medians = [statistics.median(seconds[name][kind]) for name in names]
        lines.append(f"| {' | '.join([shown, *map(_duration, medians), _ratio(medians)])} |")
    return "\n".join(lines)


def _ratio(medians: Sequence[float]) -> str:
    return f"{medians[-1] / medians[0]:.1f}"


def _duration(seconds: float) -> str:
    if seconds >= 0.5:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} us"


if __name__ == "__main__":
    main()
